"""Configs: what they leave out is the original's; what the graphs do not compute is refused."""

from __future__ import annotations

import dataclasses
import json
import resource
import time

import numpy as np
import pytest
from conftest import TINY
from toy import LM, WHISPER, Toy

from mini_omni_export.cli import main
from mini_omni_export.config import read_codec_config, read_decoder_config, read_whisper_config
from mini_omni_export.errors import ExportError
from mini_omni_export.model import read_source

ABSENT = ...
SLOWEST, MOST_MEMORY = 5, 100 << 10  # seconds, KiB


def refused(files) -> str:
    """The sentence with which a model is refused, in bounded time and memory."""
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ExportError) as error:
        read_source(files.checkpoint, files.whisper, files.snac, "toy", "random")
    assert time.monotonic() - begun < SLOWEST
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY
    assert len(str(error.value)) < 600 and "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("key", "default"), [
    ("rotary_percentage", "0.25"), ("parallel_residual", "True"), ("bias", "True"),
    ("norm_class_name", "'LayerNorm'"), ("mlp_class_name", "'GptNeoxMLP'"),
])
def test_what_is_not_said_is_lit_gpts_default_and_refused_where_it_is_not_computed(
    tmp_path, key, default
):
    said = refused(Toy(config={key: ABSENT}).write(tmp_path))
    assert f"does not say {key}" in said and f"default {default} is not supported" in said


def test_defaults_that_are_computed_are_lit_gpts(tmp_path):
    absent = ["add_qkv_bias", "asr_adapter", "post_adapter", "tie_word_embeddings", "rope_base",
              "norm_eps", "rope_condense_ratio", "block_size", "n_query_groups", "head_size"]
    wide = dataclasses.replace(LM, n_embd=80, n_head=5, head_size=16)
    files = Toy(wide, config=dict.fromkeys(absent, ABSENT)).write(tmp_path)
    config = read_decoder_config(files.checkpoint / "model_config.yaml")
    assert config == dataclasses.replace(
        wide, qkv_bias=False, tied=False, rope_base=10000, norm_eps=1e-5, rope_condense_ratio=1,
        block_size=4096, n_query_groups=5,
    )


@pytest.mark.parametrize(("key", "value"), [
    ("pos_type", "alibi"), ("force_align", True), ("use_pretrain_phoneme_emb", True),
    ("prompt_vocab_size", 100), ("n_expert", 8), ("n_expert_per_token", 2), ("bias", True),
    ("lm_head_bias", True), ("shared_attention_norm", True), ("scale_embeddings", True),
    ("asr_adapter", "mlp"), ("post_adapter", True), ("norm_class_name", "LayerNorm"),
    ("mlp_class_name", "GemmaMLP"), ("rotary_percentage", 0.5), ("name", "Gemma-2b"),
    ("hf_config", {"name": "CodeGemma-7b"}),
    ("norm_qk", True), ("sliding_window_size", 4096), ("N_layer", 2), ("post_mlp_norm", False),
    # of another type than the key's own
    ("bias", "false"), ("tie_word_embeddings", "false"), ("add_qkv_bias", "no way"),
    ("add_qkv_bias", 1), ("parallel_residual", 0), ("tie_word_embeddings", None),
    ("n_layer", "2"), ("n_layer", True), ("n_layer", 2.0), ("n_layer", [2]), ("n_layer", None),
    ("n_expert", False), ("rotary_percentage", True), ("rotary_percentage", "1.0"),
    ("norm_eps", True), ("norm_eps", "small"), ("norm_eps", [1e-6]), ("rope_base", {}),
    # sizes that no model has, and numbers that make no positions
    ("n_layer", 10_000_000), ("n_layer", 1 << 200), ("block_size", 10_000_000), ("n_embd", 0),
    ("padded_vocab_size", -5), ("head_size", 1 << 40), ("head_size", 15), ("n_head", 7),
    ("rope_base", 0), ("rope_base", -1), ("rope_base", float("inf")), ("rope_base", float("nan")),
    ("rope_base", "1e999"), ("norm_eps", float("nan")), ("norm_eps", -1e-6), ("norm_eps", 0),
    ("rope_condense_ratio", 0), ("rope_condense_ratio", float("nan")), ("rope_base", 1 << 5000),
    ("intermediate_size", ABSENT), ("n_embd", ABSENT), ("text_vocab_size", ABSENT),
])
def test_a_setting_that_the_export_does_not_compute_is_refused_by_name(tmp_path, key, value):
    if key == "n_head":
        files = Toy(config={key: value, "head_size": ABSENT}).write(tmp_path)
    else:
        files = Toy(config={key: value}).write(tmp_path)
    said = refused(files)
    assert str(files.checkpoint / "model_config.yaml") in said
    assert ("Gemma" if key == "hf_config" else key) in said


def test_settings_that_change_nothing_are_accepted(tmp_path):
    files = Toy(config={
        "name": "mine", "hf_config": {"org": "Qwen", "name": "Qwen2-0.5B"}, "vocab_size": 29632,
        "padding_multiple": 512, "cat_audio_vocab_size": 29120, "gelu_approximate": "tanh",
        "post_adapter_layers": 6, "attn_dropout": 0.1, "prompt_vocab_size": None,
        "n_expert_per_token": 0, "force_align": False, "rotary_percentage": 1, "norm_eps": "1e-06",
        "pos_type": "rope", "use_pretrain_phoneme_emb": False,
    }).write(tmp_path)
    read_source(files.checkpoint, files.whisper, files.snac, "toy", "random")


def test_the_projects_own_configs_are_read():
    assert read_decoder_config(TINY / "checkpoint" / "mini-omni" / "model_config.yaml").n_head == 10
    assert read_codec_config(TINY / "checkpoint" / "snac_24khz" / "config.json").noise


NINE = "[" + ",".join(["*{}"] * 9) + "]"
ALIASES = "a: &a [x]\n" + "".join(
    f"{b}: &{b} {NINE.replace('{}', a)}\n" for a, b in zip("abcdefgh", "bcdefghi")
)


@pytest.mark.parametrize("text", [
    ALIASES + "bias: *i\n", "a: &a [*a]\n", "<<: {n_layer: 3}\n", "n_layer: 3\nn_layer: 4\n",
    "x: " + "[" * 30_000, "x: " + "{a: " * 10_000, "- " * 30_000, "? [1, 2]\n: 3\n", "1: 2\n",
    "x: !!python/name:os.system\n", "x: !!int ''\n", "x: !!timestamp x\n", "x: !!float ':'\n",
    "x: 2024-99-99\n", "x: " + "9" * 9000, "n_layer: 0x" + "f" * 60_000, "x: " + "a" * (1 << 17),
    "\t", "\0", "x: \ud800", "%YAML 9.9\n---\n", "--- 1\n--- 2\n", "", "null", "[]", "3", "text",
])
def test_a_hostile_config_is_refused_in_bounded_time_and_memory(tmp_path, text):
    files = Toy().write(tmp_path)
    config = files.checkpoint / "model_config.yaml"
    good = config.read_text() if ": " in text[:200] or "?" in text else ""
    config.write_bytes((text + "\n" + good).encode("utf-8", "surrogatepass"))
    assert str(config) in refused(files)


@pytest.mark.parametrize(("key", "value"), [
    ("attn_window_size", 32), ("attn_window_size", ABSENT), ("attn_window_size", False),
    ("encoder_rates", []), ("encoder_rates", [2] * 99), ("encoder_rates", [2, "4", 8, 8]),
    ("decoder_rates", [8, 8, 4, 0]), ("decoder_rates", [1 << 40]), ("decoder_rates", 8),
    ("decoder_rates", [2] * 12), ("vq_strides", [0, 0, 0]), ("vq_strides", [4, 2, 0]),
    ("vq_strides", [4, 2]), ("vq_strides", [-4, -2, -1]), ("vq_strides", {}),
    ("noise", "false"), ("noise", 1), ("depthwise", None), ("sampling_rate", 24000.0),
    ("sampling_rate", 0), ("sampling_rate", "24000"), ("codebook_size", True),
    ("encoder_dim", 1 << 60), ("decoder_dim", float("nan")), ("codebook_dim", float("inf")),
    ("encoder", ["snac"]), ("encoder", "bark"), ("latent_dim", 7), ("causal", True),
    ("codebook_size", ABSENT),
])
def test_a_codec_that_the_export_does_not_compute_is_refused_by_name(tmp_path, key, value):
    files = Toy().write(tmp_path)
    config = files.snac / "config.json"
    settings = json.loads(config.read_text()) | {key: value}
    config.write_text(json.dumps({k: v for k, v in settings.items() if v is not ABSENT}))
    said = refused(files)
    assert str(config) in said and key in said


@pytest.mark.parametrize("text", [
    "[" * 60_000, '{"a":' * 10_000, '{"noise": true, "noise": false}', "NaN", "1" * 9000,
    '{"x": ' + "1" * 9000 + "}", "\ufeff{}", '{"sampling_rate": Infinity}', " " * (1 << 17),
])
def test_a_hostile_json_is_refused(tmp_path, text):
    files = Toy().write(tmp_path)
    for config in (files.snac / "config.json", files.checkpoint / "tokenizer.json"):
        good = config.read_bytes()
        config.write_bytes(text.encode())
        assert str(config) in refused(files)
        config.write_bytes(good)


def test_a_tokenizer_of_too_many_values_is_refused_before_it_is_read(tmp_path):
    files = Toy().write(tmp_path)
    tokenizer = files.checkpoint / "tokenizer.json"
    tokenizer.write_text("[" + "[]," * 5_000_000 + "[]]")
    assert "more values than a tokenizer has" in refused(files)
    tokenizer.write_text('{"model": 3}')
    assert "holds no tokenizer's model" in refused(files)


@pytest.mark.parametrize(("key", "value"), [
    ("n_audio_layer", 10_000_000), ("n_audio_head", 3), ("n_mels", "80"), ("n_audio_ctx", 1 << 62),
    ("n_audio_state", True), ("n_mels", float("nan")), ("n_audio_layer", None), ("depth", 2),
    ("n_audio_head", 0),
])
def test_dims_of_whisper_that_no_model_has_are_refused(tmp_path, key, value):
    with pytest.raises(ExportError) as error:
        read_whisper_config(dataclasses.asdict(WHISPER) | {key: value}, tmp_path / "small.pt")
    assert key in str(error.value) and "small.pt" in str(error.value)


def more(name: str, *shape: int):
    return lambda state: state | {name: np.zeros(shape, np.float32)}


@pytest.mark.parametrize(("part", "name"), [
    ("lm", "transformer.h.0.mlp.fc_1.bias"), ("lm", "transformer.h.0.attn.norm_q.weight"),
    ("lm", "transformer.h.2.norm_1.weight"), ("lm", "transformer.ln_f.bias"),
    ("lm", "lm_head.bias"),
    ("lm", "transformer.post_adapter.0.norm_1.weight"), ("lm", "anything"),
    ("whisper", "encoder.blocks.0.attn.key.bias"), ("whisper", "encoder.blocks.9.mlp.0.bias"),
    ("whisper", "adapter.weight"), ("snac", "decoder.model.99.bias"),
    ("snac", "quantizer.quantizers.3.codebook.weight"), ("snac", "decoder.model.0.weight"),
    ("snac", "decoder.model.2.block.2.linear.bias"),
])
def test_a_tensor_that_nobody_reads_is_refused_by_name(tmp_path, part, name):
    said = refused(Toy(**{f"edit_{part}": more(name, 4)}).write(tmp_path))
    assert f"holds '{name}'" in said


def test_whispers_text_decoder_is_left_out(tmp_path):
    files = Toy(edit_whisper=more("decoder.token_embedding.weight", 9, 4)).write(tmp_path)
    read_source(files.checkpoint, files.whisper, files.snac, "toy", "random")


def test_a_tied_head_of_another_shape_is_refused(tmp_path):
    toy = Toy(dataclasses.replace(LM, tied=True), edit_lm=more("lm_head.weight", 4, 4))
    assert "lm_head.weight is" in refused(toy.write(tmp_path))


def mel_encoder(units: int = 2, **edits: tuple[int, ...]):
    """SNAC's encoder replaced by the one that `training/` makes; `edits` are other shapes."""
    shapes = {"filters": (80, 513), "start.weight": (6, 160, 3), "start.bias": (6,),
              "end.weight": (64, 6, 1), "end.bias": (64,)}
    for i in range(units):
        shapes |= {f"units.{i}.{part}": shape for part, shape in {
            "norm.weight": (6,), "norm.bias": (6,), "conv.weight": (12, 6, 5), "conv.bias": (12,),
            "out.weight": (6, 6, 1), "out.bias": (6,)}.items()}
    shapes |= edits

    def edit(state):
        kept = {k: v for k, v in state.items() if not k.startswith("encoder.")}
        rng = np.random.default_rng(1)
        return kept | {f"encoder.{k}": rng.random(s, np.float32) for k, s in shapes.items()}

    return Toy(codec={"encoder": "mel"}, edit_snac=edit)


def test_a_codec_whose_encoder_reads_mels_is_held_against_its_own_sizes(tmp_path):
    files = mel_encoder().write(tmp_path / "files")
    assert main([*files.arguments, "--out", str(tmp_path / "model")]) == 0
    for name, shape in [("units.1.conv.weight", (12, 6, 4)), ("units.1.out.bias", (5,)),
                        ("units.3.norm.weight", (6,)), ("end.weight", (63, 6, 1)), ("x", (1,)),
                        ("filters", (80, 400)), ("filters", (80,)), ("start.weight", (6, 160))]:
        said = refused(mel_encoder(**{name: shape}).write(tmp_path / f"{name}{len(shape)}{shape}"))
        assert "pytorch_model.bin" in said and name.rpartition(".")[0] in said

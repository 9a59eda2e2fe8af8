"""Language models of other makes than the published Qwen2: each exports, and answers alike in
both profiles."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import PROFILES
from graphs import ModelFolder, domains, prompt
from toy import LM, Toy, newer_weight_norm

from mini_omni_export.checkpoint import load
from mini_omni_export.cli import main
from mini_omni_export.config import SPECIALS
from mini_omni_export.errors import ExportError
from mini_omni_export.model import read_source

STEPS = 6
BLOCK_SIZE = 64
ABSENT = ...  # a key left out of model_config.yaml


def lm(**sizes) -> object:
    return dataclasses.replace(LM, **{"block_size": BLOCK_SIZE} | sizes)


BASES = {
    "qwen2": Toy(lm(n_head=4, n_query_groups=2, n_embd=64, tied=True)),
    "qwen2, all settings written out": Toy(lm(), config={
        "norm_eps": "1e-06", "rotary_percentage": 1.0, "shared_attention_norm": False,
        "scale_embeddings": False, "n_expert": 0, "lm_head_bias": False,
    }),
    "llama": Toy(
        lm(qkv_bias=False, n_head=4, n_query_groups=4, n_embd=64, rope_base=1e4, norm_eps=1e-5),
        config={"n_query_groups": ABSENT, "add_qkv_bias": ABSENT, "rope_base": ABSENT,
                "tie_word_embeddings": ABSENT, "norm_eps": ABSENT},
    ),
    "vicuna": Toy(
        lm(qkv_bias=False, n_head=6, n_query_groups=6, n_embd=96, text_vocab_size=300 + SPECIALS,
           rope_base=1e4, rope_condense_ratio=4.0),
        config={"n_query_groups": ABSENT, "head_size": ABSENT, "rope_condense_ratio": 4},
    ),
    "baichuan-7b": Toy(
        lm(qkv_bias=False, n_head=4, n_query_groups=4, head_size=32, n_embd=128, n_layer=3,
           text_vocab_size=405, intermediate_size=172, rope_base=1e4),
    ),
    "heads wider than the model": Toy(lm(n_head=6, n_query_groups=3, head_size=32, n_embd=40)),
    "5 kv heads": Toy(lm(n_head=10, n_query_groups=5, n_embd=80, head_size=16)),
    "1 kv head": Toy(lm(n_head=3, n_query_groups=1, n_embd=48, n_layer=1)),
    "head size 12": Toy(lm(n_head=4, n_query_groups=2, head_size=12, n_embd=48)),
    "head size 8, odd width": Toy(lm(n_head=4, n_query_groups=4, head_size=8, n_embd=33)),
    "head size 100": Toy(lm(n_head=2, n_query_groups=1, head_size=100, n_embd=64, qkv_bias=False)),
    "newer weight norm": Toy(lm(), edit_snac=newer_weight_norm),
}


def export(toy: Toy, folder: Path, profile: str) -> ModelFolder:
    files = toy.write(folder / f"files-{profile}")
    out = folder / profile
    assert main([*files.arguments, "--profile", profile, "--out", str(out)]) == 0
    return ModelFolder(out)


def answer(model: ModelFolder) -> tuple[list, list]:
    """Ids and logits of a few greedy steps on a text prompt."""
    decode = model.decoding(1, BLOCK_SIZE)
    text, audio = decode(prompt("t1a2", model.ids, 0, [72, 105]))
    ids, logits = [], []
    for _ in range(STEPS):
        logits.append(np.concatenate([audio.ravel(), text.ravel()]))
        chosen = [*audio[0].argmax(axis=-1).tolist(), int(text[0].argmax())]
        ids.append(chosen)
        text, audio = decode(np.array(chosen).reshape(1, -1, 1))
    return ids, logits


@pytest.mark.parametrize("base", BASES)
def test_both_profiles_say_the_same(tmp_path, base):
    fused, portable = (export(BASES[base], tmp_path, profile) for profile in PROFILES)
    (ids, logits), (portable_ids, portable_logits) = answer(fused), answer(portable)
    assert ids == portable_ids
    assert np.abs(np.array(logits) - portable_logits).max() < 1e-4
    sizes, dims = BASES[base].lm, fused.manifest["decoder"]
    assert dims["n_kv_head"] == sizes.n_query_groups
    assert fused.ids["text_vocab_size"] == sizes.text_vocab_size
    assert fused.ids["eot"] == sizes.text_vocab_size - SPECIALS


def test_portable_graphs_are_standard_onnx(tmp_path):
    model = export(BASES["qwen2"], tmp_path, "portable")
    files = [graph["file"] for graph in model.manifest["graphs"].values()]
    assert len(files) == 4
    for file in files:
        graph = onnx.load(model.folder / file)
        own = {function.domain for function in graph.functions}
        assert {opset.domain for opset in graph.opset_import} == {"", *own}
        assert domains(graph) == {""}
        onnx.checker.check_model(str(model.folder / file), full_check=True)


def other_head(state: dict) -> dict:
    return state | {"lm_head.weight": -state["transformer.wte.weight"]}


def same_head(state: dict) -> dict:
    return state | {"lm_head.weight": state["transformer.wte.weight"].copy()}


def no_head(state: dict) -> dict:
    assert "lm_head.weight" not in state
    return state


@pytest.mark.parametrize(("edit", "noted"), [(no_head, False), (same_head, False),
                                             (other_head, True)])
def test_a_tied_model_uses_its_embedding_whatever_the_head_says(tmp_path, capfd, edit, noted):
    tied = lm(tied=True)
    model = export(Toy(tied, edit_lm=edit), tmp_path, "fused")
    said = "".join(capfd.readouterr())
    assert ("lm_head.weight differs from transformer.wte.weight" in said) == noted
    names = [t.name for t in onnx.load(model.folder / "decoder.onnx").graph.initializer]
    assert not any(name.startswith("head.") for name in names)
    plain = export(Toy(tied), tmp_path / "plain", "fused")
    assert answer(model)[0] == answer(plain)[0]


def test_an_untied_model_has_a_head_of_its_own(tmp_path):
    model = export(Toy(lm(tied=False)), tmp_path, "fused")
    names = [t.name for t in onnx.load(model.folder / "decoder.onnx").graph.initializer]
    assert {"head.text", "head.audio", "embedding.text", "embedding.audio"} <= set(names)


def test_weight_norm_is_the_same_in_both_namings(tmp_path):
    older = export(Toy(lm()), tmp_path / "older", "fused")
    newer = export(Toy(lm(), edit_snac=newer_weight_norm), tmp_path / "newer", "fused")
    for name in ("codec_decoder.onnx.data", "codec_encoder.onnx.data"):
        assert (older.folder / name).read_bytes() == (newer.folder / name).read_bytes()


@pytest.mark.parametrize(("setting", "value"), [
    ("parallel_residual", True), ("bias", True), ("norm_class_name", "LayerNorm"),
    ("mlp_class_name", "GptNeoxMLP"), ("rotary_percentage", 0.25), ("post_adapter", True),
    ("n_query_groups", 3), ("head_size", 15), ("padded_vocab_size", 5000), ("n_layer", "many"),
    ("n_embd", ABSENT),
])
def test_a_base_that_the_graphs_cannot_express_is_refused(tmp_path, setting, value):
    files = Toy(lm(), config={setting: value}).write(tmp_path)
    with pytest.raises(ExportError) as error:
        read_source(files.checkpoint, files.whisper, files.snac, "toy", "random")
    assert str(files.checkpoint / "model_config.yaml") in str(error.value)
    assert "heads" in str(error.value) or setting in str(error.value)


@pytest.mark.parametrize(("part", "name"), [
    ("lm", "transformer.wte.weight"), ("lm", "transformer.h.1.mlp.proj.weight"),
    ("lm", "transformer.h.0.norm_1.weight"), ("lm", "whisper_adapter.fc_2.weight"),
    ("whisper", "encoder.blocks.1.attn.key.weight"), ("whisper", "encoder.ln_post.bias"),
    ("snac", "decoder.model.2.block.1.weight_v"), ("snac", "encoder.block.0.bias"),
    ("snac", "quantizer.quantizers.1.codebook.weight"),
])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_refused_by_its_tensors_name(
    tmp_path, capsys, part, name, value
):
    def spoil(state):
        state[name].flat[state[name].size // 2] = value
        return state

    files = Toy(lm(), **{f"edit_{part}": spoil}).write(tmp_path / "files")
    for precision in ("fp32", "int8"):
        command = [*files.arguments, "--precision", precision, "--out", str(tmp_path / "out")]
        assert main(command) == 2
        said = capsys.readouterr().err
        assert f"{name} holds values that are not finite" in said
    assert [p.name for p in tmp_path.iterdir()] == ["files"]


def test_a_weight_too_large_for_fp16_is_refused(tmp_path, capsys):
    def enlarge(state):
        state["transformer.h.0.mlp.fc_1.weight"] *= 1e6
        return state

    files = Toy(lm(), edit_lm=enlarge).write(tmp_path)
    command = [*files.arguments, "--precision", "fp16", "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert "transformer.h.0.mlp.fc_1" in capsys.readouterr().err


def test_weight_norm_of_a_row_of_zeros_is_refused(tmp_path, capsys):
    def empty(state):
        state["decoder.model.1.weight_v"][3] = 0
        return state

    files = Toy(lm(), edit_snac=empty).write(tmp_path)
    assert main([*files.arguments, "--out", str(tmp_path / "out")]) == 2
    assert "decoder.model.1 has a row of zeros" in capsys.readouterr().err


@pytest.mark.parametrize("head_size", [256, 258, 320])
def test_a_head_that_the_fused_attention_cannot_take_is_for_the_portable_profile(
    tmp_path, capsys, head_size
):
    sizes = lm(n_head=2, n_query_groups=1, head_size=head_size, n_embd=64)
    files = Toy(sizes).write(tmp_path / "files")
    fused = main([*files.arguments, "--out", str(tmp_path / "fused")])
    assert fused == (0 if head_size <= 256 else 2)
    if fused:
        assert "--profile portable takes any" in capsys.readouterr().err
    export(Toy(sizes), tmp_path, "portable")


def test_a_codec_with_an_encoder_of_another_kind_is_refused(tmp_path):
    files = Toy(lm()).write(tmp_path)
    config = files.snac / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"encoder": "bark"}))
    with pytest.raises(ExportError, match="encoder 'bark' is none of snac, mel"):
        read_source(files.checkpoint, files.whisper, files.snac, "toy", "random")


def test_the_manifest_names_its_sources(tmp_path):
    files = Toy(lm()).write(tmp_path)
    out = tmp_path / "out"
    assert main([*files.arguments, "--out", str(out), "--name", "toy"]) == 0
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["name"] == "toy"
    assert manifest["weights"] == "random"
    names = {"lit_model.pth", "small.pt", "pytorch_model.bin"}
    assert names <= {source["name"] for source in manifest["source"]}
    assert load(files.whisper)["dims"]["n_mels"] == manifest["mel"]["n_mels"]

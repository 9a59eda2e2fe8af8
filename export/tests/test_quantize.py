"""Weights in 4 and 8 bits: error bounds, the graphs that hold them, and the report."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import ModelFolder
from runtime import onnxruntime

from mini_omni_export import quantize
from mini_omni_export.errors import ExportError
from mini_omni_export.formats import Blocks, DynamicInt8, Float16, PortableBlocks, make_format
from mini_omni_export.graph import Float32, Graph
from mini_omni_export.model import export
from mini_omni_export.options import PRECISIONS, Options
from mini_omni_export.quantize import choose_block, quantize_blocks, quantize_channels
from mini_omni_export.random_model import (
    SIZES,
    RandomTensors,
    lm_shapes,
    make_source,
    random_source,
)

# Relative error of normally distributed weights; rounding theory gives about these.
BOUNDS = {(4, 32): 0.085, (4, 128): 0.100, (8, 128): 0.0066}
# Teacher-forced agreement with fp32 on a random model, whose logits are closer together than a
# trained one's: a bound on mistakes, not a promise of quality.
AGREEMENT = {"fp16": 0.97, "int8": 0.9, "int4": 0.5}
STEPS = 24


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def relative(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


def rounded_to_largest(weight: np.ndarray, bits: int, block: int) -> np.ndarray:
    """Plain rounding: the value of the largest magnitude becomes the end of the range."""
    blocks, half = weight.reshape(-1, block), 1 << (bits - 1)
    scale = blocks[np.arange(len(blocks)), np.abs(blocks).argmax(axis=1)][:, None] / -half
    return (np.clip(np.rint(blocks / scale), -half, half - 1) * scale).reshape(weight.shape)


@pytest.mark.parametrize(("bits", "block"), BOUNDS)
def test_round_trip_stays_within_its_bound(rng, bits, block):
    weight = rng.standard_normal((64, 512), np.float32)
    quantized = quantize_blocks(weight, bits, block, "w")
    error = relative(quantized.dequantized(), weight)
    assert error < BOUNDS[bits, block]
    assert quantized.relative_error == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize("bits", [4, 8])
def test_search_beats_plain_rounding_in_every_block(rng, bits):
    weight = rng.standard_t(3, (32, 512)).astype(np.float32)  # heavy tails: outliers
    searched = quantize_blocks(weight, bits, 32, "w").dequantized()
    plain = rounded_to_largest(weight, bits, 32)
    errors = [((w - weight) ** 2).reshape(-1, 32).sum(axis=1) for w in (searched, plain)]
    assert (errors[0] <= errors[1] * (1 + 1e-5)).all()
    assert errors[0].sum() < errors[1].sum()


def test_channels_have_one_scale_and_leave_out_the_lowest_integer(rng):
    quantized = quantize_channels(rng.standard_normal((40, 300), np.float32), "w")
    assert quantized.scales.shape == (40, 1)
    assert quantized.values.min() == -127
    assert quantized.relative_error < 0.01


def test_zero_rows_stay_zero():
    for quantized in (quantize_blocks(np.zeros((3, 64)), 4, 32, "w"),
                      quantize_channels(np.zeros((3, 64)), "w")):
        assert not quantized.dequantized().any()
        assert quantized.relative_error == 0


@pytest.mark.filterwarnings("ignore:invalid value")
def test_values_that_are_not_finite_are_refused():
    with np.errstate(all="ignore"), pytest.raises(ExportError, match="head holds values"):
        quantize_blocks(np.full((2, 32), np.nan, np.float32), 4, 32, "head")


@pytest.mark.parametrize(
    ("width", "wanted", "block"),
    [(896, 128, 128), (896, 32, 32), (96, 128, 32), (80, 128, 16), (100, 128, 16), (10, 32, 16)],
)
def test_block_divides_the_width_or_pads_least(width, wanted, block):
    assert choose_block(width, wanted) == block


def run(graph: Graph, **feed: np.ndarray) -> list[np.ndarray]:
    graph.save()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    path = graph.folder / f"{graph.name}.onnx"
    return onnxruntime.InferenceSession(path, options).run(None, feed)


def quiet(name: str, size: int) -> None:
    """No progress bar."""


@pytest.mark.parametrize("width", [64, 100, 80])  # 100: no block divides it, the last is padded
@pytest.mark.parametrize(
    ("form", "bound"),
    [(Blocks(4, 32), 0.15), (Blocks(8, 128), 0.02), (PortableBlocks(4, 32), 0.15),
     (PortableBlocks(8, 128), 0.02), (DynamicInt8(), 0.02), (Float16(), 0.002)],
    ids=lambda value: type(value).__name__ if isinstance(value, Float32) else "",
)
def test_linear_and_table_compute_the_same_as_fp32(tmp_path, rng, form, bound, width):
    weight, bias = rng.standard_normal((30, width), np.float32), np.arange(30, dtype=np.float32)
    x, ids = rng.standard_normal((5, width), np.float32), np.array([[3, 0], [29, 29]])
    graph = Graph(tmp_path, "g", quiet)
    graph.format = form
    graph.input("x", "float32", [5, width])
    graph.input("ids", "int64", [2, 2])
    graph.output(graph.linear("x", weight, "w", bias), "y", "float32", [5, 30])
    table = graph.format.table(graph, weight, "t")
    graph.output(table.gather("ids"), "rows", "float32", [2, 2, width])
    graph.output(table.head("x"), "logits", "float32", [5, 30])
    y, rows, logits = run(graph, x=x, ids=ids)
    assert relative(y, x @ weight.T + bias) < bound
    assert relative(rows, weight[ids]) < bound
    assert relative(logits, x @ weight.T) < bound


def test_the_portable_profile_holds_odd_widths_in_bits_too(tmp_path):
    """No tensor of the decoder but norms, biases, scales and tables of positions is in fp32."""
    sizes = dataclasses.replace(SIZES["tiny"][0], n_embd=33, n_head=3, n_query_groups=1,
                                head_size=16, intermediate_size=50, qkv_bias=False)
    source = make_source("odd", 1, sizes, *SIZES["tiny"][1:])
    told = {}
    for profile in ("portable", "fused"):
        export(source, Options(profile, "int4"), tmp_path / profile)
        path = tmp_path / profile / "decoder.onnx"
        for tensor in onnx.load(path, load_external_data=False).graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2:
                assert tensor.name.endswith((".scale", "cos", "sin")), tensor.name
        report = json.loads((tmp_path / profile / "quantization.json").read_text())
        told[profile] = {t["name"].removesuffix(".weight").removesuffix(".head") for t in
                         report["graphs"]["decoder"]["tensors"]}
    assert told["fused"] <= told["portable"]
    fused, portable = (teacher_forced(tmp_path / profile) for profile in ("fused", "portable"))
    for a, b in zip(fused, portable, strict=True):
        assert relative(a, b) < 0.02


def test_formats_that_do_not_exist_are_refused_with_the_reason():
    with pytest.raises(ExportError, match="fp32 or int8"):
        make_format("codec_decoder", "int4", 128, "fused")
    with pytest.raises(ExportError, match="loses too much"):
        make_format("encoder", "int4", 128, "fused")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Tiny models by (profile, precision), each made once."""
    made: dict[tuple[str, str], Path] = {}

    def folder(profile: str, precision: str, tied: bool = False) -> Path:
        key = (profile, precision, tied)
        if key not in made:
            source = random_source("tiny", 3)
            if tied:
                source.lm_config = dataclasses.replace(source.lm_config, tied=True)
                source.lm = RandomTensors(3, lm_shapes(source.lm_config))
            made[key] = tmp_path_factory.mktemp("model") / "model"
            export(source, Options(profile, precision, block=32), made[key])
        return made[key]

    return folder


def teacher_forced(folder: Path, seed: int = 5) -> list[np.ndarray]:
    """Logits of the last position for many prompts in one batch."""
    manifest = json.loads((folder / "manifest.json").read_text())
    decoder, ids = manifest["decoder"], manifest["ids"]
    rng, batch, length = np.random.default_rng(seed), STEPS, 9
    audio = rng.integers(0, ids["audio_vocab_size"], (batch, 7, length))
    text = rng.integers(0, ids["text_vocab_size"], (batch, 1, length))
    feed = {
        "ids": np.concatenate([audio, text], 1),
        "audio_features": np.zeros((batch, length, decoder["n_embd"]), np.float32),
        "audio_feature_mask": np.zeros((batch, length, 1), np.float32),
        "text_rows": np.arange(batch), "audio_rows": np.arange(batch),
    }
    past = length
    if decoder["kv_cache"] == "shared":
        feed["seqlens_k"] = np.full(batch, length - 1, np.int32)
        feed["total_sequence_length"] = np.array(length, np.int32)
    else:
        past = 0
        bias = np.triu(np.full((length, length), -1e9, np.float32), 1)
        feed["attention_bias"] = np.broadcast_to(bias, (batch, 1, length, length)).copy()
        feed["position_ids"] = np.tile(np.arange(length), (batch, 1))
    shape = (batch, decoder["n_kv_head"], past, decoder["head_size"])
    for layer in range(decoder["n_layer"]):
        for kind in ("key", "value"):
            feed[f"past_key_values.{layer}.{kind}"] = np.zeros(shape, np.float32)
    session = onnxruntime.InferenceSession(folder / "decoder.onnx")
    return session.run(["text_logits", "audio_logits"], feed)


@pytest.mark.parametrize("profile", ["fused", "portable"])
@pytest.mark.parametrize("precision", AGREEMENT)
def test_tiny_model_says_what_fp32_says(exported, profile, precision):
    want = teacher_forced(exported("fused", "fp32"))
    got = teacher_forced(exported(profile, precision))
    agreement = np.concatenate(
        [(a.argmax(-1) == b.argmax(-1)).ravel() for a, b in zip(got, want, strict=True)]
    ).mean()
    assert agreement > AGREEMENT[precision]


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_both_profiles_say_the_same(exported, precision):
    fused = teacher_forced(exported("fused", precision))
    portable = teacher_forced(exported("portable", precision))
    for a, b in zip(fused, portable, strict=True):
        assert relative(a, b) < 0.02  # activations are rounded to 8 bits on the way
        assert (a.argmax(-1) == b.argmax(-1)).mean() > 0.95


def test_encoder_in_int8_hears_the_same(exported):
    rng = np.random.default_rng(1)
    mel = rng.standard_normal((80, 400), np.float32)
    want, got = (
        ModelFolder(exported("fused", precision)).features(mel, 20)
        for precision in ("fp32", "int8")
    )
    assert relative(got, want) < 0.08


def spoken(folder: Path, chunk: int, frames: int = 12) -> np.ndarray:
    """The pcm of random frames, decoded `chunk` frames at a time."""
    manifest = json.loads((folder / "manifest.json").read_text())
    codec, rng = manifest["codec"], np.random.default_rng(2)
    session = onnxruntime.InferenceSession(folder / "codec_decoder.onnx")
    whole, pcm, state = {}, [], {}
    for spec in manifest["graphs"]["codec_decoder"]["inputs"]:
        name, shape = spec["name"], spec["shape"]
        if name.startswith("past_state"):
            state[name] = np.zeros(shape, np.float32)
        elif name.startswith(("codes", "noise")):
            rate = int(shape[-1].removeprefix("frames_x"))
            size = (*shape[:-1], frames * rate)
            codes = name.startswith("codes")
            drawn = rng.integers(0, codec["codebook_size"], size) if codes else (
                rng.standard_normal(size, np.float32)
            )
            whole[name] = drawn, rate
    outputs = [output.name for output in session.get_outputs()]
    for at in range(0, frames, chunk):
        feed = {n: x[..., at * rate : (at + chunk) * rate] for n, (x, rate) in whole.items()}
        counts = {"frames_before": np.array([at]), "clip_frames": np.array([1 << 31])}
        got = dict(zip(outputs, session.run(None, feed | counts | state)))
        state = {name: got[name.replace("past", "present")] for name in state}
        pcm.append(got["pcm"][0])
    return np.concatenate(pcm)


@pytest.mark.parametrize("chunk", [1, 4, 12])
def test_codec_in_int8_sounds_the_same(exported, chunk):
    want = spoken(exported("fused", "fp32"), 12)
    assert relative(spoken(exported("fused", "fp32"), chunk), want) < 1e-5
    assert relative(spoken(exported("fused", "int8"), chunk), want) < 0.04


@pytest.mark.parametrize(("precision", "bound"), [("int8", 0.06), ("int4", 0.6)])
def test_tied_table_is_stored_once(exported, precision, bound):
    folder = exported("fused", precision, tied=True)
    graph = onnx.load(folder / "decoder.onnx", load_external_data=False).graph
    tensors = {t.name: t for t in graph.initializer}
    packed, rows = tensors["embedding.text"], tensors["embedding.text.rows"]
    assert packed.external_data == rows.external_data
    assert np.prod(packed.dims) == np.prod(rows.dims)
    assert "head.text" not in tensors
    assert {t.data_type for n, t in tensors.items() if n.startswith("embedding.text")} == {
        onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT,
    }
    want = teacher_forced(exported("fused", "fp32", tied=True))
    for a, b in zip(teacher_forced(folder), want, strict=True):
        assert relative(a, b) < bound


def test_report_sums_to_the_files(exported):
    folder = exported("fused", "int4")
    report = json.loads((folder / "quantization.json").read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    sizes = {file["name"]: file["bytes"] for file in manifest["files"]}
    assert "quantization.json" in sizes
    assert set(report["graphs"]) == {"encoder", "decoder", "codec_decoder"}
    for name, part in report["graphs"].items():
        quantized = sum(tensor["bytes"] for tensor in part["tensors"])
        assert quantized == part["bytes"]["quantized"]
        assert quantized + part["bytes"]["other"] == part["bytes"]["total"]
        # The file holds no tiny tensors (a few kilobytes), and gaps between the others.
        total = part["bytes"]["total"]
        assert sizes[f"{name}.onnx.data"] == pytest.approx(total, rel=0.05, abs=16_000)
    assert report["total_bytes"] > sum(p["bytes"]["total"] for p in report["graphs"].values())


def test_the_report_tells_errors_by_class(exported):
    """A decoder's embedding in 8 bits must not hide what 4 bits cost its products."""
    report = json.loads((exported("fused", "int4") / "quantization.json").read_text())
    decoder = report["graphs"]["decoder"]
    told = {(c["class"], c["precision"]): c for c in decoder["classes"]}
    assert set(told) == {("embedding", "int8"), ("attention", "int4"), ("mlp", "int4"),
                         ("head", "int4")}
    assert sum(c["tensors"] for c in told.values()) == len(decoder["tensors"])
    assert sum(c["bytes"] for c in told.values()) == decoder["bytes"]["quantized"]
    for (kind, precision), c in told.items():
        own = [t for t in decoder["tensors"] if (t["class"], t["precision"]) == (kind, precision)]
        errors = [tensor["relative_error"] for tensor in own]
        assert c["relative_error"]["mean"] == pytest.approx(np.mean(errors), abs=1e-6)
        assert c["relative_error"]["worst"] == max(errors)
        assert c["relative_error"]["worst_tensor"] in {t["name"] for t in own}
    worst = {kind: c["relative_error"]["worst"] for (kind, _), c in told.items()}
    assert worst["embedding"] < 0.01 < 0.05 < min(worst["attention"], worst["mlp"], worst["head"])
    assert {c["class"] for c in report["graphs"]["encoder"]["classes"]} == {
        "attention", "mlp", "convolution", "adapter"}
    assert {c["class"] for c in report["graphs"]["codec_decoder"]["classes"]} == {"convolution"}


def test_fp32_has_no_report_and_overrides_are_told(exported, tmp_path):
    assert not (exported("fused", "fp32") / "quantization.json").exists()
    options = Options(precision="int4", overrides={"encoder": "fp32"})
    export(random_source("tiny", 3), options, tmp_path / "model")
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert manifest["precision"] == PRECISIONS["int4"] | {"encoder": "fp32"}
    report = json.loads((tmp_path / "model" / "quantization.json").read_text())
    assert set(report["graphs"]) == {"decoder", "codec_decoder"}


def test_work_in_chunks_changes_nothing(rng, monkeypatch):
    weight = rng.standard_normal((50, 64), np.float32)
    whole = quantize_blocks(weight, 4, 32, "w")
    monkeypatch.setattr(quantize, "CHUNK", 200)
    pieces = quantize_blocks(weight, 4, 32, "w")
    assert (whole.values == pieces.values).all()
    assert (whole.scales == pieces.scales).all()

"""The merged window: the encoder's graph against numpy, numpy against torch, and its plan."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import FIXTURES, LOGITS, PROFILES, TINY
from runtime import onnxruntime

from mini_omni_export import window
from mini_omni_export.checkpoint import Tensors, load
from mini_omni_export.config import read_decoder_config, read_whisper_config
from mini_omni_export.encoder import build_encoder
from mini_omni_export.functions import COUNTED_ATTENTION8
from mini_omni_export.graph import Graph
from mini_omni_export.model import export
from mini_omni_export.options import Options
from mini_omni_export.random_model import random_source
from mini_omni_export.window import Hearing, Kept

PLAN = {"margin": 20, "kept": [*range(7, 1499, 9), 1499]}
FEATURES = 98  # of output1.wav
EVERY = Kept(np.arange(1500), np.zeros(1500))
CLOSE = 1e-3  # of attention as one function


@pytest.fixture(scope="module")
def checkpoint():
    """The tiny checkpoint's encoder and adapter, with their sizes."""
    folder, file = TINY / "checkpoint" / "mini-omni", TINY / "checkpoint/whisper/small.pt"
    whisper = load(file)
    return (
        Tensors(whisper["model_state_dict"], file), read_whisper_config(whisper["dims"], file),
        Tensors(load(folder / "lit_model.pth"), folder),
        read_decoder_config(folder / "model_config.yaml"),
    )


@pytest.fixture(scope="module")
def mel():
    """The mel of output1.wav, in the full window."""
    heard = np.load(FIXTURES / "mel" / "mel.npy")
    behind = 3000 - heard.shape[1]
    return np.pad(heard, ((0, 0), (0, behind)), constant_values=heard[0, -1])


def adapted(lm: Tensors, x: np.ndarray) -> np.ndarray:
    """Mini-Omni's adapter, in numpy."""
    one, two, proj = (lm(f"whisper_adapter.{name}.weight") for name in ("fc_1", "fc_2", "proj"))
    gate = x @ one.T
    return (gate / (1 + np.exp(-gate)) * (x @ two.T)) @ proj.T


def heard(checkpoint, mel: np.ndarray, kept: Kept) -> np.ndarray:
    """Features of the clip's own positions, in numpy."""
    whisper, config, lm, _ = checkpoint
    x = Hearing.of(whisper, config).features(mel, kept)
    return adapted(lm, x[:FEATURES])


def test_the_encoder_in_numpy_hears_what_torch_hears(checkpoint, mel):
    found = heard(checkpoint, mel, EVERY)
    assert np.abs(found - np.load(TINY / "expected" / "features.npy")).max() < LOGITS


def graph_of(checkpoint, folder: Path, fused: bool) -> onnxruntime.InferenceSession:
    """The encoder's graph for the merged window, in fp32."""
    graph = Graph(folder, "encoder", lambda *_: None)
    build_encoder(graph, *checkpoint, fused=fused, merged=True)
    graph.save()
    return onnxruntime.InferenceSession(folder / "encoder.onnx")


@pytest.mark.parametrize("profile", PROFILES)
def test_the_graph_hears_in_the_merged_window_what_numpy_hears(checkpoint, mel, tmp_path, profile):
    session = graph_of(checkpoint, tmp_path, profile == "fused")
    kept = Kept.of(PLAN, FEATURES)
    exact = FEATURES + PLAN["margin"]
    rows = np.array([*range(exact), *[exact - 1] * (1499 - exact), exact])
    # The silence between the clip and the window's edge is not given to the graph.
    feed = feed_of(mel[:, : 2 * (exact + 1)], rows, kept)
    want = heard(checkpoint, mel, kept)
    assert np.abs(session.run(None, feed)[0] - want).max() < LOGITS
    every = feed_of(mel, np.arange(1500), EVERY)
    full = heard(checkpoint, mel, EVERY)
    assert np.abs(session.run(None, every)[0] - full).max() < LOGITS
    dropped = heard(checkpoint, mel, dataclasses.replace(kept, log_counts=0 * kept.log_counts))
    assert np.linalg.norm(want - full) < 0.5 * np.linalg.norm(dropped - full)


def feed_of(mel: np.ndarray, rows: np.ndarray, kept: Kept) -> dict[str, np.ndarray]:
    """The graph's inputs."""
    return {
        "mel": mel[None], "n_features": np.array([FEATURES]), "rows": rows,
        "kept": kept.positions, "log_counts": kept.log_counts.astype(np.float32),
    }


def test_a_key_that_counts_as_three_is_three_keys(tmp_path):
    graph = Graph(tmp_path, "attention", lambda *_: None)
    shapes = {"q": [1, "m", 128], "k": [1, "n", 128], "v": [1, "n", 128], "counts": ["n"]}
    for name, shape in shapes.items():
        graph.input(name, "float32", shape)
    y = graph.call(COUNTED_ATTENTION8, *shapes, num_heads=2)
    graph.output(y, "y", "float32", [1, "m", 128])
    graph.save()
    session = onnxruntime.InferenceSession(tmp_path / "attention.onnx")
    rng = np.random.default_rng(3)
    q, k, v = (rng.standard_normal((1, n, 128), np.float32) for n in (5, 4, 4))
    counts, thrice = np.array([1, 3, 1, 1]), [0, 1, 1, 1, 2, 3]
    once = {"q": q, "k": k, "v": v, "counts": np.log(counts).astype(np.float32)}
    copies = once | {"k": k[:, thrice], "v": v[:, thrice], "counts": np.zeros(6, np.float32)}
    found, want = (session.run(None, feed)[0] for feed in (once, copies))
    assert np.abs(found - want).max() < CLOSE


def test_a_position_that_others_attend_to_is_never_left_out(checkpoint):
    whisper, config, *_ = checkpoint
    table = whisper("encoder.positional_embedding").copy()
    table[702] *= 60
    loud = Tensors(whisper.state | {"encoder.positional_embedding": table}, Path("loud.pt"))
    assert window.registers(loud, config) == [702]
    plan = window.plan(loud, config, trained=True)
    plain = window.plan(loud, config, trained=False)
    assert set(plan["kept"]) - set(plain["kept"]) == {701, 702} - set(plain["kept"])
    kept = Kept.of(plan, FEATURES)
    assert kept.log_counts[kept.positions == 702] == 0
    assert np.exp(kept.log_counts).sum() == pytest.approx(1500)


def test_only_an_encoder_in_eight_bits_has_a_plan(tmp_path):
    for precision in ("fp32", "int8"):
        export(random_source("tiny", 1), Options(precision=precision), tmp_path / precision)
        manifest = json.loads((tmp_path / precision / "manifest.json").read_text())
        inputs = [spec["name"] for spec in manifest["graphs"]["encoder"]["inputs"]]
        planned = precision == "int8"
        assert ("merged_window" in manifest) == planned
        assert (inputs == ["mel", "n_features", "rows", "kept", "log_counts"]) == planned

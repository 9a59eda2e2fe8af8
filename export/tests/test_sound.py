"""The codec in numpy against its graph, and which of its layers the export keeps exact."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import onnx
import pytest
from conftest import PCM
from runtime import onnxruntime

from mini_omni_export import random_model, sound
from mini_omni_export.codec import build_codec_decoder
from mini_omni_export.graph import Graph
from mini_omni_export.model import export
from mini_omni_export.options import Options
from mini_omni_export.random_model import random_source
from mini_omni_export.sound import FRAMES, LEAST_DB, Sound

# Residual units that add as much as they get make small errors grow from layer to layer.
WILD = [(re.compile(r"linear\.weight_g"), 0.1)]


@pytest.fixture
def wild(monkeypatch):
    """A random model whose codec 8 bits would spoil."""
    monkeypatch.setattr(random_model, "GAINS", WILD)
    return random_source("tiny", 1)


def test_the_codec_in_numpy_sounds_as_its_graph(tmp_path):
    source = random_source("tiny", 2)
    graph = Graph(tmp_path, "codec_decoder", lambda *_: None)
    made = build_codec_decoder(graph, source.snac, source.snac_config)
    delay, spec = made["delay_samples"], graph.save()
    codes, noise = sound.draws(source.snac_config)
    after = -(-delay // source.snac_config.samples_per_frame)  # frames that push the last sound out
    feed = {"frames_before": np.array([0]), "clip_frames": np.array([FRAMES])}
    drawn = {f"codes_{i}": ids[None] for i, ids in enumerate(codes)}
    drawn |= {f"noise_{i}": values[None, None] for i, values in enumerate(noise)}
    for name, values in drawn.items():
        behind = values.shape[-1] // FRAMES * after
        feed[name] = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, behind)])
    for i, block in enumerate(made["noise"]):  # each block's noise is as late as its input
        feed[f"noise_{i}"] = np.roll(feed[f"noise_{i}"], block["delay"], axis=-1)
    for entry in spec["inputs"]:
        if entry["name"].startswith("past_state"):
            feed[entry["name"]] = np.zeros(entry["shape"], np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "codec_decoder.onnx")
    pcm = session.run(["pcm"], feed)[0][0]
    want = Sound(source.snac, source.snac_config).decode(codes, noise)
    assert np.abs(pcm[delay : delay + len(want)] - want).max() < PCM


def test_a_codec_that_bears_8_bits_has_them_in_every_layer():
    source = random_source("tiny", 1)
    verdict = sound.verdict(source.snac, source.snac_config)
    assert verdict.exact == []
    assert LEAST_DB < verdict.db == verdict.kept_db < math.inf


def test_layers_that_8_bits_would_spoil_stay_exact(wild, tmp_path, capsys):
    verdict = sound.verdict(wild.snac, wild.snac_config)
    assert verdict.db < LEAST_DB <= verdict.kept_db
    assert 0 < len(verdict.exact) < verdict.layers
    export(wild, Options(precision="int8"), tmp_path / "model")
    said = capsys.readouterr().err
    assert f"{verdict.db:.1f} dB" in said and "--codec-precision fp32" in said
    graph = onnx.load(tmp_path / "model" / "codec_decoder.onnx", load_external_data=False).graph
    in_8_bits = {t.name.removesuffix(".weight.scale") for t in graph.initializer
                 if t.name.endswith(".weight.scale")}
    assert in_8_bits and not in_8_bits & set(verdict.exact)
    report = json.loads((tmp_path / "model" / "quantization.json").read_text())
    assert report["graphs"]["codec_decoder"]["sound"] == {
        "all_in_8_bits_db": round(verdict.db, 1), "db": round(verdict.kept_db, 1),
        "exact_layers": verdict.exact,
    }

"""Random models: the published sizes without the published weights, the same bytes every time."""

from __future__ import annotations

import json
import math

import numpy as np
import onnx
import pytest
from conftest import ROOT
from graphs import ModelFolder
from tokenizers import Tokenizer

from mini_omni_export.cli import main
from mini_omni_export.random_model import SIZES, random_source
from mini_omni_export.shapes import codec_shapes, lm_shapes, whisper_shapes

COMMITTED = ROOT / "onnx" / "tiny-random"
COMMITTED_BYTES = 4_000_000
ROUNDING = 1e-5  # sines and matrix products differ a little between processors


def tiny(out, seed: int = 1):
    assert main(["--random", "tiny", "--seed", str(seed), "--out", str(out)]) == 0
    return out


def count(shapes) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def test_full_has_the_published_sizes():
    lm, whisper, codec = SIZES["full"]
    head = lm.vocab_size * lm.n_embd  # stored although tied
    assert count(lm_shapes(lm)) + head == 694_294_400
    assert lm.vocab_size == 181_120
    assert count(codec_shapes(codec)) == 19_842_914
    assert count(whisper_shapes(whisper)) == 88_154_112
    assert codec.samples_per_frame == 2048


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    one, two, other = (tiny(tmp_path / str(i), seed) for i, seed in enumerate([5, 5, 6]))
    files = sorted(p.name for p in one.iterdir())
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in files)
    assert (one / "decoder.onnx.data").read_bytes() != (other / "decoder.onnx.data").read_bytes()


def test_a_tensor_does_not_depend_on_what_was_asked_before():
    first, second = random_source("tiny", 1).lm, random_source("tiny", 1).lm
    name = "transformer.h.1.mlp.fc_1.weight"
    second("transformer.wte.weight")
    assert (first(name) == second(name)).all()
    assert (first(name) == first(name)).all()


def test_the_committed_model_is_what_the_command_makes(tmp_path):
    made = tiny(tmp_path / "model")
    assert sum(p.stat().st_size for p in COMMITTED.iterdir()) <= COMMITTED_BYTES
    assert {p.name for p in made.iterdir()} == {p.name for p in COMMITTED.iterdir()}
    ours, theirs = (json.loads((f / "manifest.json").read_text()) for f in (made, COMMITTED))
    for manifest in (ours, theirs):
        manifest.pop("files")
    assert ours == theirs
    for graph in ours["graphs"].values():
        ours, theirs = (onnx.load(folder / graph["file"]).graph for folder in (made, COMMITTED))
        assert [n.SerializeToString() for n in ours.node] == [
            n.SerializeToString() for n in theirs.node
        ]
        for a, b in zip(ours.initializer, theirs.initializer, strict=True):
            a, b = onnx.numpy_helper.to_array(a), onnx.numpy_helper.to_array(b)
            np.testing.assert_allclose(a, b, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("seed", [1, 2])
def test_its_sound_is_neither_silent_nor_clipped(tmp_path, seed):
    model = ModelFolder(tiny(tmp_path / "model", seed))
    rng = np.random.default_rng(1)
    frames = rng.integers(0, model.manifest["codec"]["codebook_size"], (12, 7))
    noise = [rng.standard_normal(12 * n["per_frame"]) for n in model.manifest["codec"]["noise"]]
    pcm = model.pcm(frames, noise=noise)
    assert np.isfinite(pcm).all()
    assert 0.01 < pcm.std() < 0.4
    assert np.abs(pcm).max() < 0.9


def test_its_tokenizer_is_readable_and_holds_every_byte():
    tokenizer = Tokenizer.from_file(str(COMMITTED / "tokenizer.json"))
    text = "Hello, what is your name?\n\tÄ → 你好 🙂"
    ids = tokenizer.encode(text).ids
    assert ids == list(text.encode())
    assert tokenizer.decode(ids) == text

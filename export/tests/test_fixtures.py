"""The committed tiny models against what two implementations in torch said for their checkpoint:
the original's own code (tests/fixtures/original) and our reference (tests/fixtures/tiny)."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from conftest import FIXTURES, LOGITS, PCM, PROFILES, STREAMED, TINY
from graphs import ModelFolder, domains, prompt
from tokenizers import Tokenizer

CASES = json.loads((TINY / "expected.json").read_text())
MEL_FRAMES = 3000
BY = ["tiny", "original"]


@pytest.fixture(scope="module", params=PROFILES)
def model(request) -> ModelFolder:
    return ModelFolder(TINY / request.param)


def expected(name: str, by: str = "tiny") -> np.ndarray:
    return np.load(FIXTURES / by / "expected" / f"{name}.npy")


def mel() -> np.ndarray:
    """[80, 3000] of output1.wav: beyond the frames that are stored there is silence."""
    heard = np.load(FIXTURES / "mel" / "mel.npy")
    silence = ((0, 0), (0, MEL_FRAMES - heard.shape[1]))
    return np.pad(heard, silence, constant_values=heard.min())


@pytest.mark.parametrize("by", BY)
def test_the_encoder_hears_what_the_reference_hears(model, by):
    wanted = expected("features", by)
    assert np.abs(model.features(mel(), len(wanted)) - wanted).max() < LOGITS


@pytest.mark.parametrize("by", BY)
def test_the_first_logits_are_the_references(model, by):
    features = expected("features", by)
    ids = prompt("a1a2-batch", model.ids, len(features), [])
    text, audio = model.decoding(len(ids), ids.shape[2])(ids, features)
    assert np.abs(text - expected("logits_text", by)).max() < LOGITS
    assert np.abs(audio - expected("logits_audio", by)).max() < LOGITS


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['task']} {case['input']}")
def test_every_step_chooses_the_references_ids(model, case):
    """Fed the expected ids, both profiles must choose the expected next ones."""
    spoken = bool(case["tokens"][0])
    steps = np.array([stream for stream in case["tokens"] if stream]).T  # [steps, 8 or 1]
    chosen = [choose(model, case, logits) for logits in replay(model, case, steps)]
    eot = np.flatnonzero(steps[1:, -1] == model.ids["eot"])
    text_steps = 2 + eot[0] if spoken and len(eot) else len(steps)  # then it is pad_t, unasked
    assert np.array_equal(np.array(chosen)[:text_steps, -1], steps[:text_steps, -1])
    assert np.array_equal(np.array(chosen)[:, :-1], steps[:, :-1])


def replay(model: ModelFolder, case: dict, steps: np.ndarray):
    """The logits (text, audio) behind each kept step of a case."""
    features, text_ids = None, []
    if case["input"].endswith(".wav"):
        features = expected("features")
    else:
        tokenizer = Tokenizer.from_file(str(model.folder / "tokenizer.json"))
        text_ids = tokenizer.encode(case["input"]).ids
    n_features = 0 if features is None else len(features)
    ids = prompt(case["task"], model.ids, n_features, text_ids)
    assert ids.shape[2] == case["prompt_length"]
    decoding = model.decoding(len(ids), ids.shape[2] + len(steps))
    yield decoding(ids, features)
    for step in steps[:-1]:
        column = np.full((len(ids), 8, 1), model.ids["pad_a"])
        column[0, :7, 0] = step[:-1] if len(step) > 1 else model.ids["pad_a"]
        column[:, 7] = step[-1]
        yield decoding(column)


def choose(model: ModelFolder, case: dict, logits: tuple) -> list[int]:
    """The likeliest ids: audio of row 0 where the task speaks, text of the last row."""
    text, audio = logits
    heads = [*audio[0]] if case["tokens"][0] else []
    return [int(head.argmax()) for head in [*heads, text[-1]]]


@pytest.mark.parametrize("by", BY)
def test_the_sound_is_the_references(model, by):
    assert np.abs(model.pcm(expected("frames")) - expected("pcm", by)).max() < PCM


@pytest.mark.parametrize("stride", [1, 2, 4, 7])
def test_sound_in_pieces_is_the_whole_sound(model, stride):
    whole = model.pcm(expected("frames"))
    assert np.abs(model.pcm(expected("frames"), stride) - whole).max() < STREAMED


def test_noise_is_the_same_however_the_clip_is_cut(model):
    frames, rng = expected("frames"), np.random.default_rng(1)
    noise = [
        rng.standard_normal(len(frames) * spec["per_frame"], dtype=np.float32)
        for spec in model.manifest["codec"]["noise"]
    ]
    whole = model.pcm(frames, noise=noise)
    assert np.abs(whole - model.pcm(frames)).max() > PCM
    assert np.abs(model.pcm(frames, 3, noise) - whole).max() < STREAMED


def test_one_frame_and_none_are_answers_too(model):
    frames = expected("frames")
    samples = model.manifest["codec"]["samples_per_frame"]
    assert model.pcm(frames[:1]).shape == (samples,)
    assert model.pcm(frames[:0]).shape == (0,)


def test_portable_graphs_are_of_standard_operators():
    for path in (TINY / "portable").glob("*.onnx"):
        assert domains(onnx.load(path)) == {""}, path

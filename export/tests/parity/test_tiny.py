"""Tiny checkpoints through export and the built binary, against the torch reference, id for id.

The project's own fixture, and the golden data of the original implementation where it lies beside
the repository (it is not part of it).
"""

from __future__ import annotations

import json
from pathlib import Path

import binary
import numpy as np
import pytest
import torch
from conftest import CLEAR, FIXTURES, LOGITS, MEL, PCM, PROFILES, ROOT, STREAMED, TINY
from graphs import ModelFolder, prompt
from make_fixtures import CASES, Reference, describe
from reference import frames_of, generate, log_mel, read_wav

SHARED = ROOT.parent / "shared"
GOLDEN = SHARED / "golden"
NO_GOLDEN = "the original's golden data is not beside the repository"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=NO_GOLDEN)
TASKS = {"A1A2": "a1a2", "A1A2batch": "a1a2-batch", "A1T1": "a1t1", "A1T2": "a1t2",
         "T1A2": "t1a2", "T1T2": "t1t2", "stream": "a1a2-batch"}
TEXTS = {"text0": "What is your name?", "text1": "How are you feeling today?"}
GOLDEN_STEPS = 120
CHUNK_FRAMES = 4
GOLDEN_FILES = sorted(GOLDEN.glob("expected/*_*.npz"))
ANSWERS = [path for path in GOLDEN_FILES if path.stem.split("_")[0] in TASKS]
SPOKEN = [path for path in ANSWERS if "A2" in path.stem]
STREAMS = [path for path in GOLDEN_FILES if path.stem.startswith("stream")]
HEARD = [path for path in GOLDEN_FILES if path.stem.startswith("audio")]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[tuple[Path, str], Path]:
    """Every checkpoint exported in every profile."""
    folder, exported = tmp_path_factory.mktemp("models"), {}
    for checkpoint in [TINY / "checkpoint", GOLDEN / "checkpoint"]:
        for profile in PROFILES if checkpoint.is_dir() else []:
            out = folder / checkpoint.parent.name / profile
            binary.export(checkpoint, out, profile)
            exported[checkpoint, profile] = out
    return exported


@pytest.fixture(scope="module")
def tiny() -> Reference:
    return Reference(TINY / "checkpoint")


@pytest.fixture(scope="module")
def golden() -> Reference:
    return Reference(GOLDEN / "checkpoint")


def clear_steps(margins: list) -> int:
    """Passes before the first choice too close to demand."""
    unclear = [i for i, gaps in enumerate(margins) if np.nanmin(gaps) < CLEAR]
    return unclear[0] if unclear else len(margins)


def assert_ids(said: list[list[int]], wanted: list[list[int]], margins: list) -> None:
    """Equal ids in all streams, as far as every choice was clear."""
    clear = clear_steps(margins)
    cut = [stream[:clear] for stream in wanted]
    assert [stream[:clear] for stream in said] == cut
    if clear == len(margins):
        assert said == wanted


def question(name: str) -> Path | str:
    """What a golden file's input names."""
    return TEXTS[name] if name in TEXTS else SHARED / "audio" / "questions" / f"{name}.wav"


def test_the_committed_expectations_are_the_references(tiny):
    committed = json.loads((TINY / "expected.json").read_text())
    for case, (task, source) in zip(committed, CASES, strict=True):
        now = describe(task, source, tiny.answer(task, source))
        assert_ids(now["tokens"], case["tokens"], case["margins"])
        assert {**now, "margins": 0, "tokens": 0} == {**case, "margins": 0, "tokens": 0}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("task", "source"), CASES)
def test_the_binary_says_what_the_reference_says(models, tiny, task, source, profile):
    asked = FIXTURES / "audio" / source if source.endswith(".wav") else source
    answer = tiny.answer(task, source)
    said = binary.ask(models[TINY / "checkpoint", profile], task, asked, 40)
    assert_ids(said.trace["tokens"], answer.tokens, answer.margins)
    assert said.trace["ended"] == answer.ended
    assert said.trace["prompt_length"] == answer.prompt_length
    if task in binary.SPOKEN:
        frames = frames_of(answer.tokens)
        wanted = tiny.snac.decode_frames(frames).numpy()
        assert said.trace["frames"] == len(frames)
        assert np.abs(said.pcm - wanted).max() < PCM


@pytest.mark.parametrize("profile", PROFILES)
def test_sound_becomes_the_references_codes(models, tiny, profile):
    pcm = torch.from_numpy(np.load(TINY / "expected" / "pcm.npy"))
    graph = ModelFolder(models[TINY / "checkpoint", profile])
    codes = graph.run("codec_encoder", {"pcm": pcm.numpy()[None, None]})
    for level, wanted in enumerate(tiny.snac.encode(pcm)):
        assert np.array_equal(codes[f"codes_{level}"], wanted.numpy())


@needs_golden
@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.stem)
def test_reference_and_binary_say_what_the_original_said(models, golden, path):
    kind, source = path.stem.split("_")
    wanted, asked, task = np.load(path), question(source), TASKS[kind]
    tokens = wanted["tokens"].tolist() if "tokens" in wanted else [
        *[[]] * 7, wanted["tokens_text"].tolist()
    ]
    answer = generate(golden.decoder, task, golden.question(str(asked)), GOLDEN_STEPS)
    assert_ids(answer.tokens, tokens, wanted["margins"])
    for stream, logits in enumerate(answer.first_logits):
        assert np.abs(logits.numpy() - wanted[f"logits0_{stream}"]).max() < LOGITS
    for profile in PROFILES:
        said = binary.ask(models[GOLDEN / "checkpoint", profile], task, asked, GOLDEN_STEPS)
        assert_ids(said.trace["tokens"], tokens, wanted["margins"])
        if "pcm_nonoise" in wanted:
            assert np.abs(said.pcm - wanted["pcm_nonoise"].clip(-1, 1)).max() < PCM


@needs_golden
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.stem)
def test_the_first_logits_are_the_originals(models, golden, path, profile):
    wanted = np.load(path)
    model = ModelFolder(models[GOLDEN / "checkpoint", profile])
    kind, source = path.stem.split("_")
    known = golden.question(str(question(source)))
    features = None if known.features is None else known.features.numpy()
    n_features = 0 if features is None else len(features)
    ids = prompt(TASKS[kind], model.ids, n_features, known.text_ids or [])
    text, audio = model.decoding(len(ids), ids.shape[2])(ids, features)
    heads = [*audio.swapaxes(0, 1), text]
    for stream, logits in enumerate(heads):
        assert np.abs(logits - wanted[f"logits0_{stream}"]).max() < LOGITS


@needs_golden
@pytest.mark.parametrize("path", HEARD, ids=lambda path: path.stem)
def test_sound_in_is_heard_as_the_original_hears_it(models, golden, path):
    wanted, pcm = np.load(path), read_wav(question(path.stem.split("_")[1]))
    n = int(wanted["leng"])
    assert np.abs(log_mel(pcm).numpy() - wanted["mel"]).max() < MEL
    assert np.abs(golden.encoder(pcm).numpy() - wanted["adapter"][0]).max() < LOGITS
    for profile in PROFILES:
        features = ModelFolder(models[GOLDEN / "checkpoint", profile]).features(wanted["mel"], n)
        assert np.abs(features - wanted["adapter"][0]).max() < LOGITS


@needs_golden
@pytest.mark.parametrize("path", SPOKEN, ids=lambda path: path.stem)
def test_the_originals_noise_gives_the_originals_sound(models, golden, path):
    wanted = np.load(path)
    frames = np.array(frames_of(wanted["tokens"].tolist()))
    noise = [wanted[f"noise{block}"] for block in range(4)]
    drawn = [torch.from_numpy(block) for block in noise]
    pcm = golden.snac.decode_frames(frames.tolist(), drawn).numpy()
    assert np.abs(pcm - wanted["pcm_seed1234"]).max() < PCM
    model = ModelFolder(models[GOLDEN / "checkpoint", "fused"])
    drawn = [block[0, 0] for block in noise]
    whole = model.pcm(frames, noise=drawn)
    assert np.abs(whole - wanted["pcm_seed1234"]).max() < PCM
    for stride in (1, 2, 4, 7):
        assert np.abs(model.pcm(frames, stride, drawn) - whole).max() < STREAMED


@needs_golden
@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_the_originals_chunks_are_our_frames_cut_in_fours(models, path):
    """It decoded every four frames alone and dropped the rest; so do we here, to compare."""
    wanted = np.load(path)
    model = ModelFolder(models[GOLDEN / "checkpoint", "fused"])
    said = binary.ask(model.folder, "a1a2-batch", question(path.stem.split("_")[1]), GOLDEN_STEPS)
    frames = np.array(frames_of(said.trace["tokens"]))
    chunks = [frames[i : i + CHUNK_FRAMES] for i in range(0, len(frames), CHUNK_FRAMES)]
    chunks = [chunk for chunk in chunks if len(chunk) == CHUNK_FRAMES]
    assert np.array_equal(np.stack(chunks)[:, :, 0], wanted["codes0"])
    pcm = np.concatenate([model.pcm(chunk) for chunk in chunks])
    assert np.abs(pcm - wanted["chunk_pcm_i16_nonoise"] / 32768).max() < PCM

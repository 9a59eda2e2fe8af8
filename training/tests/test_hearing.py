"""What hearing is learned from: the encoder in the merged window, and stray words."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mini_omni_export import checkpoint, window
from mini_omni_export.checkpoint import Tensors
from mini_omni_export.config import read_whisper_config
from toys import TOY, random_whisper

from mini_omni_training import layout, phases, stray
from mini_omni_training.domain import UNKNOWN, questions
from mini_omni_training.model import Omni
from mini_omni_training.spectra import whisper_mel
from mini_omni_training.whisper import SAMPLES, Encoder

DEEP = replace(TOY, n_layer=4)  # so that blocks lie above the one in which words are known


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random encoder whose blocks all matter."""
    path = tmp_path_factory.mktemp("whisper") / "random.pt"
    random_whisper(path, layers=3, width=96, scale=0.15)
    return path


@pytest.mark.parametrize("seconds", [0.03, 2.0, 7.91, 29.7, 30.0, 31.0])
def test_a_clip_is_heard_as_the_export_hears_it(whisper: Path, seconds: float):
    # The other implementation is numpy's, which computes the whole mel and every convolution.
    draw = np.random.default_rng(3)
    pcm = (0.1 * draw.standard_normal(int(16_000 * seconds))).astype(np.float32)
    encoder = Encoder(whisper)
    found = encoder.hear(pcm, merged=True).numpy()

    saved = checkpoint.load(whisper)
    config = read_whisper_config(saved["dims"], whisper)
    hearing = window.Hearing.of(Tensors(saved["model_state_dict"], whisper), config)
    whole = torch.zeros(1, SAMPLES)
    whole[0, : len(pcm)] = torch.from_numpy(pcm[:SAMPLES])
    mel = whisper_mel(whole)[0].numpy()
    wanted = hearing.features(mel, window.Kept.of(encoder.plan, len(found)))[: len(found)]
    assert len(found) == min(1500, len(pcm) // 320 + 1)
    alike = (found * wanted).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)
    assert alike.min() > 0.999  # one side computes in bfloat16


def test_what_is_only_heard_costs_what_it_would_within_the_whole():
    torch.manual_seed(0)
    model = Omni(DEEP)
    said = layout.answer(DEEP, [1], None)
    rows = [
        layout.row(DEEP, layout.TASKS["A1T1"], torch.randn(n, 24), said, words)
        for n, words in ((9, [5, 6]), (6, [7]))
    ]
    batch = layout.collate(DEEP, rows)
    _, named = phases.losses(model, batch, batch.ids, torch.zeros(384, dtype=torch.bool))
    alone = phases.heard_alone(model, batch)
    assert abs(float(alone.detach()) - named["heard"]) < 0.02 * named["heard"]
    alone.backward()
    above = model.transformer["h"][2].mlp.proj.weight.grad
    assert above is None and model.whisper_adapter.proj.weight.grad.abs().max() > 0


def test_stray_words_keep_a_questions_numbers(monkeypatch: pytest.MonkeyPatch):
    words = ["river", "gentle", "market", "i"]
    monkeypatch.setattr(stray, "_words", lambda: (words, [1.0, 2.0, 3.0, 4.0]))
    among = [q for q in questions() if q.kind == "addition"]
    rng, kinds = random.Random(5), Counter()
    for _ in range(300):
        question = rng.choice(among)
        found = stray.stray(rng, question, question.question)
        kinds[found.kind, found.answer == question.answer] += 1
        assert found.answer in ("", UNKNOWN, question.answer)
        assert found.question[0].isupper() and found.question[-1] in ".?!"
        if found.answer == question.answer:  # it stands behind others, whole
            assert found.question.lower().endswith(question.question.lower())
        elif found.answer == "" and question.question.split()[0] in found.question:
            numbers = [w for w in question.question.rstrip("?.").split() if w in stray.NUMBERS]
            assert all(number in found.question for number in numbers)
    assert len(kinds) == 2 and min(kinds.values()) > 50


def test_words_that_nobody_should_have_said_are_left_out():
    words, weights = stray._words()
    assert len(words) > 5000 and weights == sorted(weights)
    assert not [w for w in words if stray.UNWANTED.search(w)]
    assert {"the", "i", "please", "grandmother"} <= set(words)

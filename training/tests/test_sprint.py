"""Training for a GPU at toy scale, on the CPU: packed lines and the optimizer against the plain
ones, and a whole run that ends by the clock."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from toys import random_whisper, speak

from mini_omni_training import tokenizer
from mini_omni_training.clips import Clips
from mini_omni_training.config import Config
from mini_omni_training.domain import questions
from mini_omni_training.layout import TASKS, answer, collate, row
from mini_omni_training.model import Omni
from mini_omni_training.muon import BatchedMuon
from mini_omni_training.packed_losses import losses, who_sees_whom
from mini_omni_training.packs import Sound, lines_of, pack, tensors
from mini_omni_training.phases import losses as plain_losses
from mini_omni_training.sprint import MIXES, mix_at
from mini_omni_training.whisper import Encoder

CONFIG = Config(
    n_layer=2, n_embd=32, n_head=2, n_query_groups=1, head_size=16, intermediate_size=48,
    text_vocab_size=128, audio_vocab_size=96, whisper_adapter_dim=8,
)  # fmt: skip
CPU = torch.device("cpu")
MIX = dict.fromkeys(["T1T2", "A1T2", "A1A2", "T1A2", "A1T1"], 0.2)


class Unvaried:
    """A table of features that are never varied."""

    features = torch.randn(50, 8, generator=torch.Generator().manual_seed(1))

    def take(self, batch):
        return self.features[batch["heard_row"]]


def some_rows():
    draw = random.Random(3)
    rows = []
    for name in ("T1T2", "A1T2", "A1A2", "T1T2", "T1A2", "A1T1"):
        task = TASKS[name]
        said = [draw.randrange(60) for _ in range(draw.randrange(3, 6))]
        frames = torch.randint(30, (9, 7)) if task.speaks else None
        ids = answer(CONFIG, said, frames)
        source = [draw.randrange(60) for _ in range(5)]
        if task.hears:
            source = Sound(np.arange(10, 22), 0, 0, 0.0, 0.0)
        rows.append((row(CONFIG, task, source, ids, [1, 2] if task.hears else ()), name))
    return rows


def packed(rows, mix, lines, length):
    return pack(CONFIG, rows, mix, lines, length, 0.0, np.random.default_rng(0))


def alone(found):
    if isinstance(found.features, Sound):
        found.features = Unvaried.features[found.features.rows]
    return collate(CONFIG, [found])


def test_rows_of_a_line_do_not_see_each_other():
    torch.manual_seed(0)
    model, rows = Omni(CONFIG), some_rows()
    whole = packed(rows, MIX, 2, 96)
    batch = tensors(whole, CPU)
    at = batch["heard_at"].long()
    features, here = torch.zeros(2 * 96, 8), torch.zeros(2 * 96, dtype=torch.bool)
    features[at], here[at] = Unvaried().take(batch), True
    inputs = (batch["ids"].long(), features.view(2, 96, 8), here.view(2, 96))
    ends = model.blocks(*inputs, mask=who_sees_whom(batch["segment"]))[-1].flatten(0, 1)
    segment = whole["segment"].ravel()
    pieces = [ends[segment == number] for number in range(1, segment.max() + 1)]
    assert sorted(map(len, pieces)) == sorted(len(found) for found, _ in rows)
    for found, name in rows:
        single = alone(found)
        expected = model(single.ids, single.features, single.heard)[0]
        same = [piece for piece in pieces if len(piece) == len(expected)]
        assert any(torch.allclose(piece, expected, atol=1e-4) for piece in same), name


@pytest.mark.parametrize("which", range(6))
def test_a_single_row_has_the_plain_loss(which: int):
    torch.manual_seed(0)
    model, (found, name) = Omni(CONFIG), some_rows()[which]
    starts = torch.zeros(128, dtype=torch.bool)
    starts[::2] = True
    any_word = torch.zeros(128).masked_fill(~starts, -torch.inf)
    mix = {name: 1.0}
    batch = tensors(packed([(found, name)], mix, 1, 64), CPU)
    loss, _ = losses(model, Unvaried(), batch, any_word, mix)
    single = alone(found)
    expected, _ = plain_losses(model, single, single.ids, starts)
    assert torch.isclose(loss, expected, rtol=0.02)


def test_a_batch_taken_apart_has_the_same_gradient():
    torch.manual_seed(0)
    model, any_word = Omni(CONFIG), torch.zeros(128)
    whole = packed(some_rows(), MIX, 2, 96)
    assert abs(whole["text_weight"].sum() - 1) < 1e-5

    def gradient(parts):
        model.zero_grad()
        for part in parts:
            losses(model, Unvaried(), tensors(part, CPU), any_word, MIX)[0].backward()
        return model.lm_head.weight.grad.clone()

    at_once = gradient([whole])
    apart = gradient([lines_of(whole, 0, 1), lines_of(whole, 1, 2)])
    assert float((at_once - apart).norm()) < 0.02 * float(at_once.norm())


def test_the_batched_muon_is_torchs():
    torch.manual_seed(0)
    ours = [torch.randn(shape) for shape in ((8, 12), (8, 12), (12, 8))]
    theirs = [p.clone().requires_grad_() for p in ours]
    muon = BatchedMuon(ours, 0.1)
    other = torch.optim.Muon(theirs, 1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for a, b in zip(ours, theirs):
            a.grad = torch.randn(a.shape)
            b.grad = a.grad.clone()
        muon.step(1e-2)
        other.step()
    assert all(torch.allclose(a, b.detach(), atol=2e-3) for a, b in zip(ours, theirs))


@pytest.mark.parametrize("done", [0.0, 0.2, *MIXES, 1.0])
def test_the_mix_adds_up(done: float):
    assert abs(sum(mix_at(done).values()) - 1) < 1e-6


def toy_work(work: Path) -> None:
    """A tokenizer, a base, an encoder, codes of answers and clips that ask for them."""
    random_whisper(work / "whisper" / "tiny.pt")
    width = Encoder(work / "whisper" / "tiny.pt").dims["n_audio_state"]
    config = Config(
        n_layer=1, n_embd=32, n_head=2, n_query_groups=1, head_size=16, intermediate_size=48,
        text_vocab_size=384, audio_vocab_size=96, whisper_adapter_dim=width,
    )  # fmt: skip
    tokenizer.train(work / "tokenizer.json", config, sentences=50)
    Omni(config).save(work / "base")
    draw = np.random.default_rng(1)
    asked = [q for q in questions() if not q.held_out and q.kind == "capitals"][:6]
    speak(work, asked, draw)
    for name in ("train", "test"):
        clips = Clips(work / "questions" / name, writable=True)
        for q in asked[:2]:
            named = {"text": q.question, "answer": q.answer, "kind": q.kind, "cell": "template"}
            clips.append(draw.standard_normal(9600) * 0.1, voice="hibari", **named)


def test_a_run_ends_by_the_clock_and_is_a_model(tmp_path: Path):
    toy_work(tmp_path)
    command = [sys.executable, "-m", "mini_omni_training", "--work", str(tmp_path), "sprint"]
    command += f"--base {tmp_path}/base --layers 2 --seconds 20 --lines 2 --length 400".split()
    command += "--makers 1 --drawers 1 --asked 2".split()
    # As a process of its own: it forks, which what other tests began would not survive.
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300)
    lines = (tmp_path / "sprint" / "log.jsonl").read_text().splitlines()
    first, *_, last, mean = map(json.loads, lines)
    assert first["step"] == 1 and last["seconds"] >= 20
    assert (last["exam"], mean["exam"]) == ("last", "mean")
    assert mean["A1T2, template, known voices"][0] == 2 and mean["T1T2, natural"][0] == 2
    base = Omni.load(tmp_path / "base").deepened(2).state_dict()
    for folder in ("sprint", "sprint/last"):
        found = Omni.load(tmp_path / folder).state_dict()
        assert all(value.isfinite().all() for value in found.values())
        moved = {name for name, value in found.items() if not torch.equal(value, base[name])}
        assert any(".attn." in name for name in moved)

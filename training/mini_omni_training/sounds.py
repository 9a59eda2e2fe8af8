"""Spoken questions for a GPU: processes augment clips (`augment.py`) while it trains, and it hears
them into one table of features on the device, which every batch takes its rows from.
"""

import mmap
import random
import time
from dataclasses import dataclass
from multiprocessing import Queue

import numpy as np
import torch
from torch import Tensor

from .augment import TWO, augment, no_speech, one_after_another
from .clips import SAMPLE_RATE, Clips
from .domain import NOTHING
from .spectra import whisper_mel
from .voices import resample
from .whisper import SAMPLES, Encoder, kept_positions

RATE = 16_000
FULL_WINDOW = 0.5  # share of clips heard in the whole window, the others in the short one
VARIANTS = 8  # of a clip, at most
GROUP = 32  # clips encoded at once
TOGETHER = 16  # clips that a process sends at once


@dataclass(frozen=True)
class Drawn:
    """A clip's sound as it shall be heard, int16; `before` is the clip in front of it, or -1."""

    clip: int
    before: int
    full: bool
    pcm: np.ndarray


def shared(shape: tuple[int, ...] | int, dtype: type) -> np.ndarray:
    """Zeros that forked processes share."""
    n = int(np.prod(shape))
    memory = mmap.mmap(-1, max(1, n * np.dtype(dtype).itemsize))
    return np.frombuffer(memory, dtype, n).reshape(shape)


class Sounds:
    """Which features there are, shared by all processes. `of_clip[i, :count[i]]` are clip i's
    variants; a variant has `rows` rows of the table from `start`, and `before` is the clip in front
    of it, or -1. `ready` counts the variants."""

    def __init__(self, clips: int) -> None:
        self.count, self.of_clip = shared(clips, np.int32), shared((clips, VARIANTS), np.int32)
        most = clips * VARIANTS
        self.start, self.rows = shared(most, np.int64), shared(most, np.int32)
        self.before, self.ready = shared(most, np.int32), shared(1, np.int64)

    def add(self, clip: int, start: int, rows: int, before: int) -> None:
        """One more variant; counted last, so that nobody reads what is half written."""
        i = int(self.ready[0])
        self.start[i], self.rows[i], self.before[i] = start, rows, before
        self.of_clip[clip, self.count[clip]] = i
        self.ready[0] = i + 1
        self.count[clip] += 1


class Table:
    """The features on the device, `rows` at most, with each variant's mean and spread."""

    def __init__(self, encoder: Encoder, sounds: Sounds, device: torch.device, rows: int) -> None:
        self.encoder, self.sounds, self.device, self.used = encoder, sounds, device, 0
        width = encoder.dims["n_audio_state"]
        self.features = torch.zeros(rows, width, dtype=torch.bfloat16, device=device)
        self.means = torch.zeros(len(sounds.start), width, device=device)
        self.spreads = torch.zeros(len(sounds.start), device=device)

    def hear(self, clips: list[Drawn]) -> None:
        """Encodes clips of like length together; once the table is full, no more."""
        clips = sorted(clips, key=lambda one: (one.full, len(one.pcm)))
        for full in (False, True):
            among = [one for one in clips if one.full == full]
            for i in range(0, len(among), GROUP):
                self._hear(among[i : i + GROUP], full)

    @torch.inference_mode()
    def _hear(self, clips: list[Drawn], full: bool) -> None:
        kept = [kept_positions(len(one.pcm)) for one in clips]
        if self.used + sum(kept) > len(self.features):
            return
        mel = whisper_mel(self._padded(clips, full), self.encoder.dims["n_mels"])
        with torch.autocast(self.device.type, torch.bfloat16):
            heard = self.encoder.forward(mel).float()
        at = np.concatenate([i * heard.shape[1] + np.arange(n) for i, n in enumerate(kept)])
        rows = heard.flatten(0, 1)[torch.from_numpy(at).to(self.device)]
        self.features[self.used : self.used + len(at)] = rows.to(self.features.dtype)
        self._measure(heard, kept)
        for one, n in zip(clips, kept):
            self.sounds.add(one.clip, self.used, n, one.before)
            self.used += n

    def _padded(self, clips: list[Drawn], full: bool) -> Tensor:
        longest = max(len(one.pcm) for one in clips)
        samples = SAMPLES if full else min(SAMPLES, -(-longest // 320) * 320 + RATE)
        pcm = np.zeros((len(clips), min(longest, samples)), np.int16)
        for i, one in enumerate(clips):
            pcm[i, : len(one.pcm)] = one.pcm[:samples]
        sound = torch.zeros(len(clips), samples, device=self.device)
        sound[:, : pcm.shape[1]] = torch.from_numpy(pcm).to(self.device).float() / 32767
        return sound

    def _measure(self, heard: Tensor, kept: list[int]) -> None:
        lengths = torch.tensor(kept, device=self.device)
        within = (torch.arange(heard.shape[1], device=self.device) < lengths[:, None])[..., None]
        mean = (heard * within).sum(1) / lengths[:, None]
        square = ((heard**2) * within).sum((1, 2)) / (lengths * heard.shape[2])
        first = int(self.sounds.ready[0])
        self.means[first : first + len(kept)] = mean
        self.spreads[first : first + len(kept)] = (square - mean.mean(1) ** 2).clamp(min=0).sqrt()

    def take(self, batch: dict[str, Tensor]) -> Tensor:
        """The features [n, width] of a batch's `heard_at`, varied as `items.varied` does."""
        features = self.features[batch["heard_row"]].float()
        of, away = batch["heard_of"].long(), batch["heard_away"].long()
        spread = (batch["heard_noise"] * self.spreads[of])[:, None]
        shift = batch["heard_shift"][:, None] * (self.means[away] - self.means[of])
        return features + spread * torch.randn_like(features) + shift


def rows_for(clips: list[Clips]) -> int:
    """Rows that every variant of every clip will need, silence around it included; at most what
    takes 18 GB at Whisper tiny's width."""
    seconds = sum(meta.get("samples", 0) / SAMPLE_RATE + 2 for part in clips for meta in part.meta)
    return min(24_000_000, int(50 * seconds * VARIANTS))


def draw_sounds(
    train: Clips, test: Clips, worker: int, workers: int, clock: np.ndarray, queue: Queue
) -> None:
    """A process's life: its share of the clips. Those to test with come first, clean and once;
    those to train with VARIANTS times. `clock[1]` ends it."""
    torch.set_num_threads(1)
    sent: list[Drawn] = []
    for drawn in _drawn(train, test, worker, workers):
        if clock[1]:
            return
        sent.append(drawn)
        if len(sent) >= TOGETHER:
            queue.put(sent)
            sent = []
    queue.put(sent)
    while not clock[1]:  # what is in the queue goes with the process
        time.sleep(0.5)


def _drawn(train: Clips, test: Clips, worker: int, workers: int):
    for i in range(worker, len(test), workers):
        yield Drawn(len(train) + i, -1, True, _int16(_sound(test, i)))
    for turn in range(VARIANTS):
        for i in range(worker, len(train), workers):
            yield as_it_comes(train, i, random.Random(f"sound/{turn}/{i}"))


def as_it_comes(clips: Clips, i: int, rng: random.Random) -> Drawn:
    """A clip augmented, now and then behind another; or sound without speech, where that is what
    it stands for."""
    before = -1
    if clips.meta[i]["kind"] == NOTHING:
        sound = no_speech(rng, RATE)
    else:
        sound = _sound(clips, i)
        other = rng.randrange(len(clips))
        if rng.random() < TWO and clips.meta[other]["kind"] != NOTHING:
            before = other
            sound = one_after_another(_sound(clips, other), sound, rng, RATE)
    sound = augment(sound.astype(np.float32), rng, RATE)
    return Drawn(i, before, rng.random() < FULL_WINDOW, _int16(sound))


def _sound(clips: Clips, i: int) -> np.ndarray:
    return resample(clips[i], SAMPLE_RATE, RATE)


def _int16(sound: np.ndarray) -> np.ndarray:
    return (np.clip(sound[:SAMPLES], -1, 1) * 32767).astype(np.int16)

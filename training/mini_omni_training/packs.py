"""Rows packed behind each other into lines of one length: a large batch of every task at once with
hardly any padding. A line's rows do not see each other (`packed_losses.who_sees_whom`).

What is heard is named, not carried: its features lie in a table on the device (`sounds.py`).
"""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Queue
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .clips import Clips
from .config import AUDIO_STREAMS, STREAMS, Config
from .domain import HEARD_NOTHING, NOTHING
from .evaluate import written_cells
from .items import Items
from .layout import IGNORE, TASKS, Row
from .layout import row as lay_out
from .sounds import Sounds
from .voices import HELD_OUT_VOICES

WORDS_MOST = 400  # words and features of a row that the loss of what is heard may be taken of
HEARD_MOST = 64  # such rows of a batch
ENOUGH = 600  # clips heard before any is asked for
FULL = 0.98  # of a batch's columns that rows are drawn for
NO_SPEECH = {"text": "", "voice": "", "kind": NOTHING, "answer": HEARD_NOTHING}
NO_SPEECH_SHARE = 1 / 60  # of the clips

# What a batch holds, and as what. Places are line * length + column, ascending within a kind.
KINDS = {
    "text_at": np.int32, "text": np.int16, "text_task": np.int8, "text_row": np.int32,
    "audio_at": np.int32, "audio": np.int16, "audio_task": np.int8,
    "heard_at": np.int32, "heard_row": np.int64, "heard_of": np.int32, "heard_away": np.int32,
    "heard_noise": np.float32, "heard_shift": np.float32,
    "ctc_at": np.int32, "ctc_length": np.int64, "ctc_count": np.int64, "ctc_words": np.int16,
}  # fmt: skip
WIDTHS = {"audio": AUDIO_STREAMS, "ctc_words": WORDS_MOST}  # of what is no plain list
ON_HOST = ("ctc_length", "ctc_count")  # sizes: F.ctc_loss would wait for the device

Arrays = dict[str, np.ndarray]


@dataclass
class Sound:
    """A variant of a clip, by its rows of the table, and how it is changed (`items.varied`): noise,
    and a shift to another variant's mean."""

    rows: np.ndarray
    of: int
    away: int
    noise: float
    shift: float

    def __len__(self) -> int:
        return len(self.rows)


class PackedItems(Items):
    """Items whose spoken questions are the clips themselves, heard while the run goes on."""

    sounds: Sounds

    def enough(self) -> bool:
        """Whether there are clips to ask for."""
        return self.sounds.ready[0] >= min(ENOUGH, len(self.sounds.count))

    def _questions(self, work: Path) -> dict[str, Clips]:
        clips = {name: Clips(work / "questions" / name) for name in ("train", "test")}
        train = clips["train"].meta
        train += [NO_SPEECH] * int(len(train) * NO_SPEECH_SHARE)
        return clips

    def _hear(self, rng: random.Random, name: str, part: str, i: int) -> Row:
        """LookupError for a clip that was not heard yet."""
        meta, table = self.heard[part].meta, self.sounds
        at = i if part == "train" else i + len(self.heard["train"])
        if not table.count[at]:
            raise LookupError(f"clip {i} was not heard yet")
        of = int(table.of_clip[at, rng.randrange(table.count[at])])
        sound = Sound(np.arange(table.start[of], table.start[of] + table.rows[of]), of, of, 0, 0)
        if part == "train":
            sound = self._varied(sound, rng)
        before = int(table.before[of])
        heard = f"{meta[before]['text']} {meta[i]['text']}" if before >= 0 else meta[i]["text"]
        said = self._answer(rng, name, heard if name == "A1T1" else meta[i]["answer"])
        return lay_out(self.config, TASKS[name], sound, said, self.ids(heard))

    def _varied(self, sound: Sound, rng: random.Random) -> Sound:
        draw = np.random.default_rng(rng.randrange(2**31))
        kept = draw.random(len(sound)) >= rng.uniform(0, 0.125)
        away = rng.randrange(int(self.sounds.ready[0]))
        return Sound(sound.rows[kept], sound.of, away, rng.uniform(0, 0.2), rng.uniform(0, 0.5))

    def rows(self, rng: random.Random, mix: dict[str, float], columns: int) -> list[tuple]:
        """(row, task) of every task, each with its share of the columns."""
        found = []
        for name, share in mix.items():
            left = share * columns / sum(mix.values())
            for _ in range(2000):  # so that a task whose clips were not heard yet ends, too
                if left <= 0:
                    break
                try:
                    row = self.one(rng, name)
                except LookupError:
                    continue
                left -= len(row)
                found.append((row, name))
        return found

    def to_examine(self, n: int) -> list[tuple[Row, str]]:
        """Held-out questions as (row, cell): written ones, n of a cell at most, and the clips to
        test with, answered (A1T2) and transcribed (A1T1)."""
        rng, rows = random.Random(0), []
        for cell, among in written_cells(n).items():
            rows += [
                (self._asked(rng, "T1T2", q.question, q.answer), f"T1T2, {cell}") for q in among
            ]
        for i, meta in enumerate(self.heard["test"].meta):
            known = "" if meta["voice"] in HELD_OUT_VOICES else ", known voices"
            if self.sounds.count[len(self.heard["train"]) + i]:
                for task in ("A1T2", "A1T1"):
                    row = self._hear(rng, task, "test", i)
                    rows.append((row, f"{task}, {meta['cell']}{known}"))
        return rows


def pack(
    config: Config, rows: list[tuple[Row, str]], mix: dict[str, float], lines: int, length: int,
    corrupt: float, draw: np.random.Generator,
) -> Arrays:  # fmt: skip
    """-> ids [lines, 8, length]; `segment` [lines, length], each column's row from 1, 0 where
    nothing is; and KINDS. Rows that fit nowhere are left out. Each task's loss weighs as much as
    its share of `mix`, however many labels it has."""
    ids = np.full((lines, STREAMS, length), config.audio_id("pad_a"), np.int16)
    ids[:, AUDIO_STREAMS] = config.text_id("pad_t")
    segment = np.zeros(lines * length, np.int16)
    found: dict[str, list] = defaultdict(list)
    names = list(mix)
    for number, (at, row, name) in enumerate(_placed(rows, lines, length), 1):
        line, column, n = at // length, at % length, len(row)
        ids[line, :, column : column + n] = _corrupted(config, row, corrupt, draw)
        segment[at : at + n] = number
        _add_labels(found, at, row, names.index(name), number)
        if row.features is not None:
            _add_heard(found, at, row)
    arrays = {key: _joined(key, found[key]) for key in KINDS}
    for kind in ("text", "audio"):
        arrays[f"{kind}_weight"] = _weights(arrays[f"{kind}_task"], mix)
    heard = len(arrays["ctc_at"])
    arrays["ctc_weight"] = np.full(heard, 1 / max(1, heard), np.float32)
    return arrays | {"ids": ids, "segment": segment.reshape(lines, length)}


def _placed(rows: list[tuple[Row, str]], lines: int, length: int) -> list[tuple[int, Row, str]]:
    """(place, row, task), the longest rows placed first, each on the first line with room."""
    left, placed = np.full(lines, length), []
    for row, name in sorted(rows, key=lambda pair: -len(pair[0])):
        fits = left >= len(row)
        if fits.any():
            line = int(fits.argmax())
            placed.append((line * length + length - int(left[line]), row, name))
            left[line] -= len(row)
    return sorted(placed, key=lambda one: one[0])


def _corrupted(config: Config, row: Row, share: float, draw: np.random.Generator) -> np.ndarray:
    """A row's ids, some audio ids replaced as `phases.corrupt` does."""
    ids, end = row.ids.numpy().astype(np.int16), config.audio_id("eoa")
    audio = ids[:AUDIO_STREAMS]
    hit = (audio < end) & (draw.random(audio.shape, np.float32) < draw.random() * 2 * share)
    ids[:AUDIO_STREAMS] = np.where(hit, draw.integers(0, end, audio.shape), audio)
    return ids


def _add_labels(found: dict[str, list], at: int, row: Row, task: int, number: int) -> None:
    labels = row.labels.numpy()
    (texts,) = (labels[AUDIO_STREAMS] != IGNORE).nonzero()
    found["text_at"].append(at + texts)
    found["text"].append(labels[AUDIO_STREAMS, texts])
    found["text_task"].append(np.full(len(texts), task))
    found["text_row"].append(np.full(len(texts), number))
    (audios,) = (labels[0] != IGNORE).nonzero()
    found["audio_at"].append(at + audios)
    found["audio"].append(labels[:AUDIO_STREAMS, audios].T)
    found["audio_task"].append(np.full(len(audios), task))


def _add_heard(found: dict[str, list], at: int, row: Row) -> None:
    sound, n, words = row.features, len(row.features), row.words.numpy()
    found["heard_at"].append(at + 1 + np.arange(n))
    found["heard_row"].append(sound.rows)
    for key in ("of", "away", "noise", "shift"):
        found[f"heard_{key}"].append(np.full(n, getattr(sound, key)))
    if len(found["ctc_at"]) < HEARD_MOST and n <= WORDS_MOST and 0 < len(words) <= WORDS_MOST:
        found["ctc_at"].append([at + 1])
        found["ctc_length"].append([n])
        found["ctc_count"].append([len(words)])
        found["ctc_words"].append(np.pad(words, (0, WORDS_MOST - len(words)))[None])


def _joined(key: str, parts: list) -> np.ndarray:
    if not parts:
        return np.zeros((0, WIDTHS[key]) if key in WIDTHS else 0, KINDS[key])
    return np.concatenate(parts).astype(KINDS[key])


def _weights(tasks: np.ndarray, mix: dict[str, float]) -> np.ndarray:
    """Of each label: its task's share, evenly among the task's labels."""
    counts = np.bincount(tasks.astype(np.int64), minlength=len(mix))
    shares = np.array(list(mix.values())) / sum(mix.values())
    return (shares / counts.clip(min=1)).astype(np.float32)[tasks.astype(np.int64)]


def lines_of(batch: Arrays, first: int, end: int) -> Arrays:
    """Some of a batch's lines alone; their weights stay."""
    length = batch["segment"].shape[1]
    part = {"ids": batch["ids"][first:end], "segment": batch["segment"][first:end]}
    for kind in ("text", "audio", "heard", "ctc"):
        at = batch[f"{kind}_at"]
        kept = slice(*np.searchsorted(at, (first * length, end * length)))
        for key in batch:
            if key == kind or key.startswith(f"{kind}_"):
                part[key] = batch[key][kept]
        part[f"{kind}_at"] = part[f"{kind}_at"] - first * length
    return part


def tensors(batch: Arrays, device: torch.device) -> dict[str, Tensor]:
    """On the device, copied without waiting."""
    found = {}
    for key, array in batch.items():
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if device.type == "cuda" and key not in ON_HOST:
            tensor = tensor.pin_memory() if tensor.numel() else tensor
            tensor = tensor.to(device, non_blocking=True)
        found[key] = tensor
    return found


def make_batches(
    items: PackedItems, worker: int, clock: np.ndarray, mix_at: Callable, queue: Queue,
    lines: int, length: int, corrupt: float,
) -> None:  # fmt: skip
    """A process's life: batches into `queue`. `clock[0]` is the share of the run that is done, and
    `clock[1]` ends it."""
    rng, draw = random.Random(f"packs/{worker}"), np.random.default_rng(worker)
    torch.set_num_threads(1)
    while clock[1] == 0:
        full = mix_at(float(clock[0]))
        mix = {n: share for n, share in full.items() if items.enough() or not TASKS[n].hears}
        rows = items.rows(rng, mix, int(lines * length * FULL))
        rows = [pair for pair in rows if len(pair[0]) <= length]
        queue.put(pack(items.config, rows, full, lines, length, corrupt, draw))

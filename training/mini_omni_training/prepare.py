"""Clips -> what the language model learns from: codes of spoken text, features of questions.

Both stores are memory-mapped flat files with one line of JSON an item, made once and resumable.
"""

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from . import codec as codecs
from . import tokenizer as tokenizers
from .augment import augment
from .clips import SAMPLE_RATE, Clips, parts
from .codec import FRAME
from .domain import questions
from .generate import generate_many, taken_apart
from .model import Omni
from .readers import open_orca, voice_assistant
from .snac import to_frames
from .timing import Timing
from .voices import resample
from .whisper import Encoder


class Store:
    """Arrays [n, width] of one dtype behind each other; `meta[i]` has offset, rows and more."""

    def __init__(self, folder: Path, dtype: type, width: int) -> None:
        self.folder, self.dtype, self.width = Path(folder), np.dtype(dtype), width
        self.folder.mkdir(parents=True, exist_ok=True)
        index = self.folder / "index.jsonl"
        lines = index.read_text().splitlines() if index.exists() else []
        self.meta = [json.loads(line) for line in lines]
        self._rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.meta)

    def __getitem__(self, i: int) -> Tensor:
        if self._rows is None:
            flat = np.memmap(self.folder / "rows.bin", self.dtype, "r")
            self._rows = flat[: len(flat) // self.width * self.width].reshape(-1, self.width)
        at = self.meta[i]["offset"]
        return torch.from_numpy(self._rows[at : at + self.meta[i]["rows"]].copy())

    def append(self, rows: np.ndarray, **meta: object) -> None:
        """Adds one array; the data before its line, so that a kill loses one item at most."""
        offset = self.meta[-1]["offset"] + self.meta[-1]["rows"] if self.meta else 0
        with open(self.folder / "rows.bin", "r+b" if offset else "wb") as file:
            file.seek(offset * self.width * self.dtype.itemsize)
            file.write(np.ascontiguousarray(rows, self.dtype).tobytes())
        self.meta.append({**meta, "offset": offset, "rows": len(rows)})
        with open(self.folder / "index.jsonl", "a") as file:
            file.write(json.dumps(self.meta[-1]) + "\n")


def codes_store(work: Path, name: str) -> Store:
    """frames [n, 7] of the spoken texts called `name`."""
    return Store(work / "codes" / name, np.int16, 7)


def features_store(work: Path, name: str, width: int) -> Store:
    """Audio features [n, width] of the questions called `name` ("train" or "test")."""
    return Store(work / "features" / name, np.float16, width)


def encode_speech(work: Path, name: str) -> None:
    """Codes of every clip under `work`/`name`, and the frame in which each of its words begins."""
    codec, store, timing = codecs.load(work / "codec"), codes_store(work, name), Timing()
    clips = [(part, i) for part in parts(work / name) for i in range(len(part))]
    for part, i in tqdm(clips[len(store) :], unit="clip", mininterval=10):
        pcm, text = torch.from_numpy(part[i]), part.meta[i]["text"]
        words = timing.word_frames(text, part[i])
        pcm = F.pad(pcm, (0, -len(pcm) % FRAME))
        frames = to_frames([c[0] for c in codec.encode(pcm[None])])
        store.append(frames.numpy(), text=text, words=words)


def answer_by(work: Path, checkpoint: Path, rounds: int = 2, batch: int = 64) -> None:
    """Codes of the domain's answers as a checkpoint itself says them, at most `rounds` times each;
    those only whose text is right. For training on where the codec's encoder is gone."""
    model, tokenizer = Omni.load(checkpoint).eval(), tokenizers.load(work / "tokenizer.json")
    store = codes_store(work, "answers")
    said, done = Counter(m["text"] for m in store.meta), {m["question"] for m in store.meta}
    asked = [
        (tokenizer.encode(q.question).ids, q)
        for q in questions()
        if not q.held_out and q.question not in done and said[q.answer] < rounds
    ]
    asked.sort(key=lambda one: len(one[0]))
    with tqdm(total=len(asked), unit="question", mininterval=10) as bar:
        for _, same in groupby(asked, key=lambda one: len(one[0])):
            for some in batched(same, batch):
                answers = generate_many(model, "T1A2", [ids for ids, _ in some])
                for (_, q), steps in zip(some, answers):
                    text, at, frames = taken_apart(model.config, steps)
                    right = text == tokenizer.encode(q.answer).ids and len(frames) > at[-1]
                    if right and said[q.answer] < rounds:
                        store.append(frames.numpy(), text=q.answer, question=q.question, at=at)
                        said[q.answer] += 1
                bar.update(len(some))


def batched(items: Iterable, n: int) -> Iterator[list]:
    """Lists of `n` of them, the last one shorter."""
    items = iter(items)
    while some := list(islice(items, n)):
        yield some


def hear_questions(work: Path, name: str, whisper: Path, limit: int | None = None) -> None:
    """Whisper features of question clips, augmented for training and clean for tests; frozen, so
    computed once. Of eight clips to train with one is heard in the full window, the rest in the
    short one: the model must answer in either, and the short one costs a tenth."""
    encoder = Encoder(whisper)
    clips = Clips(work / "questions" / name)
    store = features_store(work, name, encoder.dims["n_audio_state"])
    wanted = range(len(store), min(len(clips), limit or len(clips)))
    for i in tqdm(wanted, unit="clip", mininterval=10):
        pcm = resample(clips[i], SAMPLE_RATE, 16_000)
        if name == "train":
            pcm = augment(pcm, random.Random(f"augment/{i}"), 16_000)
        meta = {k: v for k, v in clips.meta[i].items() if k not in ("offset", "samples")}
        store.append(encoder.hear(pcm, short=name == "train" and i % 8 > 0).numpy(), **meta)


def import_spoken(work: Path, path: Path, whisper: Path) -> None:
    """VoiceAssistant-400K rows into the stores of questions heard and answers said."""
    encoder = Encoder(whisper)
    heard = features_store(work, "train", encoder.dims["n_audio_state"])
    said = codes_store(work, "answers")
    for row in tqdm(voice_assistant(path), unit="row", mininterval=10):
        if row.pcm is not None:
            features = encoder.hear(row.pcm).numpy()
            heard.append(features, text=row.question, answer=row.answer)
        if row.frames is not None:
            said.append(row.frames.numpy(), text=row.answer)


def import_text(work: Path, path: Path) -> None:
    """Open-Orca rows into text.jsonl, one (question, answer) a line."""
    with open(work / "text.jsonl", "a") as file:
        for pair in open_orca(path):
            file.write(json.dumps(pair) + "\n")

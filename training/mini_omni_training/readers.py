"""Readers of the public data sets' layouts, in parquet or JSON lines.

VoiceAssistant-400K: split_name, index, round, question, question_audio, answer, answer_snac.
Open-Orca: system_prompt, question, response.
"""

import io
import json
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .snac import LEVELS
from .voices import resample


@dataclass(frozen=True)
class Spoken:
    """One question and its answer; pcm is 16 kHz, frames [n, 7] or None where there are none."""

    question: str
    answer: str
    pcm: np.ndarray | None
    frames: Tensor | None


def records(path: Path) -> Iterator[dict]:
    """The rows of a .parquet or .jsonl file, one at a time."""
    if path.suffix == ".parquet":
        from pyarrow import parquet

        for batch in parquet.ParquetFile(path).iter_batches(batch_size=64):
            yield from batch.to_pylist()
    elif path.suffix == ".jsonl":
        with open(path) as file:
            yield from (json.loads(line) for line in file if line.strip())
    else:
        raise ValueError(f"{path}: a .parquet or .jsonl file is expected")


def voice_assistant(path: Path) -> Iterator[Spoken]:
    """VoiceAssistant-400K's rows."""
    for record in records(path):
        yield Spoken(
            record["question"],
            record["answer"],
            _pcm(record.get("question_audio"), path.parent),
            snac_frames(record["answer_snac"]) if record.get("answer_snac") else None,
        )


def open_orca(path: Path) -> Iterator[tuple[str, str]]:
    """(question, response); the system prompt stands before the question where there is one."""
    for record in records(path):
        system = (record.get("system_prompt") or "").strip()
        question = record["question"].strip()
        yield (f"{system}\n{question}" if system else question), record["response"].strip()


def snac_frames(text: str) -> Tensor:
    """`answer_snac` -> frames [n, 7].

    A frame is "#" and its seven codes in the order of the streams (coarse, middle, fine, fine,
    middle, fine, fine). Parts of frames are dropped.
    """
    frames = [[int(word) for word in frame.split()] for frame in text.split("#")]
    whole = [frame for frame in frames if len(frame) == len(LEVELS)]
    return torch.tensor(whole, dtype=torch.long).reshape(-1, len(LEVELS))


def _pcm(value: object, folder: Path) -> np.ndarray | None:
    """An audio cell: {"bytes": …} or {"path": …} of datasets, or a file name."""
    if not value:
        return None
    if isinstance(value, dict):
        if value.get("array") is not None:
            pcm = np.asarray(value["array"], np.float32)
            return resample(pcm, value.get("sampling_rate", 16_000), 16_000)
        value = value.get("bytes") or value["path"]
    source = io.BytesIO(value) if isinstance(value, bytes) else str(folder / str(value))
    with wave.open(source) as file:
        raw = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        mono = raw.reshape(-1, file.getnchannels()).mean(axis=1).astype(np.float32) / 32768
        return resample(mono, file.getframerate(), 16_000)

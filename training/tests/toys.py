"""Random data that several tests train on."""

from pathlib import Path

import numpy as np

from mini_omni_training.domain import Question
from mini_omni_training.store import codes_store


def speak(work: Path, asked: list[Question], draw: np.random.Generator) -> None:
    """Codes of the questions' answers, to read aloud and to test with."""
    for name in ("reading", "unseen"):
        store = codes_store(work, name)
        for q in asked:
            words = list(range(len(q.answer.split())))
            store.append(draw.integers(0, 32, (9, 7)), text=q.answer, words=words)

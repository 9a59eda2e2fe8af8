"""The closed domain of the bundled model: what may be asked, and the right answer to it.

Every kind of question yields facts; a fact has several ways to ask it and one answer. One fact in
ten is held out by the hash of its key, wherever other facts of its kind carry the rule.
"""

import zlib
from dataclasses import dataclass

from . import arithmetic, talk, world
from .talk import UNKNOWN

__all__ = ["KINDS", "UNKNOWN", "Question", "questions"]

KINDS = {**arithmetic.KINDS, **world.KINDS, **talk.KINDS}

# Kinds that can only be remembered: no rule gives an unseen fact, so none is held out. (A word is
# one id, which does not show its letters.)
REMEMBERED = {
    "opposites", "next_day", "months", "seasons", "colours", "mixing", "capitals", "continents",
    "categories", "legs", "sounds", "small_talk", "ordinal_letters", "spelling", "letters",
    "first_letter",
}  # fmt: skip
HELD_OUT_ONE_IN = 10


@dataclass(frozen=True)
class Question:
    """One way to ask one fact."""

    kind: str
    fact: str
    question: str
    answer: str
    held_out: bool


def is_held_out(kind: str, fact: str) -> bool:
    """Decides by hash alone, so that adding a kind moves no other question."""
    if kind in REMEMBERED:
        return False
    return zlib.crc32(f"{kind}/{fact}".encode()) % HELD_OUT_ONE_IN == 0


def questions() -> list[Question]:
    """Every question of the domain, in a fixed order, each text once."""
    seen: dict[str, Question] = {}
    for kind, facts in KINDS.items():
        for fact, ways, answer in facts():
            held_out = is_held_out(kind, fact)
            for way in ways:
                seen.setdefault(way, Question(kind, fact, way, answer, held_out))
    return list(seen.values())

"""The closed domain of the bundled model: what may be asked, and the right answer to it.

Every kind of question yields facts; a fact has several ways to ask it and one answer. One question
in ten is held out, chosen by hash: where the other facts of a kind carry a rule, a whole fact with
every way to ask it; where a fact can only be remembered, one way to ask it.
"""

import zlib
from dataclasses import dataclass

from . import arithmetic, outside, talk, world
from .outside import OUTSIDE_QUESTIONS, OUTSIDE_UNSEEN, UNKNOWN

__all__ = [
    "KINDS", "NAMED", "OUTSIDE_UNSEEN", "RULES", "UNKNOWN", "Question", "beyond", "drills",
    "questions",
]  # fmt: skip

KINDS = {**arithmetic.KINDS, **world.KINDS, **talk.KINDS, **outside.KINDS}

# Kinds whose facts follow a rule, so that an unseen one can be found.
RULES = {
    "large_addition", "large_subtraction", "larger", "smaller", "after", "before", "counting",
    "countdown", "even_or_odd", "compare_size", "is_it", "like_city", "switch", "timer", "alarm",
    "volume", "repeat", "outside",
}  # fmt: skip
# Kinds whose answers name what they are found from before they say what was found: whoever has only
# read their beginning can finish them.
NAMED = {*arithmetic.KINDS, *world.KINDS} - {
    "larger", "smaller", "counting", "countdown", "days_ahead", "spelling", "compare_size", "is_it",
    "even_or_odd",
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


def is_held_out(kind: str, fact: str, way: int, ways: int) -> bool:
    """Decides by hash alone, so that adding a kind moves no other question. `way` counts the
    `ways` to ask a fact; small talk asks for the same in quite different words, and keeps all."""
    turn = zlib.crc32(f"{kind}/{fact}".encode()) % HELD_OUT_ONE_IN
    if kind in RULES:
        return turn == 0
    return kind != "small_talk" and ways > 1 and turn == way


def questions() -> list[Question]:
    """Every question of the domain, in a fixed order, each text once."""
    seen: dict[str, Question] = {}
    for kind, facts in KINDS.items():
        for fact, ways, answer in facts():
            for i, way in enumerate(ways):
                held_out = is_held_out(kind, fact, i, len(ways))
                seen.setdefault(way, Question(kind, fact, way, answer, held_out))
    return list(seen.values())


def drills() -> list[Question]:
    """Sums below a hundred that are no part of the domain, to practise its rule with; none that
    gives a held-out one away the other way round."""
    asked = {q.answer: q.held_out for q in questions()}
    found = []
    for i, (ways, answer, swapped) in enumerate(arithmetic.sums_below_hundred()):
        if answer not in asked and not asked.get(swapped, False):
            found.append(Question("drill", answer, ways[i % len(ways)], answer, held_out=False))
    return found


def beyond() -> list[Question]:
    """Questions outside of the domain in every form, to practise its border with."""
    return [Question("beyond", q, q, UNKNOWN, held_out=False) for q in OUTSIDE_QUESTIONS]

"""The closed domain of the bundled model: what may be asked, and the right answer to it.

Every kind of question yields facts; a fact has several ways to ask it and one answer. One question
in ten is held out, chosen by hash: where the other facts of a kind carry a rule, a whole fact with
every way to ask it; where a fact can only be remembered, one way to ask it. People ask in other
words: `Question.worded`, by the grammar of wordings, of which some are held out, too.
"""

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from . import arithmetic, outside, talk, world
from .near import near
from .outside import OUTSIDE_QUESTIONS, OUTSIDE_UNSEEN, UNKNOWN
from .wordings import Words, asked

__all__ = [
    "FAR", "HEARD_NOTHING", "KINDS", "NAMED", "NEAR", "NOTHING", "OUTSIDE_UNSEEN", "RULES",
    "UNKNOWN", "Question", "beyond", "drills", "far", "far_unseen", "natural", "near_misses",
    "near_unseen", "questions", "to_train_with", "unseen_texts",
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
NEAR, FAR, NOTHING = "near", "far", "nothing"
HEARD_NOTHING = "I heard nothing."  # the answer to sound without speech
HELD_OUT_ONE_IN = 10
LISTS = Path(__file__).parent / "lists"


@dataclass(frozen=True)
class Question:
    """One way to ask one fact; `what` and `words` say it to the grammar of wordings."""

    kind: str
    fact: str
    question: str
    answer: str
    held_out: bool
    what: str = ""
    words: Words = field(default_factory=dict)

    def worded(self, rng: random.Random, unseen: bool = False) -> str:
        """The same asked as people ask, in words to train with or in held-out ones."""
        return asked(self.what, self.words, rng, unseen) if self.what else self.question


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
        for fact in facts():
            for i, way in enumerate(fact.ways):
                held_out = is_held_out(kind, fact.key, i, len(fact.ways))
                question = Question(
                    kind, fact.key, way, fact.answer, held_out, fact.what, fact.words
                )
                seen.setdefault(way, question)
    return list(seen.values())


def drills() -> list[Question]:
    """Sums below a hundred that are no part of the domain, to practise its rule with; none that
    gives a held-out one away the other way round."""
    known = {q.answer: q.held_out for q in questions()}
    found = []
    for i, (ways, answer, swapped) in enumerate(arithmetic.sums_below_hundred()):
        if answer not in known and not known.get(swapped, False):
            found.append(Question("drill", answer, ways[i % len(ways)], answer, held_out=False))
    return found


def beyond() -> list[Question]:
    """Questions outside of the domain in every form, to practise its border with."""
    return [Question("beyond", q, q, UNKNOWN, held_out=False) for q in OUTSIDE_QUESTIONS]


def near_misses() -> list[Question]:
    """Questions that only look like the domain's, one in ten of their facts held out."""
    found: dict[str, Question] = {}
    for what, words in near():
        fact = "/".join((what, *words.values()))
        held_out = zlib.crc32(fact.encode()) % HELD_OUT_ONE_IN == 0
        text = asked(what, words, random.Random(fact))
        found[fact] = Question(f"{NEAR}/{what}", fact, text, UNKNOWN, held_out, what, words)
    return list(found.values())


def far(n: int = 2000, unseen: bool = False) -> list[Question]:
    """Questions of nothing that the domain knows, and what is no question at all."""
    found: dict[str, Question] = {}
    for i in range(20 * n):
        text = asked(FAR, {}, random.Random(f"far/{i}"), unseen)
        found[text] = Question(FAR, text, text, UNKNOWN, unseen, FAR)
        if len(found) == n:
            break
    return list(found.values())


def to_train_with() -> list[Question]:
    """All questions that may be trained on, inside of the domain and beyond it."""
    inside = [q for q in questions() if not q.held_out]
    return inside + drills() + beyond() + [q for q in near_misses() if not q.held_out] + far()


def unseen_texts() -> list[str]:
    """Every text that is never to be trained on, in whatever way it is typed."""
    held_out = [q for q in questions() + near_misses() if q.held_out]
    return [q.question for q in held_out + natural() + near_unseen() + far_unseen()]


def natural() -> list[Question]:
    """Questions as a person typed them, who had not read the grammar: never to train with."""
    return [
        Question(kind, text, text, answer, held_out=True)
        for kind, text, answer in _rows("natural.tsv")
    ]


def near_unseen() -> list[Question]:
    """Near misses as a person typed them."""
    rows = _rows("near.tsv")
    return [Question(f"{NEAR}/{kind}", text, text, UNKNOWN, held_out=True) for kind, text in rows]


def far_unseen() -> list[Question]:
    """What else people say, as a person typed it."""
    texts = [*OUTSIDE_UNSEEN, *(text for (text,) in _rows("far.txt"))]
    return [Question(FAR, text, text, UNKNOWN, held_out=True) for text in texts]


def _rows(name: str) -> Iterator[list[str]]:
    for line in (LISTS / name).read_text().splitlines():
        yield line.split("\t")

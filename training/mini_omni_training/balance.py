"""Questions drawn so that every kind is learned: what is many does not drown what is few."""

import random
import re
from collections import defaultdict
from typing import Any

from .domain import FAR, NEAR, NOTHING

# What is asked beyond the domain, and sums to practise with; all else is the domain's.
SHARES = {NEAR: 0.15, FAR: 0.15, "drill": 0.06, NOTHING: 0.02}
FAR_KINDS = {FAR, "beyond", "outside", "reading", "stray"}
# Kinds whose answers must be computed, and those which are many in one.
OFTEN = dict.fromkeys(
    (
        "addition", "large_addition", "subtraction", "large_subtraction", "multiplication",
        "division", "counting", "countdown", "compare_size", "repeat", "days_ahead", "units",
        "larger", "smaller", "reading",
    ),
    2,
) | {"small_talk": 5, "near/near_talk": 5, FAR: 3}  # fmt: skip
FLATNESS = 0.2  # the power of a kind's size that it is drawn by
# Sums that come to a full ten are one in ten, and carry in a way of their own: a group apart.
FULL_TEN = re.compile(r".* (plus|minus) .* is (ten|[a-z]+ty)\.")


class Kinds:
    """Questions drawn kind by kind, a kind as often as a root of its size times OFTEN; what is
    beyond the domain by its share."""

    def __init__(self, among: list) -> None:
        groups = defaultdict(list)
        for one in among:
            groups[one.kind, bool(FULL_TEN.fullmatch(one.answer))].append(one)
        sums: dict[str, float] = defaultdict(float)
        weights = {}
        for key, group in groups.items():
            weights[key] = len(group) ** FLATNESS * OFTEN.get(key[0], 1)
            sums[_part(key[0])] += weights[key]
        share = {part: SHARES.get(part, 1 - sum(SHARES.values())) for part in sums}
        self.groups = list(groups.values())
        self.weights = [weights[key] / sums[_part(key[0])] * share[_part(key[0])] for key in groups]

    def draw(self, rng: random.Random) -> Any:
        """One of them."""
        return rng.choice(rng.choices(self.groups, self.weights)[0])


def _part(kind: str) -> str:
    """Near misses, what is far, drills, or "" for the domain."""
    if kind in FAR_KINDS:
        return FAR
    first = kind.partition("/")[0]
    return first if first in SHARES else ""

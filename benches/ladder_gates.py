"""What a precision may lose: points of right answers against fp32, question by question."""

from __future__ import annotations

import numpy as np

EXACT = "fp32"
# Points, in a precision's default window.
AT_MOST = {"int8": 0.5, "int4": 2.0, "int4/32": 2.0}
DRAWS = 2000  # sets of the bootstrap

Verdicts = dict[str, list[bool]]  # of every answer, by set


def judged(rows: list[dict]) -> list[dict]:
    """A verdict a precision. The first row of a model is its default window by the fastest kernels;
    `right` of a row has its verdicts, of the same questions in every row."""
    right = {row["model"]: row["right"] for row in reversed(rows)}
    return [verdict(model, right[EXACT], right[model]) for model in AT_MOST]


def verdict(model: str, exact: Verdicts, ours: Verdicts) -> dict:
    """Points lost over all questions, with the interval that 95 % of such sets of questions would
    give, and over the questions of each set."""
    by_set = {name: lost_points(exact[name], ours[name]) for name in exact}
    lost = np.concatenate(list(by_set.values()))
    drawn = np.random.default_rng(0).integers(0, len(lost), (DRAWS, len(lost)))
    low, high = np.quantile(lost[drawn].mean(axis=1), [0.025, 0.975])
    points = float(lost.mean())
    return {"model": model, "at_most": AT_MOST[model], "points": round(points, 3),
            "interval": [round(float(low), 3), round(float(high), 3)], "questions": len(lost),
            "by_set": {name: round(float(one.mean()), 3) for name, one in by_set.items()},
            "holds": points <= AT_MOST[model]}  # fmt: skip


def lost_points(exact: list[bool], ours: list[bool]) -> np.ndarray:
    """Of each question: 100 where ours alone is wrong, -100 where it alone is right."""
    if len(exact) != len(ours):
        raise ValueError(f"{len(exact)} answers cannot be held against {len(ours)}")
    return 100 * (np.array(exact, float) - np.array(ours, float))

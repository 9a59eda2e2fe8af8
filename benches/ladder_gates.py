"""What a precision may lose: points of right answers against fp32, question by question."""

from __future__ import annotations

import numpy as np

EXACT = "fp32"
AT_MOST = {"int8": 0.5, "int4": 2.0}  # points, in a precision's default window
DRAWS = 2000  # sets of the bootstrap


def judged(rows: list[dict]) -> list[dict]:
    """A verdict a precision. The first row of a model is its default window by the fastest kernels;
    `right` of a row has every answer's verdict, the same questions in every row."""
    right = {row["model"]: np.array(row["right"], float) for row in reversed(rows)}
    return [verdict(model, right[EXACT], right[model]) for model in AT_MOST]


def verdict(model: str, exact: np.ndarray, ours: np.ndarray) -> dict:
    """Points lost, with the interval that 95 % of such sets of questions would give."""
    lost = 100 * (exact - ours)
    drawn = np.random.default_rng(0).integers(0, len(lost), (DRAWS, len(lost)))
    low, high = np.quantile(lost[drawn].mean(axis=1), [0.025, 0.975])
    points = float(lost.mean())
    return {"model": model, "at_most": AT_MOST[model], "points": round(points, 3),
            "interval": [round(float(low), 3), round(float(high), 3)], "questions": len(lost),
            "holds": points <= AT_MOST[model]}  # fmt: skip

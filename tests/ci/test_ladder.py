"""The gates of `make ladder`: what a precision loses is counted question by question."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))
import ladder_gates

QUESTIONS = 1000


def row(model: str, wrong: set[int]) -> dict:
    right = [i not in wrong for i in range(QUESTIONS)]
    return {"model": model, "right": {"written": right[:600], "natural": right[600:]}}


@pytest.mark.parametrize(("wrong", "holds"), [(5, True), (6, False)])
def test_int8_may_lose_half_a_point(wrong, holds):
    rows = [row("fp32", set()), row("int8", set(range(wrong))), row("int4", set()),
            row("int4/32", set())]  # fmt: skip
    int8, int4, _ = ladder_gates.judged(rows)
    assert (int8["points"], int8["holds"]) == (wrong / 10, holds)
    low, high = int8["interval"]
    assert low < int8["points"] < high < 1.5
    assert (int4["points"], int4["interval"], int4["holds"]) == (0, [0, 0], True)


def test_what_is_gained_elsewhere_makes_up_for_what_is_lost():
    rows = [row("fp32", {1, 2, 3}), row("int8", {4, 5}), row("int4", {1, 2, 3}),
            row("int4/32", {1, 2, 3})]  # fmt: skip
    int8, *_ = ladder_gates.judged(rows)
    assert int8["points"] == -0.1
    assert int8["interval"][0] < 0 < int8["interval"][1]


def test_a_model_is_judged_in_its_default_window_which_is_its_first_row():
    rows = [row("fp32", set()), row("fp32", set(range(9))), row("int8", set()),
            row("int8", set(range(500))), row("int4", set()), row("int4/32", set())]  # fmt: skip
    assert [one["points"] for one in ladder_gates.judged(rows)] == [0, 0, 0]


def test_what_each_set_of_questions_loses_is_told():
    rows = [row("fp32", set()), row("int8", {0, 600, 601, 602, 603}), row("int4", set()),
            row("int4/32", set())]  # fmt: skip
    int8, *_ = ladder_gates.judged(rows)
    assert (int8["points"], int8["by_set"]) == (0.5, {"written": 0.167, "natural": 1.0})


def test_answers_to_other_questions_are_not_held_against_each_other():
    rows = [row("fp32", set()), row("int8", set()), row("int4", set()), row("int4/32", set())]
    rows[1]["right"]["natural"].pop()
    with pytest.raises(ValueError, match="400 answers cannot be held against 399"):
        ladder_gates.judged(rows)

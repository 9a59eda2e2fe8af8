"""`make ladder` as a run: what comes when, what a killed one goes on with, what the page says."""

from __future__ import annotations

import json

import pytest
from ladder_toys import QUESTIONS, RUNGS, Program
from ladder_worth import SPOKEN as SPOKEN_SET
from mini_omni_training.domain import LISTS, OUTSIDE_UNSEEN


def lines(path) -> int:
    return len(path.read_text().splitlines())


ONCE = 2 * len(RUNGS)  # times of two rounds
WRITTEN, SPOKEN = sum(q.held_out for q in QUESTIONS), lines(SPOKEN_SET)
NATURAL = lines(LISTS / "natural.tsv")
BEYOND = lines(LISTS / "near.tsv") + lines(LISTS / "far.txt") + len(OUTSIDE_UNSEEN)


@pytest.fixture
def program(monkeypatch, tmp_path):
    return Program(monkeypatch, tmp_path)


def test_times_come_in_one_stretch_before_anything_is_asked(program):
    assert program.main() == 0
    assert all(one.startswith("time") for one in program.asked[:ONCE])
    assert not any(one.startswith("time") for one in program.asked[ONCE:])


def test_nothing_is_asked_twice_and_rungs_with_the_same_bits_share(program):
    program.main()
    # Of each model, and of one by other arithmetic: three sets in writing. Of each window: WER.
    asked = [one for one in program.asked if one.startswith("t1t2")]
    assert len(asked) == 3 * (4 + 1)
    assert sum(one.startswith("a1t1") for one in program.asked) == 9 + 1
    assert sum(one.startswith("a1a2-batch") for one in program.asked) == 4


@pytest.mark.parametrize("at", [0, 5, 30, 60])
def test_a_killed_run_goes_on_with_what_is_missing(program, at):
    program.dies_at = at
    with pytest.raises(KeyboardInterrupt):
        program.main()
    program.main("--resume")
    # The times are one stretch, and begin anew.
    timed = [one for one in program.asked if one.startswith("time")]
    assert len(timed) == ONCE + (at if at < ONCE else 0)
    others = program.asked[len(timed):]
    program.asked.clear()
    program.main()
    assert others == program.asked[ONCE:]


@pytest.mark.parametrize("changed", ["--judged", "program"])
def test_a_run_of_other_settings_is_not_gone_on_with(program, changed):
    program.main()
    if changed == "program":
        (program.folder / "program").write_bytes(b"2")
    with pytest.raises(SystemExit, match=f"begun with another {changed};"):
        program.main("--resume", *(["--judged", "7"] if changed == "--judged" else []))


def test_what_a_kill_left_of_a_part_is_measured_again(program):
    program.main()
    part = program.folder / "models" / "measured" / "natural, int4, merged, avx512.json"
    part.write_text(part.read_text()[:20])
    program.asked.clear()
    program.main("--resume")
    assert program.asked == ["t1t2 int4 natural"]


def test_a_gate_that_fell_is_named_and_fails_the_run(program, capsys):
    program.wrong = {"int4": 90}  # of each set
    assert program.main() == 1
    points = 100 * 4 * 90 / (WRITTEN + NATURAL + BEYOND + SPOKEN)
    assert f"gate int4 fell: it loses {points:.3f}".rstrip("0") in capsys.readouterr().err
    results = json.loads((program.folder / "out" / "ladder.json").read_text())
    assert [one["holds"] for one in results["gates"]] == [True, False, True]
    assert results["gates"][1]["by_set"]["spoken"] == 60
    assert f"| int4 | {points:.2f} |" in program.page()


def test_the_page_says_what_right_answers_are_counted_over(program):
    program.main()
    page = " ".join(program.page().split())
    for said in [f"the {WRITTEN:,} held-out questions",
                 f"{NATURAL} questions of the domain as a person typed",
                 f"{BEYOND} questions that the domain does not answer",
                 f"the {SPOKEN} questions of"]:  # fmt: skip
        assert said in page


def test_the_judged_columns_are_there_with_a_judge_alone(program, monkeypatch, tmp_path):
    program.main()
    assert "| right as heard, % | WER of the voice, % |" in program.page()
    assert "| 100.0 (25.0 to 75.0) | 12.5 (25.0 to 75.0) |" in program.page()
    Program(monkeypatch, tmp_path, judge=None).main()
    assert "WER of the voice, %" not in program.page()
    assert "for want of a judge" in program.page()


def test_every_row_of_the_tables_has_a_cell_a_heading(program):
    program.main()
    lines = [line for line in program.page().splitlines() if line.startswith("|")]
    assert len(lines) > 20
    counts = [line.count("|") for line in lines]
    for line, count, above in zip(lines[1:], counts[1:], counts):
        assert count == above or line.startswith(("| model", "| condition", "| part"))

"""The judge of `make ladder` has to hear before the run, which asks it late."""

from __future__ import annotations

import pytest
from ladder_toys import ladder_worth


@pytest.mark.parametrize("command", ["false", "true", "no-such-judge", "echo Paris; false"])
def test_a_judge_that_hears_nothing_ends_the_run_before_it_begins(command):
    with pytest.raises(SystemExit, match=r"^the judge \(.*\) hears nothing in .*capital\.wav"):
        ladder_worth.judge(command)


def test_a_judge_that_hears_is_taken():
    assert ladder_worth.judge("echo") == "echo"


def test_the_judge_beside_the_ladder_is_found_in_a_folder_with_a_space(monkeypatch, tmp_path):
    home = tmp_path / "my clone's"
    home.mkdir()
    (home / "hear.py").write_text("print('Paris')")
    monkeypatch.setattr(ladder_worth, "HERE", home)
    monkeypatch.setattr(ladder_worth, "find_spec", lambda _: True)
    assert "hear.py" in ladder_worth.judge(None)


def test_without_its_packages_nothing_is_heard(monkeypatch, capsys):
    monkeypatch.setattr(ladder_worth, "find_spec", lambda _: None)
    assert ladder_worth.judge(None) is None
    assert "no judge is here" in capsys.readouterr().err

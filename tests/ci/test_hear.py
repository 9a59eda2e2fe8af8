"""The judge `benches/hear.py`, where it cannot hear: a sentence, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOUND = ROOT / "tests" / "fixtures" / "audio" / "capital.wav"


@pytest.mark.parametrize(
    ("files", "what"),
    [([SOUND], "no package faster-whisper"), ([], "give one sound file"), (["no.wav"], "give one")],
    ids=["no packages", "no file", "a missing file"],
)
def test_what_is_missing_is_told_in_a_line(files, what):
    # Without site, no package that is installed is found.
    asked = [sys.executable, "-S", ROOT / "benches" / "hear.py", *files]
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert said.stderr.count("\n") == 1 and what in said.stderr
    assert said.stdout == ""

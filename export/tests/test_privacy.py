"""ONNX Runtime keeps quiet: no file in the user's folders, no socket, wherever Python loads it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, TINY

TESTS = ROOT / "export" / "tests"
LOADERS = {  # of each package; what turns telemetry off in training/ is the package's own head
    TESTS / "runtime.py", ROOT / "training" / "mini_omni_training" / "voices.py",
}
RUN = f"""
from runtime import onnxruntime
from graphs import ModelFolder
import numpy as np
model = ModelFolder(__import__("pathlib").Path({str(TINY / "fused")!r}))
model.features(np.zeros((80, 400), np.float32), 20)
"""
TRAINING = f"""
import mini_omni_training, onnxruntime
onnxruntime.InferenceSession({str(TINY / "fused" / "encoder.onnx")!r})
"""


@pytest.mark.parametrize(("code", "path"), [(RUN, TESTS), (TRAINING, ROOT / "training")])
def test_a_run_leaves_no_file_and_opens_no_socket(tmp_path, code, path):
    home, trace = tmp_path / "home", tmp_path / "trace"
    home.mkdir()
    command = [sys.executable, "-B", "-c", code]
    if strace := shutil.which("strace"):
        command = [strace, "-f", "-qq", "-o", str(trace), "-e", "trace=socket,connect", *command]
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(path)}  # and no CI
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert list(home.rglob("*")) == []
    if strace:
        assert trace.read_text() == ""


def test_onnxruntime_is_imported_in_one_place_a_package():
    imports = re.compile(r"^\s*(import|from) onnxruntime", re.MULTILINE)
    python = [p for part in ("export", "training", "benches") for p in (ROOT / part).rglob("*.py")]
    found = {p for p in python if "build" not in p.parts and imports.search(p.read_text())}
    assert found - {Path(__file__)} == LOADERS

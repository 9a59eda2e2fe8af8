"""Running the built binary and other commands, with what they took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from conftest import ROOT
from numpy.typing import NDArray

BINARY = ROOT / "target" / "release" / "mini-omni"
SPOKEN = ["a1a2-batch", "a1a2", "t1a2"]


@dataclass
class Cost:
    """What one process took."""

    seconds: float
    peak_bytes: int


def run(command: list) -> Cost:
    """Runs a command to its end; its output is shown only if it fails."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=said, stderr=said, cwd=ROOT / "export"
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        said.seek(0)
        assert process.returncode == 0, said.read().decode(errors="replace")
    return Cost(seconds, usage.ru_maxrss * 1024)


def export(checkpoint: Path, out: Path, profile: str) -> Cost:
    """Exports a folder that holds mini-omni/, whisper/small.pt and snac_24khz/."""
    return run([
        sys.executable, "-m", "mini_omni_export", "--checkpoint", checkpoint / "mini-omni",
        "--whisper", checkpoint / "whisper" / "small.pt", "--snac", checkpoint / "snac_24khz",
        "--profile", profile, "--weights", "random", "--out", out,
    ])


@dataclass
class Said:
    """The binary's trace, its sound [samples] (empty for a text-only task), and what it took."""

    trace: dict
    pcm: NDArray
    cost: Cost


def ask(model: Path, task: str, question: Path | str, max_steps: int, *more: str) -> Said:
    """`mini-omni ask`, greedy and without noise, about a wav file or a text."""
    with tempfile.TemporaryDirectory() as folder:
        trace, wav = Path(folder) / "trace.json", Path(folder) / "answer.wav"
        source = [question] if isinstance(question, Path) else ["--text", question]
        out = ["--out", wav] if task in SPOKEN else []
        cost = run([
            BINARY, "ask", model, *source, "--task", task, "--max-steps", max_steps,
            "--noise", "zero", "--trace", trace, *out, *more,
        ])
        return Said(json.loads(trace.read_text()), _read(wav) if out else np.zeros(0), cost)


def _read(wav: Path) -> NDArray:
    with wave.open(str(wav)) as file:
        data = file.readframes(file.getnframes())
    return np.frombuffer(data, np.int16) / np.float32(32767)

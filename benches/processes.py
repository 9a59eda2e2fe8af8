"""Systems in processes of their own, each with its own memory, in turn: what the benches share."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import models

BINARY = models.ROOT / "target" / "release" / "mini-omni"
THREADS = os.cpu_count() or 1
KIB_PER_MIB = 1024

Round = dict[str, float]  # what one process measured, by name; the unit is in the name
System = Callable[[], Round]


def parser(purpose: str, folder: str, size: str, of: str) -> argparse.ArgumentParser:
    """The command line that benches have: models of `size` in `folder`, rounds `of` what."""
    p = argparse.ArgumentParser(description=purpose)
    p.add_argument("--out", type=Path, default=Path("bench-results"), metavar="DIR")
    p.add_argument("--models", type=Path, default=models.ROOT / "build" / folder, metavar="DIR",
                   help=f"where the models are, or are made: {size}")
    p.add_argument("--rounds", type=int, default=5, help=f"of {of}")
    return p


def machine() -> dict:
    """What it is measured on, and how busy that is."""
    return {"cpu": cpu(), "threads": THREADS, "load_average": os.getloadavg()}


def measure(systems: dict[str, System], n: int) -> dict[str, list[Round]]:
    """`n` rounds of every system, in turn."""
    rounds = {name: [] for name in systems}
    for i in range(n):
        for name in list(systems) if i % 2 == 0 else reversed(systems):
            print(f"round {i + 1} of {n}: {name}", file=sys.stderr)
            rounds[name].append(systems[name]())
    return rounds


def benched(
    model: Path, question: Path, task: str, steps: int, *options: str
) -> tuple[dict, float]:
    """What one warm answer took, as `mini-omni bench` says; peak memory, MiB."""
    return run([BINARY, "bench", model, question, "--task", task, "--rounds", 1,
                "--steps", steps, "--threads", THREADS, "--json", "-", *options])


def has_kernels(model: Path, name: str) -> bool:
    """Whether this processor has what these kernels need."""
    asked = [BINARY, "bench", model, "--rounds", "1", "--steps", "1", "--kernels", name]
    return not subprocess.run(asked, capture_output=True).returncode


def run(command: list, place: Path | None = None) -> tuple[dict, float]:
    """A process's JSON, if it said any, and its peak memory in MiB."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as noise:
        process = subprocess.Popen([str(part) for part in command], stdout=said, stderr=noise,
                                   env=seeing(place))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (said, noise):
            file.seek(0)
        if process.returncode:
            sys.exit(f"{command[0]} failed: {noise.read().decode(errors='replace')}")
        text = said.read()
    peak = usage.ru_maxrss / KIB_PER_MIB
    # macOS counts bytes where Linux counts KiB.
    return json.loads(text or "{}"), peak / 1024 if sys.platform == "darwin" else peak


def seeing(place: Path | None) -> dict[str, str]:
    """The environment in which Python looks in `place` first."""
    return os.environ | ({"PYTHONPATH": str(place)} if place else {})


def cpu() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    return names[0] if names else os.uname().machine

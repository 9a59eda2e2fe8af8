"""This runtime beside llama.cpp and the torch reference, in one run: `make bench`.

A round of a system is a process of its own, so that its memory is its own and nothing idles beside
what is timed. Systems take turns, every second round backwards, so that a machine that slows down
meanwhile slows all; ratios are taken within a round. Writes results.json, results.md and
waterfall.svg.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import models
import tables
import waterfall

HERE = Path(__file__).parent
BINARY = models.ROOT / "target" / "release" / "mini-omni"
QUESTION = models.ROOT / "tests" / "fixtures" / "audio" / "output1.wav"
PROMPT_LENGTH = 101  # of that question, 1.9 s
TORCH_RUN = models.ROOT / "export" / "tests" / "parity" / "torch_run.py"
THREADS = os.cpu_count() or 1
LLAMA_STEPS, TORCH_STEPS, ASKED_STEPS = 60, 12, 30
WINDOWS = ["full", "merged", "short"]
KIB_PER_MIB = 1024

Round = dict  # what one process measured, by name; the unit is in the name
Systems = dict[str, Callable[[], Round]]


def main() -> None:
    """Makes the models, measures, writes the results."""
    args = parser().parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    int4 = models.exported(args.models, "int4")
    asks = {f"ask {window}": asking(int4, window) for window in WINDOWS}
    pairs = [pair for pair in (llama_pair(args.models, int4), torch_pair(args.models)) if pair]
    machine = {"cpu": cpu(), "threads": THREADS, "load_average": os.getloadavg()}
    rounds = measure({**asks, **{k: v for pair in pairs for k, v in pair.items()}}, args.rounds)
    compared = [tables.compared(*pair, rounds) for pair in pairs]
    text = tables.markdown(machine, compared)
    results = {"machine": machine, "compared": compared, "rounds": rounds}
    manifest = json.loads((int4 / "manifest.json").read_text())
    timings = {f"{w} encoder window": middle(rounds[f"ask {w}"])["timings_ms"] for w in WINDOWS}
    (args.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (args.out / "results.md").write_text(text)
    (args.out / "waterfall.svg").write_text(waterfall.svg(timings, manifest, note(machine)))
    print(text)
    print(f"results.json, results.md and waterfall.svg are in {args.out}", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--out", type=Path, default=Path("bench-results"), metavar="DIR")
    p.add_argument("--models", type=Path, default=models.ROOT / "build" / "bench", metavar="DIR",
                   help="where the models are, or are made: 7 GB")
    p.add_argument("--rounds", type=int, default=5, help="of every system")
    return p


def measure(systems: Systems, n: int) -> dict[str, list[Round]]:
    """`n` rounds of every system, in turn."""
    rounds = {name: [] for name in systems}
    for i in range(n):
        for name in list(systems) if i % 2 == 0 else reversed(systems):
            print(f"round {i + 1} of {n}: {name}", file=sys.stderr)
            rounds[name].append(systems[name]())
    return rounds


def llama_pair(folder: Path, int4: Path) -> Systems | None:
    """The decoder alone, in 4 bits: text answers, so no codec runs beside it."""
    if subprocess.run([sys.executable, "-c", "import llama_cpp"], capture_output=True).returncode:
        print("llama.cpp is not here (llama-cpp-python could not be built); going on without it",
              file=sys.stderr)
        return None
    gguf = models.gguf(folder)

    def ours() -> Round:
        stages, _ = benched(int4, "a1t2", LLAMA_STEPS)
        return shared_rows(stages["prefill"] + stages["step"], stages["step"])

    def llama() -> Round:
        command = [sys.executable, HERE / "llama_run.py", gguf, PROMPT_LENGTH, LLAMA_STEPS, THREADS]
        said, _ = run(command)
        return shared_rows(said["prefill_ms"], statistics.median(said["steps_ms"]))

    return {"mini-omni int4, decoder": ours, "llama.cpp q4_0": llama}


def torch_pair(folder: Path) -> Systems:
    """The whole path, exact, both rows of the batch."""
    fp32, checkpoint = models.exported(folder, "fp32"), models.checkpoint(folder)

    def ours() -> Round:
        stages, peak = benched(fp32, "a1a2-batch", TORCH_STEPS)
        shared = shared_rows(stages["prefill"] + stages["step"], stages["step"])
        return {**shared, "encoder with mel, ms": stages["mel"] + stages["encoder"],
                "first audio, ms": stages["first audio"], "peak memory, MiB": peak}

    def torch() -> Round:
        with tempfile.TemporaryDirectory() as at:
            result, pcm = Path(at) / "result.json", Path(at) / "pcm.npy"
            asked = [checkpoint, QUESTION, TORCH_STEPS, result, pcm]
            _, peak = run([sys.executable, TORCH_RUN, *asked])
            said = json.loads(result.read_text())
        step_ms = 1e3 * statistics.median(said["steps_s"])
        shared = shared_rows(1e3 * said["prefill_s"], step_ms)
        return {**shared, "encoder with mel, ms": 1e3 * said["encoder_s"],
                "first audio, ms": 1e3 * said["first_audio_s"], "peak memory, MiB": peak}

    return {"mini-omni fp32": ours, "torch fp32": torch}


def shared_rows(prefill_ms: float, step_ms: float) -> Round:
    """What every system is measured by. Ours counts the step that ends the prompt apart."""
    return {f"prefill of {PROMPT_LENGTH} to the first logits, ms": prefill_ms,
            "decode, a step, ms": step_ms}


def asking(model: Path, window: str) -> Callable[[], Round]:
    """One spoken question, as `mini-omni ask` answers it; its trace."""
    command = [BINARY, "ask", model, QUESTION, "--encoder-window", window,
               "--max-steps", ASKED_STEPS, "--trace", "-"]
    return lambda: run(command)[0]


def benched(model: Path, task: str, steps: int) -> tuple[dict[str, float], float]:
    """Medians of the stages of one warm answer, ms; peak memory, MiB."""
    said, peak = run([BINARY, "bench", model, QUESTION, "--task", task, "--rounds", 1,
                      "--steps", steps, "--threads", THREADS, "--json", "-"])
    return {name: stats["p50"] for name, stats in said["stages_ms"]}, peak


def run(command: list) -> tuple[dict, float]:
    """A process's JSON, if it said any, and its peak memory in MiB."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as noise:
        process = subprocess.Popen([str(part) for part in command], stdout=said, stderr=noise)
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


def middle(traces: list[dict]) -> dict:
    """The trace whose first sound came neither soonest nor latest."""
    ranked = sorted(traces, key=lambda trace: trace["timings_ms"]["first_audio"])
    return ranked[len(ranked) // 2]


def note(machine: dict) -> str:
    """Where the picture was measured, and how busy it was there."""
    return (f"int4, {machine['cpu']}, {machine['threads']} threads, "
            f"load average {machine['load_average'][0]:.1f} before the run")


def cpu() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    return names[0] if names else os.uname().machine


if __name__ == "__main__":
    main()

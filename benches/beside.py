"""This runtime beside llama.cpp and the torch reference, in one run: `make bench`.

A round of a system is a process of its own, so that its memory is its own and nothing idles beside
what is timed. Systems take turns, every second round backwards, so that a machine that slows down
meanwhile slows all; ratios are taken within a round. Writes results.json, results.md and
waterfall.svg.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import models
import processes
import tables
import waterfall
from processes import (
    BINARY,
    THREADS,
    Round,
    System,
    benched,
    has_kernels,
    measure,
    run,
    seeing,
)

HERE = Path(__file__).parent
QUESTION = models.ROOT / "tests" / "fixtures" / "audio" / "output1.wav"
PROMPT_LENGTH = 101  # of that question, 1.9 s
TORCH_RUN = models.ROOT / "export" / "tests" / "parity" / "torch_run.py"
LLAMA_STEPS, TORCH_STEPS, ANSWER_STEPS, ASKED_STEPS = 60, 12, 107, 30
WINDOWS = ["full", "merged", "short"]
KERNELS = "avx2"  # beside those that the processor has, where these are others
NARROW_LLAMA = Path(sys.prefix) / "llama-avx2"  # llama.cpp built without AVX-512

Pair = tuple[str, str]  # ours, and what it is held against


def main() -> None:
    """Makes the models, measures, writes the results."""
    args = processes.parser(__doc__.splitlines()[0], "bench", "7 GB", "every system").parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    int4 = models.exported(args.models, "int4")
    systems, pairs = beside_llama(args.models, int4)
    answers, answer_pairs = beside_torch(args.models, int4)
    systems |= answers
    pairs = answer_pairs + pairs
    machine = processes.machine()
    rounds = measure(systems, args.rounds)
    traces = {window: measure({"ask": asking(int4, window)}, args.rounds)["ask"]
              for window in WINDOWS}
    compared = [tables.compared(*pair, rounds) for pair in pairs]
    text = tables.markdown(machine, compared)
    results = {"machine": machine, "compared": compared, "rounds": rounds, "traces": traces}
    manifest = json.loads((int4 / "manifest.json").read_text())
    timings = {f"{w} encoder window": middle(traces[w])["timings_ms"] for w in WINDOWS}
    (args.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (args.out / "results.md").write_text(text)
    (args.out / "waterfall.svg").write_text(waterfall.svg(timings, manifest, note(machine)))
    print(text)
    print(f"results.json, results.md and waterfall.svg are in {args.out}", file=sys.stderr)


def beside_torch(folder: Path, int4: Path) -> tuple[dict[str, System], list[Pair]]:
    """The whole path, both rows of the batch: int4 by window and by kernels, fp32, and torch."""
    fp32, checkpoint = models.exported(folder, "fp32"), models.checkpoint(folder)
    by_window = {f"mini-omni int4, {window} window": answering(int4, "--encoder-window", window)
                 for window in WINDOWS}
    full = f"mini-omni int4, {WINDOWS[0]} window"
    others = {"mini-omni fp32": answering(fp32, steps=TORCH_STEPS), "torch fp32": torch(checkpoint)}
    pairs = [(name, "torch fp32") for name in [*by_window, "mini-omni fp32"]]
    pairs += [(name, full) for name in by_window if name != full]
    if (name := other_kernels(int4)) is not None:
        others[f"{full}, {name}"] = answering(int4, "--encoder-window", "full", "--kernels", name)
        pairs.append((full, f"{full}, {name}"))
    return by_window | others, pairs


def answering(model: Path, *options: str, steps: int = ANSWER_STEPS) -> System:
    """A warm answer, as `mini-omni bench` times it."""

    def round_() -> Round:
        said, peak = benched(model, QUESTION, "a1a2-batch", steps, *options)
        stages = {name: stats["p50"] for name, stats in said["stages_ms"]}
        return {**shared_rows(stages["prefill"] + stages["step"], stages["step"]),
                "encoder with mel, ms": stages["mel"] + stages["encoder"],
                "first audio, ms": stages["first audio"],
                "real-time factor": said["real_time_factor"]["p50"], "peak memory, MiB": peak}

    return round_


def torch(checkpoint: Path) -> System:
    """The reference's answer."""

    def round_() -> Round:
        with tempfile.TemporaryDirectory() as at:
            result, pcm = Path(at) / "result.json", Path(at) / "pcm.npy"
            asked = [checkpoint, QUESTION, TORCH_STEPS, result, pcm]
            _, peak = run([sys.executable, TORCH_RUN, *asked])
            said = json.loads(result.read_text())
        step_ms = 1e3 * statistics.median(said["steps_s"])
        shared = shared_rows(1e3 * said["prefill_s"], step_ms)
        return {**shared, "encoder with mel, ms": 1e3 * said["encoder_s"],
                "first audio, ms": 1e3 * said["first_audio_s"], "peak memory, MiB": peak}

    return round_


def beside_llama(folder: Path, int4: Path) -> tuple[dict[str, System], list[Pair]]:
    """The decoder alone, in 4 bits: text answers, so no codec runs beside it."""
    ours = "mini-omni int4, decoder"
    systems, pairs = {ours: decoding(int4)}, []
    if has_llama():
        systems["llama.cpp q4_0"] = llama(models.gguf(folder))
        pairs.append((ours, "llama.cpp q4_0"))
    if (name := other_kernels(int4)) is not None:
        narrow, without = f"{ours}, {name}", "llama.cpp q4_0 without AVX-512"
        systems[narrow] = decoding(int4, "--kernels", name)
        pairs.append((ours, narrow))
        if has_llama(NARROW_LLAMA):
            systems[without] = llama(models.gguf(folder), NARROW_LLAMA)
            pairs.append((narrow, without))
    return systems, pairs


def decoding(int4: Path, *options: str) -> System:
    """Our decoder."""

    def round_() -> Round:
        said, _ = benched(int4, QUESTION, "a1t2", LLAMA_STEPS, *options)
        stages = {name: stats["p50"] for name, stats in said["stages_ms"]}
        return shared_rows(stages["prefill"] + stages["step"], stages["step"])

    return round_


def llama(gguf: Path, place: Path | None = None) -> System:
    """llama.cpp's, installed in `place`, or where Python looks for it."""
    command = [sys.executable, HERE / "llama_run.py", gguf, PROMPT_LENGTH, LLAMA_STEPS, THREADS]

    def round_() -> Round:
        said, _ = run(command, place)
        return shared_rows(said["prefill_ms"], statistics.median(said["steps_ms"]))

    return round_


def has_llama(place: Path | None = None) -> bool:
    """Whether llama.cpp is there."""
    command = [sys.executable, "-c", "import llama_cpp"]
    here = place is None or place.is_dir()
    here = here and not subprocess.run(command, capture_output=True, env=seeing(place)).returncode
    if not here:
        print("llama.cpp is not here (llama-cpp-python could not be built); going on without it",
              file=sys.stderr)
    return here


def other_kernels(int4: Path) -> str | None:
    """The kernels to measure beside those that this processor gets, if it has both."""
    said, _ = benched(int4, QUESTION, "a1t2", 1)
    is_other = said["kernels"] != KERNELS and has_kernels(int4, KERNELS)
    return KERNELS if is_other else None


def shared_rows(prefill_ms: float, step_ms: float) -> Round:
    """What every system is measured by. Ours counts the step that ends the prompt apart."""
    return {f"prefill of {PROMPT_LENGTH} to the first logits, ms": prefill_ms,
            "decode, a step, ms": step_ms}


def asking(model: Path, window: str) -> Callable[[], Round]:
    """One spoken question, as `mini-omni ask` answers it; its trace."""
    command = [BINARY, "ask", model, QUESTION, "--encoder-window", window,
               "--max-steps", ASKED_STEPS, "--trace", "-"]
    return lambda: run(command)[0]


def middle(traces: list[dict]) -> dict:
    """The trace whose first sound came neither soonest nor latest."""
    ranked = sorted(traces, key=lambda trace: trace["timings_ms"]["first_audio"])
    return ranked[len(ranked) // 2]


def note(machine: dict) -> str:
    """Where the picture was measured, and how busy it was there."""
    return (f"int4, {machine['cpu']}, {machine['threads']} threads, "
            f"load average {machine['load_average'][0]:.1f} before the run")


if __name__ == "__main__":
    main()

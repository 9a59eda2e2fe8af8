"""What `gpu.sh` measures: one JSON and a table.

Each measurement is a process of its own with a time of its own, so that one that fails or hangs
costs no other. What is in gpu.json already is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARITY = ROOT / "export" / "tests" / "parity"
QUESTION = ROOT / "tests" / "fixtures" / "audio" / "output1.wav"  # 1.9 s
TINY = ROOT / "tests" / "fixtures" / "tiny"
SEED = 1
EXPORTS = {
    "fp32": ["--profile", "portable"],
    "fp16": ["--profile", "cuda", "--precision", "fp16"],
    "int4": ["--profile", "cuda", "--precision", "int4"],
}
CONVERSATIONS = [8, 64, 32]
GOALS = {"first audio, ms": 60, "step, ms": 2}  # of one H100, in fp16

Said = dict[str, float | str | None]


class Failed(Exception):
    """A measurement that could not be made; says why."""


class Bench:
    """Where things are, and how much time is left."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.began = args, time.monotonic()
        self.size = "tiny" if args.small else "full"

    def left(self) -> float:
        """Seconds until the limit."""
        return self.args.limit - (time.monotonic() - self.began)

    def run(self, command: list, seconds: float) -> str:
        """What a process says, if it ends well and in time."""
        seconds = min(seconds, self.left())
        if seconds <= 0:
            raise Failed("no time was left")
        env = os.environ | {"PYTHONPATH": str(ROOT / "export")}
        try:
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                                  timeout=seconds, env=env, check=False)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"not done after {seconds:.0f} s") from error
        if done.returncode:
            raise Failed((done.stderr.strip() or f"exit code {done.returncode}")[-600:])
        return done.stdout

    def ours(self, command: str, *options: object, provider: str = "", seconds: float = 60) -> dict:
        """What a command of ours says as JSON."""
        out = ["--trace", "-"] if command == "ask" else ["--json", "-"]
        asked = [*options, "--provider", provider or self.args.provider, *out]
        text = self.run([self.args.binary, command, *asked], seconds)
        return json.loads(text[text.index("{"):])

    def model(self, name: str) -> Path:
        """A model folder, made if it is not there."""
        folder = self.args.work / f"{self.size}-{name}"
        if not (folder / "manifest.json").exists():
            raise Failed(f"there is no model {folder.name}")
        return folder

    def make_models(self) -> None:
        """Exports all models and the checkpoint for torch, side by side. What is not done in time
        is missing: the measurements that need it say so."""
        self.args.work.mkdir(parents=True, exist_ok=True)
        export = ["-m", "mini_omni_export", "--random", self.size, "--seed", SEED]
        made = {self.args.work / f"{self.size}-{name}": [*export, *options, "--out"]
                for name, options in EXPORTS.items()}
        if not self.args.small:
            made[self.checkpoint()] = [PARITY / "write_full.py"]
        env = os.environ | {"PYTHONPATH": str(ROOT / "export")}
        making = []
        for folder, command in made.items():
            if not folder.exists():
                begun = folder.with_name(f".{folder.name}.begun")
                shutil.rmtree(begun, ignore_errors=True)
                command = [sys.executable, *map(str, [*command, begun])]
                process = subprocess.Popen(command, env=env, stdout=sys.stderr)
                making.append((process, begun, folder))
        for process, begun, folder in making:
            try:
                if process.wait(max(1, self.left())) == 0:
                    begun.rename(folder)
            except subprocess.TimeoutExpired:
                process.kill()

    def checkpoint(self) -> Path:
        """For torch."""
        return TINY / "checkpoint" if self.args.small else self.args.work / "full-checkpoint"


def same_ids(model: Path, wav: Path) -> Callable[[Bench], Said]:
    """How many ids of an answer are those that the processor says."""

    def measured(bench: Bench) -> Said:
        options = [model, wav, "--max-steps", 60]
        there, here = (bench.ours("ask", *options, provider=provider)["tokens"]
                       for provider in (bench.args.provider, "cpu"))
        pairs = [(a, b) for ours, known in zip(there, here) for a, b in zip(ours, known)]
        return {"same ids": sum(a == b for a, b in pairs) / len(pairs), "ids": len(pairs)}

    return measured


def compared(bench: Bench) -> Said:
    """fp16 on the device against fp32 on the processor, stage by stage."""
    options = ["--reference", bench.model("fp32"), QUESTION, "--max-steps", 30]
    said = bench.ours("compare", bench.model("fp16"), *options, seconds=120)["inputs"][0]
    streams = said["teacher_forced"]["streams"]
    agreed = sum(one["agreed"] for one in streams) / sum(one["of"] for one in streams)
    errors = {f"error of {one['stage']}": one["error"] for one in said["stages"] if one["error"]}
    return {"ids that agree": agreed, **errors}


def answering(name: str, *options: str) -> Callable[[Bench], Said]:
    """A warm answer."""

    def measured(bench: Bench) -> Said:
        asked = [bench.model(name), QUESTION, "--task", "a1a2-batch", "--rounds", 3, *options]
        return times(bench.ours("bench", *asked, seconds=90))

    return measured


def times(said: dict) -> Said:
    stages = {stage: stats["p50"] for stage, stats in said["stages_ms"]}
    return {"first audio, ms": stages["first audio"], "encoder, ms": stages["encoder"],
            "prefill, ms": stages["prefill"], "step, ms": stages["step"],
            "codec a frame, ms": stages["codec a frame"],
            "real-time factor": said["real_time_factor"]["p50"]}


def together(n: int) -> Callable[[Bench], Said]:
    """So many conversations at once."""

    def measured(bench: Bench) -> Said:
        asked = [bench.model("fp16"), QUESTION, "--rounds", 1, "--steps", 30,
                 "--conversations", n, "--seconds", 3]
        found = bench.ours("bench", *asked, seconds=100)["conversations"]
        run = found["runs"][-1]
        return {"sustained": found["sustained"], "late frames": run["late"],
                "step, ms": run["step_ms"] and run["step_ms"]["p50"],
                "first audio p95, ms": run["first_audio_ms"] and run["first_audio_ms"]["p95"],
                "real-time factor": run["real_time_factor"]}

    return measured


def torch(bench: Bench) -> Said:
    """The reference in fp16 on the same device."""
    device = {"cuda": "cuda"}.get(bench.args.provider, "cpu")
    with tempfile.TemporaryDirectory() as at:
        result = Path(at) / "result.json"
        asked = [bench.checkpoint(), QUESTION, 40, result, Path(at) / "pcm.npy", device]
        bench.run([bench.args.torch_python, PARITY / "torch_run.py", *asked], 150)
        said = json.loads(result.read_text())
    return {"first audio, ms": 1e3 * said["first_audio_s"], "encoder, ms": 1e3 * said["encoder_s"],
            "prefill, ms": 1e3 * said["prefill_s"],
            "step, ms": 1e3 * statistics.median(said["steps_s"])}


def measurements(provider: str) -> dict[str, Callable[[Bench], Said]]:
    """All of them, the most wanted first."""
    recorded = {}
    if provider == "cuda":
        recorded = {"fp16, CUDA graphs": answering("fp16", "--cuda-graphs")}
    return {
        "tiny model, fp32, against the processor": same_ids(TINY / "portable", QUESTION),
        "fp16": answering("fp16"),
        **recorded,
        "torch fp16": torch,
        "fp16 against fp32": compared,
        "int4": answering("int4"),
        **{f"fp16, {n} conversations": together(n) for n in CONVERSATIONS},
    }


def main() -> None:
    """Makes the models, measures, writes the results after each measurement."""
    args = parser().parse_args()
    bench, file = Bench(args), args.out / "gpu.json"
    args.out.mkdir(parents=True, exist_ok=True)
    bench.make_models()
    results = json.loads(file.read_text()) if file.exists() else {}
    results |= {"device": device(), "provider": args.provider, "size": bench.size}
    done = results.setdefault("measured", {})
    for name, measure in measurements(args.provider).items():
        if name in done and "failed" not in done[name]:
            continue
        began = time.monotonic()
        try:
            done[name] = measure(bench)
        except (Failed, OSError, KeyError, ValueError, IndexError) as error:
            done[name] = {"failed": f"{type(error).__name__}: {error}"}
        print(f"{name}: {done[name]} ({time.monotonic() - began:.0f} s)", file=sys.stderr)
        file.write_text(json.dumps(results, indent=1) + "\n")
        (args.out / "gpu.md").write_text(table(results))
    print(table(results))
    if any("failed" in said for said in done.values()):
        sys.exit(1)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--binary", type=Path, required=True, help="the program, with the CUDA provider")
    p.add_argument("--provider", default="cuda", help="what computes (default: %(default)s)")
    p.add_argument("--small", action="store_true", help="tiny models in place of full-size ones")
    p.add_argument("--work", type=Path, required=True, metavar="DIR", help="where models are made")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets gpu.json, gpu.md")
    p.add_argument("--limit", type=float, default=450,
                   help="seconds for all of it (default: %(default)s)")
    p.add_argument("--torch-python", default=os.environ.get("TORCH_PYTHON", sys.executable),
                   help="a Python that has torch (default: this one)")
    return p


def device() -> str:
    """The card's name, or the processor's."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return os.uname().machine


def table(results: dict) -> str:
    """A line a figure."""
    lines = [f"{results['device']}, {results['provider']}, {results['size']} size\n",
             "| measurement | figure | value | goal |", "|---|---|---|---|"]
    for name, said in results["measured"].items():
        for figure, value in said.items():
            shown = f"{value:.4g}" if isinstance(value, (int, float)) else str(value)
            goal = GOALS.get(figure, "") if name.startswith("fp16") and "conv" not in name else ""
            lines.append(f"| {name} | {figure} | {shown.splitlines()[-1]} | {goal} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

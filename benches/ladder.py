"""The bundled model on each rung of precision, encoder window and kernels: `make ladder`.

What a rung costs (bytes, milliseconds, memory) and what it is worth: ids in common with the fp32
model, right answers, words heard right, answers heard right by a judge. Times come first, in one
stretch, rungs in turn. Writes ladder.json, ladder.md and ladder.svg; exit code 1 names each gate
that fell. A killed run goes on by --resume.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import ladder_gates
import ladder_table
import models
import processes
from kept import Kept
from ladder_rungs import STEPS, WINDOWS, Rung, all_rungs, asked_as, cost, size
from ladder_worth import Asking, judge, worth_of, write_sets
from processes import BINARY, THREADS, measure
from tables import spread


def main() -> int:
    """Measures, writes the results; the exit code."""
    args = parser().parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    hears = judge(args.judge)
    kept = Kept(args.models / "measured", settings(args, hears), args.resume)
    with tempfile.TemporaryDirectory() as at:
        write_sets(Path(at))
        rungs = all_rungs()
        asking = Asking(kept, args.models.resolve(), Path(at), hears, args.judged,
                        rungs[0].kernels)
        results = measured(asking, rungs, args.rounds)
    write(args.out, results)
    fallen = [one for one in results["gates"] if not one["holds"]]
    for one in fallen:
        print(f"gate {one['model']} fell: it loses {one['points']} points", file=sys.stderr)
    return 1 if fallen else 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = processes.parser(__doc__.splitlines()[0], "ladder", "250 MB", "every rung's times")
    p.add_argument("--judge", metavar="COMMAND",
                   help="hears spoken answers (default: hear.py, where its packages are)")
    p.add_argument("--judged", type=int, default=60, help="questions that it hears answered")
    p.add_argument("--resume", action="store_true", help="go on with a run that was killed")
    return p


def settings(args: argparse.Namespace, hears: str | None) -> dict:
    """What parts of one run have in common."""
    return {
        "bundled model": models.bundled_hash(), "judge": hears, "--judged": args.judged,
        "--rounds": args.rounds, "processor": processes.cpu(), "number of threads": THREADS,
        "program": hashlib.sha256(BINARY.read_bytes()).hexdigest(),
    }  # fmt: skip


def measured(asking: Asking, rungs: list[Rung], rounds: int) -> dict:
    """The results: a row a rung, verdicts, conditions of the times, what the run took."""
    part = asking.kept.part
    bytes_of = part("models made", "all", lambda: {
        model: size(models.bundled(asking.folder, model)) for model in WINDOWS})
    times = part("times", "all", lambda: timed(asking, rungs, rounds))
    worth = [worth_of(asking, asked_as(rung, rungs)) for rung in rungs]
    rows = [row(rung, bytes_of, times, one) for rung, one in zip(rungs, worth)]
    conditions = part("determinism", "all", determinism)
    gates = ladder_gates.judged(rows)
    for one in rows:
        del one["right"]
    return times["machine"] | {
        "steps": STEPS, "rounds": rounds, "judged": bool(asking.judge), "rungs": rows,
        "gates": gates, "determinism": conditions, "took_seconds": asking.kept.seconds(),
    }  # fmt: skip


def row(rung: Rung, bytes_of: dict, times: dict, worth: dict) -> dict:
    """A rung's; `right` has every answer's verdict."""
    found = times["rounds"][rung.name]
    costs = {key: spread([one[key] for one in found]) for key in found[0]}
    return {"model": rung.model, "window": rung.window, "kernels": rung.kernels,
            "bytes": bytes_of[rung.model], "cost": costs} | worth  # fmt: skip


def timed(asking: Asking, rungs: list[Rung], rounds: int) -> dict:
    """Rounds of every rung in turn, and what they were measured on."""
    machine = {"date": datetime.date.today().isoformat()} | processes.machine()
    systems = {rung.name: lambda rung=rung: cost(asking.model(rung), rung) for rung in rungs}
    return {"machine": machine, "rounds": measure(systems, rounds)}


def determinism() -> list[dict]:
    """What the test of the same name finds: a row a condition, also where one of them fell."""
    with tempfile.TemporaryDirectory() as at:
        report = Path(at) / "determinism.json"
        ended = subprocess.run(["cargo", "test", "--release", "--test", "determinism"],
                               cwd=models.ROOT, env=os.environ | {"REPORT": str(report)},
                               stdout=sys.stderr)  # fmt: skip
        if not report.exists():
            sys.exit(f"the test of determinism ended with exit code {ended.returncode} and no "
                     "report; what was measured is kept for --resume")
        return json.loads(report.read_text())


def write(out: Path, results: dict) -> None:
    """The results for programs, for people, and as a picture."""
    import ladder_plot  # matplotlib is needed here alone

    (out / "ladder.json").write_text(json.dumps(results, indent=1) + "\n")
    (out / "ladder.md").write_text(ladder_table.page(results))
    (out / "ladder.svg").write_text(ladder_plot.svg(results))
    print(f"ladder.json, ladder.md and ladder.svg are in {out}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

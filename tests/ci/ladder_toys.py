"""A ladder whose program and judge are made up, so that the rest of `make ladder` runs in a moment."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benches"), str(ROOT / "training")]
import ladder
import ladder_worth
import models
import processes
from ladder_rungs import WINDOWS, Rung
from mini_omni_training import domain

QUESTIONS = domain.questions()  # takes a second

RUNGS = [Rung(model, window, "avx512") for model, windows in WINDOWS.items() for window in windows]
RUNGS += [Rung("int8", "merged", "avx2"), Rung("int8", "merged", "onnxruntime")]
INTERVAL = {"low": 0.25, "high": 0.75}
RATE = {"corpus": 0.125, "interval": INTERVAL}


class Program:
    """What is asked of the program, in order; answers all right but the first `wrong` of a model."""

    def __init__(self, monkeypatch, folder: Path, judge: str | None = "judge") -> None:
        self.asked: list[str] = []
        self.wrong: dict[str, int] = {}
        self.dies_at: int | None = None
        self.folder = folder
        (folder / "program").write_bytes(b"1")
        replaced = {
            (ladder, "all_rungs"): lambda: RUNGS, (ladder, "cost"): self.cost,
            (ladder, "judge"): lambda given: judge, (ladder, "BINARY"): folder / "program",
            (ladder, "determinism"): list, (ladder_worth, "run"): self.run,
            (models, "bundled"): self.bundled, (models, "bundled_hash"): lambda: "hash",
            (processes, "cpu"): lambda: "a processor",
            (domain, "questions"): lambda: QUESTIONS,
        }  # fmt: skip
        for (module, name), value in replaced.items():
            monkeypatch.setattr(module, name, value)
        monkeypatch.setitem(sys.modules, "ladder_plot", SimpleNamespace(svg=lambda _: "<svg/>"))
        self.monkeypatch = monkeypatch

    def main(self, *options: str) -> int:
        """`make ladder` with these options."""
        places = ["--out", str(self.folder / "out"), "--models", str(self.folder / "models")]
        self.monkeypatch.setattr(sys, "argv", ["ladder.py", *places, "--rounds", "2", *options])
        return ladder.main()

    def page(self) -> str:
        return (self.folder / "out" / "ladder.md").read_text()

    def bundled(self, _: Path, form: str) -> Path:
        place = self.folder / form.replace("/", "-")
        place.mkdir(exist_ok=True)
        return place

    def note(self, what: str) -> None:
        """As if the run were killed at one of the things asked."""
        if len(self.asked) == self.dies_at:
            self.dies_at = None
            raise KeyboardInterrupt
        self.asked.append(what)

    def cost(self, model: Path, rung: Rung) -> dict:
        self.note(f"time {rung.name}")
        return {"first_audio_ms": 300.0, "step_ms": 1.5, "peak_memory_mib": 120.0}

    def run(self, command: list) -> tuple[dict, float]:
        given = [str(part) for part in command]
        model = Path(given[2]).name
        if given[1] == "compare":
            self.note(f"compare {model}")
            return {"agreement": 0.99, "same_answers": 0.5, "inputs": [1, 2]}, 0.0
        data, task, out = (Path(given[given.index(o) + 1]) for o in ("--data", "--task", "--out"))
        self.note(f"{task} {model} {data.stem}")
        rows = [json.loads(line) for line in data.read_text().splitlines()]
        wrong = self.wrong.get(model, 0)
        lines = [{"id": str(i), "right": i >= wrong} for i in range(len(rows))]
        out.write_text("".join(json.dumps(line) + "\n" for line in [{}, *lines]))
        share = {"right": len(rows) - wrong, "of": len(rows), "interval": INTERVAL,
                 "share": 1 - wrong / len(rows)}  # fmt: skip
        judged = share | {"of": 60} if "--judge" in given else None
        return {"answers": share, "transcription": {"whisper": {"words": RATE}},
                "answers_heard": judged, "voice": RATE}, 0.0  # fmt: skip

"""The one training loop: steps, pauses, logs, curves and checkpoints that resume exactly.

A step's data and random draws are functions of (seed, step) alone, so a resumed run needs no
generator state: model, optimizer and step say everything.
"""

import json
import math
import os
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

Losses = dict[str, float]
StepFunction = Callable[[int, random.Random], tuple[Tensor, Losses]]


@dataclass(frozen=True)
class Schedule:
    """Steps, the cosine's top and how often to look up."""

    steps: int
    lr: float = 1e-3
    warmup: int = 50
    floor: float = 0.05  # of lr, at the end
    weight_decay: float = 0.01
    matrix_decay: float = 0.1  # of what Muon steps
    clip: float = 1.0
    seed: int = 1
    save_every_s: float = 60.0
    log_every: int = 20
    eval_every: int = 500
    pause_file: Path | None = None
    threads: int = 0  # 0: torch's own choice

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * (self.floor + (1 - self.floor) * (1 + math.cos(math.pi * done)) / 2)


class Trainer:
    """Trains the parameters of `model` that require gradients; everything lies in `folder`.

    `matrices` are stepped by Muon (its rate scaled to AdamW's), all others by AdamW."""

    def __init__(
        self, folder: Path, model: nn.Module, schedule: Schedule, matrices: Iterable[Tensor] = ()
    ) -> None:
        self.folder, self.model, self.schedule = Path(folder), model, schedule
        self.folder.mkdir(parents=True, exist_ok=True)
        if schedule.threads:
            torch.set_num_threads(schedule.threads)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        muon = [p for p in matrices if p.requires_grad]
        apart = {id(p) for p in muon}
        rest = [p for p in self.parameters if id(p) not in apart]
        adam = {"betas": (0.9, 0.98), "weight_decay": schedule.weight_decay}
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, schedule.lr, **adam)
        ]
        if muon:
            settings = {"weight_decay": schedule.matrix_decay, "adjust_lr_fn": "match_rms_adamw"}
            self.optimizers.append(torch.optim.Muon(muon, schedule.lr, **settings))
        self.step, self.seconds = 0, 0.0
        self._resume()

    def run(self, step: StepFunction, evaluate: Callable[[], Losses] | None = None) -> None:
        """Trains to the schedule's end; `evaluate` is called now and then and at the end."""
        saved = time.monotonic()
        steps = self.schedule.steps
        with tqdm(total=steps, initial=self.step, unit="step", mininterval=5) as bar:
            while self.step < steps:
                self._pause()
                self._one(step)
                bar.update()
                if evaluate and (self.step % self.schedule.eval_every == 0 or self.step == steps):
                    self._log({f"eval/{k}": v for k, v in evaluate().items()})
                if time.monotonic() - saved > self.schedule.save_every_s:
                    self.save()
                    saved = time.monotonic()
        self.save()

    def save(self) -> None:
        """Writes state.pt through a temporary name, so that a kill leaves the old one whole."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        torch.save(state, self.folder / "state.tmp")
        os.replace(self.folder / "state.tmp", self.folder / "state.pt")

    def _resume(self) -> None:
        path = self.folder / "state.pt"
        if path.exists():
            state = torch.load(path, map_location="cpu", weights_only=True)
            self.model.load_state_dict(state["model"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            self.step, self.seconds = state["step"], state["seconds"]

    def _one(self, step: StepFunction) -> None:
        began = time.monotonic()
        rate = self.schedule.rate(self.step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        rng = random.Random(f"{self.schedule.seed}/{self.step}")
        torch.manual_seed(rng.randrange(2**31))
        loss, losses = step(self.step, rng)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.schedule.clip)
        if torch.isfinite(norm):
            for optimizer in self.optimizers:
                optimizer.step()
        self.step += 1
        self.seconds += time.monotonic() - began
        if self.step % self.schedule.log_every == 0 or self.step == self.schedule.steps:
            self._log({"loss": float(loss.detach()), **losses, "norm": float(norm), "lr": rate})

    def _log(self, values: Losses) -> None:
        rounded = {k: round(v, 5) for k, v in values.items()}
        line = {"step": self.step, "seconds": round(self.seconds, 1), **rounded}
        with open(self.folder / "log.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")

    def _pause(self) -> None:
        pause = self.schedule.pause_file
        while pause and pause.exists():
            time.sleep(1)


def draw_curves(folder: Path) -> Path:
    """Draws every logged number of a run over its steps into curves.png."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    names = sorted({k for line in lines for k in line} - {"step", "seconds", "lr", "norm"})
    figure, axes = pyplot.subplots(figsize=(9, 5))
    for name in names:
        points = [(line["step"], line[name]) for line in lines if name in line]
        axes.plot(*zip(*points), label=name, marker="." if name.startswith("eval/") else None)
    axes.set(xlabel="step", yscale="log", title=folder.name)
    axes.legend(fontsize=7)
    figure.savefig(folder / "curves.png", dpi=110)
    pyplot.close(figure)
    return folder / "curves.png"

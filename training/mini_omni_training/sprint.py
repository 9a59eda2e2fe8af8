"""Phase 3 on a GPU for so many seconds. The learning rate and the mix follow the clock, so that a
run is whole whatever the device's speed. Processes make the batches and draw the sounds.

WORK/sprint gets log.jsonl and the published layout of a running mean over the last steps, now and
then and at the end; WORK/sprint/last is what the last step left.
"""

import copy
import json
import math
import multiprocessing
import queue
import threading
import time
from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from . import tokenizer as tokenizers
from .exam import exam
from .model import Omni
from .muon import BatchedMuon
from .packed_losses import losses
from .packs import PackedItems, lines_of, make_batches, tensors
from .sounds import Drawn, Sounds, Table, draw_sounds, rows_for, shared
from .whisper import Encoder

MEAN_KEPT = 0.998  # of the running mean, a step
LOG_EVERY = 25  # steps
SAVE_EVERY = 45.0  # seconds
AHEAD = 3  # steps that the device may lie behind
WAITING = 2048  # drawn sounds that may wait to be heard
# By the share of the run that is done: much text first, then what is heard, then answers aloud.
MIXES = {
    0.0: {"SAY": 0.13, "A1A2": 0.12, "T1A2": 0.08, "A1T2": 0.18, "T1T2": 0.36, "FINISH": 0.05,
          "A1T1": 0.08},
    0.35: {"SAY": 0.12, "A1A2": 0.2, "T1A2": 0.07, "A1T2": 0.28, "T1T2": 0.2, "FINISH": 0.04,
           "A1T1": 0.09},
    0.8: {"SAY": 0.12, "A1A2": 0.26, "T1A2": 0.08, "A1T2": 0.26, "T1T2": 0.18, "FINISH": 0.03,
          "A1T1": 0.07},
}  # fmt: skip
TASKS = tuple(MIXES[0.0])


def mix_at(done: float, tasks: tuple[str, ...] = TASKS) -> dict[str, float]:
    """The tasks' shares, in straight lines between the points of MIXES."""
    points = list(MIXES)
    return {n: float(np.interp(done, points, [MIXES[at][n] for at in points])) for n in tasks}


@dataclass(frozen=True)
class Budget:
    """How long, how fast and how much at once."""

    seconds: float = 200.0
    lr: float = 2e-3
    warmup: float = 0.03  # of the run
    weight_decay: float = 0.01
    matrix_decay: float = 0.1
    clip: float = 1.0
    lines: int = 32
    length: int = 1024
    corrupt: float = 0.3
    makers: int = 8  # processes that make batches
    drawers: int = 6  # processes that draw sounds
    hear: int = 256  # clips at once
    asked: int = 300  # written questions of a cell, at the end

    def rate(self, done: float) -> float:
        """The learning rate: up in a straight line, then a cosine to almost nothing."""
        if done < self.warmup:
            return self.lr * (0.02 + done / self.warmup)
        left = (1 + math.cos(math.pi * (done - self.warmup) / (1 - self.warmup))) / 2
        return self.lr * max(0.01, left)


class Supply:
    """The processes and what they send: batches, and sounds to be heard. They are forked before
    the device is touched."""

    def __init__(self, items: PackedItems, budget: Budget, mix) -> None:
        self.clock = shared(2, np.float64)  # the share that is done; whether all is over
        context = multiprocessing.get_context("fork")
        self._made, self._drawn = context.Queue(2 * budget.makers), context.Queue(64)
        self.batches: queue.Queue = queue.Queue(4)
        self.sounds: deque[Drawn] = deque()
        rest = (self.clock, mix, self._made, budget.lines, budget.length, budget.corrupt)
        clips = (items.heard["train"], items.heard["test"])
        jobs = [(make_batches, (items, i, *rest)) for i in range(budget.makers)]
        for i in range(budget.drawers):
            jobs.append((draw_sounds, (*clips, i, budget.drawers, self.clock, self._drawn)))
        self.processes = [context.Process(target=f, args=a, daemon=True) for f, a in jobs]
        for process in self.processes:
            process.start()
        for target in (self._fetch_batches, self._fetch_sounds):
            threading.Thread(target=target, daemon=True).start()

    def _fetch_batches(self) -> None:
        while self.clock[1] == 0:
            self.batches.put(self._made.get())

    def _fetch_sounds(self) -> None:
        while self.clock[1] == 0:
            self.sounds.extend(self._drawn.get())
            while len(self.sounds) > WAITING:
                time.sleep(0.05)

    def end(self) -> None:
        """Ends the processes; they may be waiting for room in a queue."""
        self.clock[1] = 1
        for process in self.processes:
            process.kill()


class Sprint:
    """One run into `folder`; `began` is when its seconds began (time.monotonic)."""

    def __init__(
        self, folder: Path, budget: Budget, model: Omni, encoder: Encoder, items: PackedItems,
        began: float,
    ) -> None:  # fmt: skip
        self.folder, self.budget, self.items, self.began = folder, budget, items, began
        folder.mkdir(parents=True, exist_ok=True)
        self.mix = partial(mix_at, tasks=tuple(name for name in TASKS if items.has(name)))
        clips = [items.heard["train"], items.heard["test"]]
        items.sounds = Sounds(sum(map(len, clips)))
        self.supply = Supply(items, budget, self.mix)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model, self.mean = model.to(self.device), copy.deepcopy(model).to(self.device)
        encoder = encoder.on(self.device)
        self.table = Table(encoder, items.sounds, self.device, rows_for(clips))
        starts = items.starts.to(self.device)
        self.any_word = torch.zeros(len(starts), device=self.device)
        self.any_word.masked_fill_(~starts, -torch.inf)
        self.parameters, matrices = list(self.model.parameters()), self.model.matrices()
        apart = {id(p) for p in matrices}
        rest = [p for p in self.parameters if id(p) not in apart]
        settings = {"betas": (0.9, 0.98), "weight_decay": budget.weight_decay, "fused": True}
        self.adam = torch.optim.AdamW(rest, budget.lr, **settings)
        self.muon = BatchedMuon(matrices, budget.matrix_decay)
        self.parts, self.step = 1, 0

    def run(self) -> None:
        """Trains until the seconds are over."""
        first = saved = logged = time.monotonic()
        if (length := self.budget.seconds - (first - self.began)) <= 0:
            raise RuntimeError(f"loading took all {self.budget.seconds:g} seconds")
        columns, events = 0, deque()
        while (done := (time.monotonic() - first) / length) < 1:
            self.supply.clock[0] = done
            if (batch := self._next()) is None:
                continue
            named = self._fitting(batch, self.budget.rate(done))
            columns += int((batch["segment"] > 0).sum())
            self._keep_pace(events)
            self.step += 1
            now = time.monotonic()
            if self.step % LOG_EVERY == 0 or self.step == 1:
                shares = self.mix(done)
                speed = columns / (now - logged)
                self._log({"done": done, "columns/s": speed, **numbers(named, shares)})
                columns, logged = 0, now
            if now - saved > SAVE_EVERY:
                self.mean.save(self.folder)
                saved = now

    def end(self) -> None:
        """Saves, and examines what was saved."""
        self.mean.save(self.folder)
        self.model.save(self.folder / "last")
        for folder in (self.folder, self.folder / "last"):
            self.items.asking.save(str(folder / "tokenizer.json"))
        rows = self.items.to_examine(self.budget.asked)
        for name, model in (("last", self.model), ("mean", self.mean)):
            found = exam(model, rows, self.table, self.budget.lines, self.budget.length)
            self._log({"exam": name, **found})

    def _next(self) -> dict[str, np.ndarray] | None:
        """A batch, or None where none came within a second; hears sounds in between."""
        if self.step % 4 == 0:
            self._listen()
        try:
            return self.supply.batches.get(timeout=1)
        except queue.Empty:
            self._listen()
            if not any(process.is_alive() for process in self.supply.processes):
                raise RuntimeError("no process makes batches any more") from None
            return None

    def _listen(self) -> None:
        """Hears what was drawn, many clips together; fewer once every clip was heard once."""
        waiting, sounds = self.supply.sounds, self.items.sounds
        most = self.budget.hear
        if sounds.ready[0] >= len(sounds.count):
            most //= 3
        if len(waiting) >= most or (waiting and not self.items.enough()):
            self.table.hear([waiting.popleft() for _ in range(min(most, len(waiting)))])

    def _keep_pace(self, events: deque) -> None:
        """Waits for the step that lies AHEAD back: no more of them wait for the device."""
        if self.device.type == "cuda":
            events.append(torch.cuda.Event())
            events[-1].record()
            if len(events) > AHEAD:
                events.popleft().synchronize()

    def _fitting(self, batch: dict[str, np.ndarray], rate: float) -> dict[str, Tensor]:
        """A step; where memory is short, with fewer lines at once from now on."""
        while True:
            try:
                return self._one(batch, rate)
            except torch.cuda.OutOfMemoryError:
                if self.parts >= self.budget.lines:
                    raise
                self.parts *= 2
            torch.cuda.empty_cache()

    def _one(self, batch: dict[str, np.ndarray], rate: float) -> dict[str, Tensor]:
        self.model.zero_grad(set_to_none=True)
        named: dict[str, Tensor] = {}
        lines, shares = -(-self.budget.lines // self.parts), self.mix(0.5)
        for first in range(0, self.budget.lines, lines):
            part = tensors(lines_of(batch, first, first + lines), self.device)
            loss, parts = losses(self.model, self.table, part, self.any_word, shares)
            loss.backward()
            parts["loss"] = loss.detach()
            named = {key: value + named.get(key, 0) for key, value in parts.items()}
        return {**named, "norm": self._move(rate)}

    @torch.no_grad()
    def _move(self, rate: float) -> Tensor:
        """Moves the weights and their mean by the gradients -> their norm. A step whose gradients
        are not finite counts as none, which is decided on the device: nothing waits for it."""
        for p in self.parameters:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        gradients = [p.grad for p in self.parameters]
        norm = torch.stack(torch._foreach_norm(gradients)).norm()
        for gradient in gradients:
            gradient.nan_to_num_(0.0, 0.0, 0.0)
        factor = (self.budget.clip / (norm + 1e-6)).clamp(max=1)
        torch._foreach_mul_(gradients, torch.where(norm.isfinite(), factor, 0.0))
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()
        self.muon.step(rate)
        kept = min(MEAN_KEPT, (self.step + 1) / (self.step + 10))
        torch._foreach_lerp_(list(self.mean.parameters()), self.parameters, 1 - kept)
        return norm

    def _log(self, values: dict) -> None:
        rounded = {k: round(v, 5) if isinstance(v, float) else v for k, v in values.items()}
        seconds = round(time.monotonic() - self.began, 1)
        heard = int(self.items.sounds.ready[0])
        line = json.dumps({"step": self.step, "seconds": seconds, "heard_clips": heard, **rounded})
        with open(self.folder / "log.jsonl", "a") as file:
            file.write(line + "\n")
        print(line, flush=True)


def numbers(parts: dict[str, Tensor], shares: dict[str, float]) -> dict[str, float]:
    """Losses as numbers, those of each task by its name; waits for the device."""
    found = {}
    for key, value in parts.items():
        if not key.endswith("_each"):
            found[key] = float(value)
            continue
        for (name, share), one in zip(shares.items(), value.tolist()):
            if one:
                found[f"{name}/{key.removesuffix('_each')}"] = one / share
    return found


def train(work: Path, base: Path, layers: int | None, whisper: Path, budget: Budget) -> None:
    """Phase 3 from `base` (a published layout) on the codes and clips under `work`."""
    began = time.monotonic()
    torch.set_num_threads(1)  # processes are forked, which OpenMP's threads do not survive
    torch.set_float32_matmul_precision("high")
    model = Omni.load(base)
    if layers:
        model = model.deepened(layers)
    items = PackedItems(work, model.config, tokenizers.load(work / "tokenizer.json"))
    sprint = Sprint(work / "sprint", budget, model, Encoder(whisper), items, began)
    backends = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]  # those that take any mask
    with sdpa_kernel(backends) if sprint.device.type == "cuda" else nullcontext():
        try:
            sprint.run()
        finally:
            sprint.supply.end()
        sprint.end()

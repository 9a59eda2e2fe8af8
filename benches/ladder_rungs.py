"""The rungs of the ladder, and what one costs: bytes, milliseconds, memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import models
from processes import Round, benched, has_kernels

QUESTION = models.ROOT / "tests" / "fixtures" / "audio" / "capital.wav"  # what is timed, 1.9 s
STEPS = 107  # of a timed answer
WINDOWS = {"fp32": ["full", "short"], "int8": ["merged", "full", "short"],
           "int4": ["merged", "full", "short"], "int4/32": ["merged"]}  # fmt: skip
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

    @property
    def options(self) -> list[str]:
        """The command line's."""
        return ["--encoder-window", self.window, "--kernels", self.kernels]


def all_rungs() -> list[Rung]:
    """Each precision in each window by the fastest kernels, then the default by all others."""
    said, _ = benched(models.BUNDLED, QUESTION, "a1t2", 1)
    best = said["kernels"]
    rungs = [Rung(model, window, best) for model, windows in WINDOWS.items() for window in windows]
    return rungs + list(by_other_kernels(best))


def by_other_kernels(best: str) -> Iterator[Rung]:
    """The default, by all kernels of this processor but the best."""
    for kernels in KERNELS:
        if kernels != best and has_kernels(models.BUNDLED, kernels):
            yield Rung("int8", WINDOWS["int8"][0], kernels)


def asked_as(rung: Rung, rungs: list[Rung]) -> Rung:
    """The rung that answers the same to the bit, so that it is asked once."""
    same = (other for other in rungs if (other.model, other.window) == (rung.model, rung.window))
    return next(other for other in same if {other.kernels, rung.kernels} <= set(OWN)
                or other.kernels == rung.kernels)  # fmt: skip


def size(folder: Path) -> int:
    """Bytes of a model folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def cost(model: Path, rung: Rung) -> Round:
    """A process's times and memory, for a spoken answer to a spoken question."""
    said, peak = benched(model, QUESTION, "a1a2-batch", STEPS, *rung.options)
    stages = {name: stats["p50"] for name, stats in said["stages_ms"]}
    return {"first_audio_ms": stages["first audio"], "step_ms": stages["step"],
            "peak_memory_mib": peak}

"""One list of commands from nothing to a model of the bundled one's quality: `t train`.

Every step goes on where it was killed, so the list is simply run again. Its toy sizes go through
every step in a minute or two and teach nothing.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    hours: float  # read aloud
    unseen_hours: float
    answers: int  # at most
    clips: int  # questions to train with
    test_clips: int  # of each cell, at most
    codec: tuple[int, int]  # steps of its stages
    phases: tuple[int, int, int]
    columns: int
    heard: int  # columns, in phase 3
    layers: int  # in phase 3; six before


FULL = Sizes(34, 0.3, 100_000, 60_000, 300, (6000, 8000), (3600, 1200, 60_000), 2000, 1500, 10)
TOY = Sizes(0.003, 0.002, 4, 6, 1, (1, 1), (1, 1, 1), 600, 400, 7)


def steps(sizes: Sizes) -> list[list[str]]:
    """The commands in their order, without `--work`."""
    batch = f"--columns {sizes.columns} --lr 1.2e-3"
    lines = [
        f"read-aloud --hours {sizes.hours}",
        f"read-aloud --unseen --hours {sizes.unseen_hours}",
        f"answer --limit {sizes.answers}",
        f"ask --clips {sizes.clips} --test-clips {sizes.test_clips}",
        f"codec a --steps {sizes.codec[0]}",
        f"codec b --steps {sizes.codec[1]} --lr 1e-3",
        "prepare tokenizer",
        "prepare whisper",
        "prepare codes",
        "prepare features",
        f"phase1 --steps {sizes.phases[0]} {batch}",
        f"phase2 --steps {sizes.phases[1]} {batch}",
        f"phase3 --steps {sizes.phases[2]} --layers {sizes.layers} --heard {sizes.heard} {batch}",
    ]
    return [line.split() for line in lines]


def export(work: Path, out: Path) -> list[str]:
    """The arguments of `python -m mini_omni_export` for what the list has made."""
    source = f"--checkpoint {work}/phase3 --whisper {work}/whisper/tiny.pt --snac {work}/codec/snac"
    return f"{source} --precision int8 --trim --out {out}".split()

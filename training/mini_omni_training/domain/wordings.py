"""How people ask: a grammar of wordings, read from the lists in `wordings/`.

A wording stands in a frame: "the capital of {country}" in "could you tell me @, please". Of the
wordings of each kind and of the frames some are held out by hash, so that the figures tell what
the model makes of words that it was not trained on.
"""

import random
import re
import zlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from .words import capital

FOLDER = Path(__file__).parent / "wordings"
HELD_OUT_ONE_IN = 8
BARE = 0.3  # of the wordings stand without a frame, where they can
CLAUSE = "~"  # which cannot
STATEMENTS = "!."  # they end with a full stop
CHOICE = re.compile(r"\(([^()]*)\)")

Words = dict[str, str]


@dataclass
class Ways:
    """The lines of one list: those to train with and those held out."""

    known: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    def of(self, unseen: bool) -> list[str]:
        return self.unseen if unseen else self.known


def _ways(lines: list[str]) -> Ways:
    """One line in eight is held out, one of every list at least."""
    ranked = sorted(lines, key=lambda line: zlib.crc32(line.encode()))
    n = max(1, len(lines) // HELD_OUT_ONE_IN)
    held_out = set(ranked[:n])
    return Ways([line for line in lines if line not in held_out], ranked[:n])


def _sections(path: Path) -> dict[str, Ways]:
    sections: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if line.startswith("["):
            lines = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return {name: _ways(lines) for name, lines in sections.items()}


@cache
def frames() -> dict[str, Ways]:
    """By the character that a wording begins with."""
    return _sections(FOLDER / "frames.txt")


@cache
def wordings() -> dict[str, Ways]:
    """By what is asked."""
    found: dict[str, Ways] = {}
    for path in sorted(FOLDER.glob("*.txt")):
        if path.name != "frames.txt":
            found |= _sections(path)
    return found


def asked(what: str, words: Words, rng: random.Random, unseen: bool = False) -> str:
    """One way to ask `what` of these words; `unseen`: one that is held out of training."""
    line = rng.choice(wordings()[what].of(unseen))
    kind, wording = line[0], line[2:]
    bare = kind != CLAUSE and rng.random() < BARE
    frame = "@" if bare else rng.choice(frames()[kind].known)
    text = " ".join(_chosen(frame.replace("@", wording), rng).split()).replace(" 's ", "'s ")
    text = re.sub(r"\{(\w+)\}", lambda m: words[m[1]], text)
    return capital(text) + ("." if kind in STATEMENTS else "?")


def _chosen(text: str, rng: random.Random) -> str:
    return CHOICE.sub(lambda m: rng.choice(m[1].split("|")), text)

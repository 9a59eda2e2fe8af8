"""Writes a random full-size checkpoint, in a process of its own: python write_full.py FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from random_checkpoint import Sizes, quiet_specials, write_checkpoint

SEED = 1

if __name__ == "__main__":
    write_checkpoint(Path(sys.argv[1]), Sizes(), SEED, quiet_specials(Sizes()))

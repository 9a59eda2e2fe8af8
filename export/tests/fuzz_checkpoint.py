"""Damages valid checkpoints and configs at random: each is read, or refused in a sentence.

    python export/tests/fuzz_checkpoint.py --seconds 60 --seed 1

Fails, keeping the input, where an error is none of the project's, where one input takes over
5 seconds, and where one takes over 256 MiB. The same seed makes the same inputs in the same order.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch_zip
from torch_zip import Call, Global, Persistent, Tensor
from toy import LM, Files, Toy

from mini_omni_export.checkpoint import load
from mini_omni_export.errors import ExportError
from mini_omni_export.model import export, read_source
from mini_omni_export.options import Options

SLOWEST = 5  # seconds
MOST_MEMORY = 256 << 10  # KiB that one input may add to the peak
EXPORTED = 25  # one in so many that are read is exported, too
SIZES = dataclasses.replace(
    LM, n_layer=1, n_embd=32, n_head=2, n_query_groups=1, intermediate_size=48, block_size=64,
    text_vocab_size=96, audio_vocab_size=192,
)
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
SNIPPETS = [  # opcodes that a hostile pickle might hold
    b"r\xff\xff\xff\x0f", b"r\xff\xff\xff\xff", b"q\xff", b"j\xff\xff\xff\x7f", b"h\xff",
    b"\x95" + b"\xff" * 8, b"\x8d" + b"\xff" * 8, b"\x8e" + b"\xff" * 8, b"X\xff\xff\xff\xff",
    b"\x8b\xff\xff\xff\x7f", b"\x8a\xff" + b"\xff" * 255, b"J\xff\xff\xff\xff", b"J\x00\x00\x00@",
    b"2" * 40, b"2\x86" * 60, b"(" * 5000, b"]" * 5000, b"\x85" * 5000, b"}" * 5000, b"0", b"1",
    b"t", b"u", b"e", b"R", b"Q", b"b", b"s", b"a", b".", b"N", b"G\x7f\xf0" + b"\0" * 6,
    REBUILD, b"ctorch\nFloatStorage\n", b"cos\nsystem\n", b"cbuiltins\neval\n",
    b"ccollections\nOrderedDict\n)R", b"c" + b"a" * 500 + b"\nb\n", b"\x93", b"\x81", b"\x92",
    b"I9999999999\n", b"L99999999999999999999L\n", b"F1e999\n", b"S'x'\n", b"Vx\n", b"\x90",
]
VALUES = [
    "0", "-1", "1", "3", "10000000", "1000000000000", "99999999999999999999999999", ".inf", "-.inf",
    ".nan", "1e999", "'false'", "'2'", "2.0", "true", "false", "null", "~", "[]", "{}", "[1, 2]",
    "[0]", "[-1, 4]", "[1000000, 1000000]", "*a", "&a [x, x]", "!!python/name:os.system", "!!int x",
    "!!binary aaaa", "2024-99-99", "2024-01-01", "0x" + "f" * 9000, "1" * 9000, "alibi", "''",
    "[" * 3000, "{a: " * 300, "{<<: {n_layer: 1}}", "? [1]", "|", "\t", "\u0000", "\u2028", "é",
    "NaN", "Infinity", "-Infinity", '"\\ud800"', "1_000", "0o17", "1:30", "1.0e+400", "1e-400",
]
DIMENSIONS = [0, 1, 2, 3, 4, 7, 1 << 20, 1 << 31, 1 << 40, (1 << 62) + 1, 1 << 63, 1 << 80, -1, -4]


class TooSlowError(BaseException):
    """Not an Exception: nothing between here and the alarm may hold it back."""


def damage_bytes(rng: random.Random, data: bytes) -> bytes:
    """A few bytes changed, cut out, repeated or put in."""
    damaged = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at = rng.randrange(len(damaged) + 1)
        end = min(len(damaged), at + rng.choice([1, 1, 1, 2, 4, 16, 200]))
        kind = rng.choice([0, 0, 0, 1, 2, 3, 4])
        if kind == 0:
            damaged[at:end] = rng.randbytes(end - at)
        elif kind == 1:
            del damaged[at:end]
        elif kind == 2:
            damaged[at:at] = damaged[at:end] * rng.choice([1, 2, 50])
        elif kind == 3:
            damaged[at:end] = rng.choice([b"\xff", b"\x7f", b"\x00"]) * (end - at)
        else:
            damaged[at:at] = rng.choice(SNIPPETS)
    return bytes(damaged)


def damage_pickle(rng: random.Random, path: Path) -> None:
    """The program in a checkpoint, its zip left in order."""
    with zipfile.ZipFile(path) as archive:
        code = archive.read("archive/data.pkl")
        count = sum("/data/" in name for name in archive.namelist())
        storages = [archive.read(f"archive/data/{i}") for i in range(count)]
    if rng.random() < 0.05:
        code = b"\x80\x02" + rng.choice(SNIPPETS) * rng.choice([1, 10, 100_000 // 8]) + b"."
    torch_zip.save_pickle(path, damage_bytes(rng, code), storages)


def damage_layout(rng: random.Random, path: Path) -> None:
    """One tensor laid out over its storage in another way, or something else in its place."""
    def sizes() -> tuple[int, ...]:
        return tuple(rng.choice(DIMENSIONS) for _ in range(rng.choice([0, 1, 1, 2, 3, 9])))

    data = np.arange(8, dtype="f4")
    size = sizes()
    stride = sizes() if rng.random() < 0.2 else tuple(rng.choice(DIMENSIONS) for _ in size)
    tensor = Tensor(data, size, stride, rng.choice(DIMENSIONS), rng.choice([None, *DIMENSIONS]))
    kind = Global("torch", "FloatStorage")
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    storage = Persistent(("storage", kind, rng.choice(["0", "../0", "٣", 0, None]), "cpu", 8))
    value = rng.choice([
        tensor, storage, kind, Call(rebuild, (tensor, 0, (4,), (1,), False, {})),
        Call(rebuild, (storage, 0, [4], (True,), False, {})), Call(rebuild, ()),
        Call(Global("torch._utils", "_rebuild_parameter"), (storage, False, {})),
        {"a": tensor}, [tensor] * 3, 1e300, "text", None,
    ])
    names = ["transformer.wte.weight", "transformer.ln_f.weight", "transformer.h.1.norm_1.weight"]
    torch_zip.save(path, {"other": data, rng.choice(names): value})


def damage_zip(rng: random.Random, path: Path) -> None:
    """The file itself, mostly where its directory is."""
    data = path.read_bytes()
    cut = max(0, len(data) - rng.choice([22, 100, 2000, len(data)]))
    if rng.random() < 0.3:  # one number of the directory
        at = rng.randrange(max(cut, len(data) - 2000), len(data) - 4)
        number = struct.pack("<L", rng.choice([0, 1, 0xFFFF, 0xFFFFFFFF, rng.randrange(len(data))]))
        damaged = data[:at] + number + data[at + 4 :]
    else:
        damaged = data[:cut] + damage_bytes(rng, data[cut:])
    path.write_bytes(damaged)


def damage_text(rng: random.Random, path: Path) -> None:
    """A line of a config left out, said twice or given another value; or any bytes."""
    lines = path.read_text(encoding="utf-8").replace(", ", ",\n").split("\n")
    if rng.random() < 0.15:
        path.write_bytes(damage_bytes(rng, path.read_bytes()))
        return
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        key, colon, _ = lines[at].partition(": ")
        kind = rng.randrange(4)
        if kind == 0:
            del lines[at]
            lines = lines or [""]
        elif kind == 1:
            lines.insert(at, lines[at])
        else:
            comma = "," if path.suffix == ".json" and at < len(lines) - 1 else ""
            lines[at] = key + colon + rng.choice(VALUES) + comma
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")


def damage_dims(rng: random.Random, path: Path) -> None:
    """The sizes that Whisper's file carries."""
    names = ["n_mels", "n_audio_ctx", "n_audio_state", "n_audio_head", "n_audio_layer", "x", 3]
    values = [*DIMENSIONS, True, None, "80", 80.0, float("nan"), float("inf"), [80], {}]
    dims = {name: rng.choice(values) for name in rng.sample(names, 5)}
    torch_zip.save(path, {"dims": dims, "model_state_dict": {"w": np.zeros(4, "f4")}})


Damage = Callable[[random.Random, Path], None]
LM_FILE, WHISPER, SNAC = "mini-omni/lit_model.pth", "small.pt", "snac/pytorch_model.bin"
KINDS: list[tuple[str, Damage]] = [
    *[(LM_FILE, damage) for damage in (damage_pickle, damage_pickle, damage_layout, damage_zip)],
    (WHISPER, damage_pickle), (WHISPER, damage_zip), (WHISPER, damage_dims), (SNAC, damage_pickle),
    ("mini-omni/model_config.yaml", damage_text), ("mini-omni/model_config.yaml", damage_text),
    ("mini-omni/tokenizer.json", damage_text), ("snac/config.json", damage_text),
]


class Fuzzer:
    """A folder of valid checkpoints, one of whose files is damaged at a time."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng = folder, random.Random(seed)
        self.files = Toy(SIZES).write(folder / "files")
        self.path: Path | None = None
        self.read(export_too=True)
        self.outcomes: Counter[str] = Counter()

    def read(self, export_too: bool) -> None:
        """All tensors of a damaged checkpoint, whatever their names; then the whole model."""
        if self.path and self.path.suffix in (".pth", ".pt", ".bin"):
            self.read_values(load(self.path))
        self.loaded = True
        files: Files = self.files
        source = read_source(files.checkpoint, files.whisper, files.snac, "toy", "random")
        for tensors in (source.lm, source.whisper, source.snac):
            for name in tensors.state:
                tensors(name)
        if export_too:
            export(source, Options(), self.folder / "model")
            shutil.rmtree(self.folder / "model")

    def read_values(self, value: object) -> None:
        state = value.values() if isinstance(value, dict) else []
        for i, tensor in enumerate(state):
            if isinstance(tensor, dict) and i < 2:
                self.read_values(tensor)
            elif isinstance(tensor, np.ndarray):
                assert tensor.nbytes <= self.path.stat().st_size, "larger than its file"
                tensor.tobytes()

    def once(self) -> None:
        """Damages a file and reads it; raises whatever is none of the project's errors."""
        name, damage = self.rng.choice(KINDS)
        self.path = self.folder / "files" / name
        whole = self.path.read_bytes()
        damage(self.rng, self.path)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        signal.setitimer(signal.ITIMER_REAL, SLOWEST)
        self.loaded = False
        try:
            self.read(export_too=self.rng.randrange(EXPORTED) == 0)
            self.outcomes[f"{damage.__name__}: read"] += 1
        except ExportError as error:
            assert "\n" not in str(error), "a sentence has one line"
            how = "does not fit" if self.loaded else "refused"
            self.outcomes[f"{damage.__name__}: {how}"] += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert taken < MOST_MEMORY, f"it took {taken} KiB"
        self.path.write_bytes(whole)


def too_slow(*_: object) -> None:
    raise TooSlowError


def main() -> int:
    """Runs for a while; returns 1 when an input was found that does harm."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--seconds", type=float, default=10, help="how long (default: %(default)s)")
    p.add_argument("--seed", type=int, default=1, help="of all damage (default: %(default)s)")
    p.add_argument("--keep", type=Path, default=Path("fuzz-found"), metavar="DIR",
                   help="where an input that does harm is kept (default: %(default)s)")
    args = p.parse_args()
    signal.signal(signal.SIGALRM, too_slow)
    with tempfile.TemporaryDirectory() as folder:
        fuzzer, end = Fuzzer(Path(folder), args.seed), time.monotonic() + args.seconds
        while time.monotonic() < end:
            try:
                fuzzer.once()
            except (Exception, TooSlowError) as error:
                args.keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(fuzzer.path, args.keep)
                print(f"after {fuzzer.outcomes.total()} inputs: {args.keep / fuzzer.path.name}: "
                      f"{type(error).__name__} {error}", file=sys.stderr)
                return 1
    print(f"{fuzzer.outcomes.total()} inputs: {json.dumps(fuzzer.outcomes)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Checkpoints in torch's zip format, written without torch, so that they can hold anything.

A pickle is a program: it is assembled here from its opcodes, which lets a test put in any call and
any reference to a storage, honest or not.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

STORAGES = {
    np.dtype("f4"): "FloatStorage", np.dtype("f8"): "DoubleStorage", np.dtype("f2"): "HalfStorage",
    np.dtype(ml_dtypes.bfloat16): "BFloat16Storage", np.dtype("i8"): "LongStorage",
    np.dtype("i4"): "IntStorage", np.dtype("?"): "BoolStorage",
}
ALIGNMENT = 64  # torch pads each entry's header to it


@dataclass
class Global:
    """A class or function, by name."""

    module: str
    name: str


@dataclass
class Call:
    """What `function(*args)` returns when the file is loaded."""

    function: Global
    args: tuple


@dataclass
class Persistent:
    """A reference to something outside the pickle; `("storage", type, key, device, count)`."""

    id: Any


@dataclass
class Tensor:
    """A view of the storage `key`, laid out as it says, whether that is true or not."""

    storage: np.ndarray
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int = 0
    count: int | None = None  # of elements, as the file says


def save(path: Path, value: Any, compression: int = zipfile.ZIP_STORED) -> Path:
    """Writes `value` (containers, numbers, arrays, and the classes above) to `path`."""
    writer = _Writer()
    code = b"\x80\x02" + writer.emit(value) + b"."
    return save_pickle(path, code, writer.storages, compression)


def save_pickle(
    path: Path, code: bytes, storages: list[bytes] = (), compression: int = zipfile.ZIP_STORED
) -> Path:
    """Writes the pickle `code` and its storages as torch lays them out."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", code)
        for key, data in enumerate(storages):
            info = zipfile.ZipInfo(f"archive/data/{key}")
            info.compress_type = compression
            at = archive.fp.tell() + 30 + len(info.filename) + 4
            padding = -at % ALIGNMENT
            info.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
            archive.writestr(info, data)
        archive.writestr("archive/version", "3\n")
    return path


class _Writer:
    def __init__(self) -> None:
        self.storages: list[bytes] = []

    def emit(self, value: Any) -> bytes:
        """Opcodes that leave `value` on the stack."""
        if isinstance(value, Global):
            return f"c{value.module}\n{value.name}\n".encode()
        if isinstance(value, Call):
            return self.emit(value.function) + self.emit(value.args) + b"R"
        if isinstance(value, Persistent):
            return self.emit(value.id) + b"Q"
        if isinstance(value, Tensor):
            return self.emit(self._tensor(value))
        if isinstance(value, np.ndarray):
            flat = np.ascontiguousarray(value)
            stride = tuple(step // flat.itemsize for step in flat.strides)
            return self.emit(Tensor(flat.reshape(-1), value.shape, stride))
        if isinstance(value, dict):
            items = b"".join(self.emit(k) + self.emit(v) for k, v in value.items())
            return b"}(" + items + b"u"
        if isinstance(value, list):
            return b"](" + b"".join(map(self.emit, value)) + b"e"
        if isinstance(value, tuple):
            return b"(" + b"".join(map(self.emit, value)) + b"t"
        return pickle.dumps(value, 2)[2:-1]  # without its frame: PROTO and STOP

    def _tensor(self, tensor: Tensor) -> Call:
        storage = tensor.storage
        key = str(len(self.storages))
        self.storages.append(storage.tobytes())
        kind = Global("torch", STORAGES[storage.dtype])
        count = storage.size if tensor.count is None else tensor.count
        hooks = Call(Global("collections", "OrderedDict"), ())
        return Call(
            Global("torch._utils", "_rebuild_tensor_v2"),
            (Persistent(("storage", kind, key, "cpu", count)), tensor.offset, tensor.size,
             tensor.stride, False, hooks),
        )

"""Reading checkpoints as data: tensors mapped from the file, nothing in it run.

A `.pth` or `.bin` is a zip (`archive`) whose `data.pkl` is a pickle (`unpickle`) that lays tensors
over storages, the zip's other entries. A storage is a type of its own here, and a tensor's sizes
and strides are held against its storage's bytes before it is made. Tensors are views of the mapped
file, so a 2.8 GB checkpoint costs no memory until it is read.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from .archive import Archive
from .errors import ExportError, bare, shown
from .unpickle import MOST_BYTES, Global, Machine

DTYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
STORAGE_TYPES = {
    Global(module, name): dtype
    for module in ("torch", "torch.storage") for name, dtype in DTYPES.items()
}
MOST_DIMENSIONS = 8
LARGEST_DIMENSION = 1 << 40
LONGEST_KEY = 10  # digits of a storage's number
BYTE_ORDER = b"little"


@dataclass(frozen=True)
class Storage:
    """A tensor's numbers, uint8 [bytes], and what they are; it is no tensor itself."""

    bytes: np.ndarray
    dtype: np.dtype
    count: int  # of elements


class _Reader:
    """What a pickle may ask of one checkpoint."""

    def __init__(self, archive: Archive, prefix: str) -> None:
        self.path, self.archive, self.prefix = archive.path, archive, prefix

    def load(self) -> Any:
        order = f"{self.prefix}byteorder"
        if order in self.archive and self.archive.read(order, 16).strip() != BYTE_ORDER:
            raise ExportError(f"{self.path} was written on a big-endian machine; save it again")
        code = self.archive.read(f"{self.prefix}data.pkl", MOST_BYTES)
        known = dict.fromkeys(STORAGE_TYPES) | {
            Global("collections", "OrderedDict"): lambda: {},
            Global("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            Global("torch._utils", "_rebuild_parameter"): self._parameter,
        }
        return Machine(self.path, code, known, self._storage).run()

    def _storage(self, pid: Any) -> Storage:
        """What ("storage", type, key, device, count) refers to."""
        if type(pid) is not tuple or len(pid) != 5 or pid[0] != "storage":
            kind = pid[0] if type(pid) is tuple and pid else pid
            raise ExportError(f"{self.path} refers to {shown(kind)}, which is no tensor storage")
        _, kind, key, _device, count = pid
        dtype = STORAGE_TYPES.get(kind) if isinstance(kind, Global) else None
        if dtype is None:
            raise ExportError(f"{self.path} has a storage of the type {shown(kind)}")
        if type(key) is not str or not (key.isascii() and key.isdigit()) or len(key) > LONGEST_KEY:
            raise ExportError(f"{self.path} has a storage of the name {shown(key)}")
        name = f"{self.prefix}data/{key}"
        if name not in self.archive:
            raise ExportError(f"{self.path} is damaged: storage {key} is missing")
        data = self.archive.data(name)
        if type(count) is not int or not 0 <= count * dtype.itemsize <= data.size:
            raise ExportError(f"{self.path} is cut short: storage {key} is incomplete")
        return Storage(data[: count * dtype.itemsize], dtype, count)

    def _tensor(self, storage, offset, size, stride, _gradient, _hooks, _metadata=None):
        """A strided view of a storage, as torch._utils._rebuild_tensor_v2 makes one."""
        if not isinstance(storage, Storage):
            raise ExportError(f"{self.path} lays a tensor over {shown(storage)}, not a storage")
        self._check_layout(offset, size, stride)
        if prod(size) > storage.count or offset > storage.count:
            raise self._too_large()
        if 0 in size:
            return np.empty(size, storage.dtype)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride))
        if last >= storage.count:
            raise self._too_large()
        width = storage.dtype.itemsize
        strides = tuple(step * width for step in stride)
        try:  # numpy holds it against the bytes once more
            return np.ndarray(size, storage.dtype, storage.bytes, offset * width, strides)
        except ValueError:
            raise self._too_large() from None

    def _too_large(self) -> ExportError:
        return ExportError(
            f"{self.path}: a tensor is larger than its storage; the file is damaged"
        )

    def _check_layout(self, offset: Any, size: Any, stride: Any) -> None:
        if type(size) is not tuple or type(stride) is not tuple or len(size) != len(stride):
            raise ExportError(f"{self.path}: a tensor's sizes and strides do not fit together")
        numbers = (offset, *size, *stride)
        if any(type(n) is not int for n in numbers) or len(size) > MOST_DIMENSIONS:
            raise ExportError(f"{self.path}: a tensor's sizes and strides are no numbers")
        if any(n < 0 for n in numbers):
            raise ExportError(f"{self.path}: a tensor has a negative size, stride or offset")
        if prod(n for n in size if n) >= LARGEST_DIMENSION or max(numbers) >= LARGEST_DIMENSION:
            raise self._too_large()

    def _parameter(self, tensor, _gradient, _hooks):
        if not isinstance(tensor, np.ndarray):
            raise ExportError(f"{self.path} makes a parameter of {shown(tensor)}, not of a tensor")
        return tensor


def load(path: Path) -> Any:
    """The object that a torch zip checkpoint holds; tensors as read-only numpy arrays.

    Raises ExportError with a sentence when the file is missing, of another format, damaged, or asks
    for anything but tensors and plain containers.
    """
    archive = Archive(path)
    pickles = [n for n in archive.entries if n == "data.pkl" or n.endswith("/data.pkl")]
    if len(pickles) != 1:
        found = "several" if pickles else "no"
        raise ExportError(f"{path} is a zip but no torch checkpoint: it has {found} data.pkl")
    return _Reader(archive, pickles[0].removesuffix("data.pkl")).load()


def is_finite(array: np.ndarray) -> bool:
    """Whether no value of a float array is NaN or infinite; takes no memory beside the array."""
    if not array.size:
        return True
    with np.errstate(invalid="ignore"):
        return bool(np.isfinite(array.min()) and np.isfinite(array.max()))


def _release(tensor: np.ndarray) -> None:
    """Lets go of the pages of the mapped file that were read so far.

    They count as this process's memory until then; what is still needed comes back from the
    system's cache.
    """
    base: Any = tensor
    while getattr(base, "base", None) is not None:
        base = base.base
    base = base.obj if isinstance(base, memoryview) else base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


class Tensors:
    """Named tensors of one checkpoint, given out as float32."""

    def __init__(self, state: Any, path: Path) -> None:
        if not isinstance(state, dict) or not state:
            raise ExportError(f"{path} holds no table of tensors")
        self.state = state
        self.path = path

    def __contains__(self, name: str) -> bool:
        return name in self.state

    def __call__(self, name: str, *shape: int) -> np.ndarray:
        """The tensor `name` as float32, checked against `shape` when one is given; finite."""
        tensor = self.stored(name, *shape)
        _release(tensor)
        with np.errstate(over="ignore"):
            values = tensor.astype(np.float32, copy=False)
        if not is_finite(values):
            raise ExportError(
                f"{self.path}: {name} holds values that are not finite numbers; "
                "the checkpoint is damaged"
            )
        return values

    def stored(self, name: str, *shape: int) -> np.ndarray:
        """The tensor `name` in its own type, checked in the same way but for its values."""
        if name not in self.state:
            raise ExportError(f"{self.path} has no tensor {name}; another file is expected here")
        tensor = self.state[name]
        if not isinstance(tensor, np.ndarray):
            raise ExportError(f"{self.path}: {bare(name)} is not a tensor")
        if shape and tensor.shape != shape:
            raise ExportError(
                f"{self.path}: {name} is {list(tensor.shape)}, the config says {list(shape)}"
            )
        return tensor

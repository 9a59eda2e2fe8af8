"""Reading checkpoints as data: tensors mapped from the file, nothing in it run.

A `.pth` or `.bin` is a zip whose `data.pkl` is a pickle, and a pickle can name any function. The
unpickler here knows tensors and plain containers; whatever else a file asks for is refused by name.
Tensors are views of the mapped file, so a 2.8 GB checkpoint costs no memory until it is read.
"""

from __future__ import annotations

import collections
import mmap
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from .errors import ExportError

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
ZIP_LOCAL_HEADER = 30  # bytes before the name; two lengths sit in its last four


class _StorageType:
    """Stands for a torch storage class: all that matters of it is its element type."""

    def __init__(self, name: str) -> None:
        self.dtype = DTYPES[name]


def _rebuild_tensor(storage, offset, size, stride, *_ignored) -> np.ndarray:
    """A strided view of a storage, as torch._utils._rebuild_tensor_v2 makes one."""
    size, stride = tuple(size), tuple(stride)
    if any(n < 0 for n in (*size, *stride, offset)):
        raise ExportError("a tensor in the checkpoint has a negative size, stride or offset")
    if 0 in size:
        return np.empty(size, storage.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    if last >= storage.size:
        raise ExportError("a tensor in the checkpoint is larger than its storage; it is damaged")
    strides = tuple(step * storage.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)


def _rebuild_parameter(data, *_ignored) -> np.ndarray:
    return data


ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, storages: _Storages, path: Path) -> None:
        super().__init__(file)
        self.storages = storages
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        if module in ("torch", "torch.storage") and name in DTYPES:
            return _StorageType(name)
        raise ExportError(
            f"{self.path} asks for {module}.{name}; a checkpoint holds tensors and plain "
            "containers, nothing else, so it was not loaded"
        )

    def persistent_load(self, pid: Any) -> np.ndarray:
        kind, storage_type, key, _location, count = pid
        if kind != "storage" or not isinstance(storage_type, _StorageType):
            raise ExportError(f"{self.path} refers to {kind!r}, which is no tensor storage")
        return self.storages.get(str(key), storage_type.dtype, int(count))


class _Storages:
    """The raw numbers of a checkpoint, mapped from its zip."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, prefix: str) -> None:
        self.path = path
        self.archive = archive
        self.prefix = prefix
        self.mapped = np.memmap(path, np.uint8, "r")
        self.cache: dict[str, np.ndarray] = {}

    def get(self, key: str, dtype: np.dtype, count: int) -> np.ndarray:
        if key not in self.cache:
            self.cache[key] = self._bytes(key)
        data = self.cache[key]
        if not 0 <= count * dtype.itemsize <= data.size:
            raise ExportError(f"{self.path} is cut short: storage {key} is incomplete")
        return data[: count * dtype.itemsize].view(dtype)

    def _bytes(self, key: str) -> np.ndarray:
        try:
            info = self.archive.getinfo(f"{self.prefix}data/{key}")
        except KeyError:
            raise ExportError(f"{self.path} is damaged: storage {key} is missing") from None
        if info.compress_type != zipfile.ZIP_STORED:
            return np.frombuffer(self.archive.read(info), np.uint8)
        header = self.mapped[info.header_offset : info.header_offset + ZIP_LOCAL_HEADER]
        name, extra = struct.unpack("<HH", header[26:30].tobytes())
        start = info.header_offset + ZIP_LOCAL_HEADER + name + extra
        if start + info.file_size > self.mapped.size:
            raise ExportError(f"{self.path} is cut short: storage {key} is incomplete")
        return self.mapped[start : start + info.file_size]


def load(path: Path) -> Any:
    """The object that a torch zip checkpoint holds; tensors as read-only numpy arrays.

    Raises ExportError with a sentence when the file is missing, of another format, damaged, or asks
    for anything but tensors and plain containers.
    """
    if not path.is_file():
        raise ExportError(f"{path} is missing; it is one of the published files")
    try:
        archive = zipfile.ZipFile(path)
        pickles = [n for n in archive.namelist() if n == "data.pkl" or n.endswith("/data.pkl")]
    except (zipfile.BadZipFile, OSError) as error:
        raise ExportError(
            f"{path} is no checkpoint in torch's zip format ({error}); fetch the file again"
        ) from error
    if len(pickles) != 1:
        raise ExportError(f"{path} is a zip but no torch checkpoint: it has no data.pkl")
    prefix = pickles[0][: -len("data.pkl")]
    try:
        with archive.open(pickles[0]) as file:
            return _Unpickler(file, _Storages(path, archive, prefix), path).load()
    except ExportError:
        raise
    except Exception as error:  # a hostile pickle can fail in any way; none of them is ours
        raise ExportError(f"{path} cannot be read as a checkpoint: {error}") from error


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
        """The tensor `name` as float32, checked against `shape` when one is given."""
        tensor = self.stored(name, *shape)
        _release(tensor)
        return tensor.astype(np.float32, copy=False)

    def stored(self, name: str, *shape: int) -> np.ndarray:
        """The tensor `name` in its own type, checked in the same way."""
        if name not in self.state:
            raise ExportError(f"{self.path} has no tensor {name}; another file is expected here")
        tensor = self.state[name]
        if not isinstance(tensor, np.ndarray):
            raise ExportError(f"{self.path}: {name} is not a tensor")
        if shape and tensor.shape != shape:
            raise ExportError(
                f"{self.path}: {name} is {list(tensor.shape)}, the config says {list(shape)}"
            )
        return tensor

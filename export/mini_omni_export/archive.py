"""The zip that torch writes: entries stored as they are, found by the directory at its end.

Python's zipfile unpacks, and reads a directory of any size. A checkpoint needs neither, and a file
that asks for them is hostile: every number of the zip is held against the file before it is used,
and no two entries may share a byte.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import ExportError, bare

MOST_ENTRIES = 1 << 16
END = struct.Struct("<4s4H2LH")  # signature, disks, entries, the directory's size and offset
END64 = struct.Struct("<4sQ2H2L4Q")
LOCATOR = struct.Struct("<4sLQL")
ENTRY = struct.Struct("<4s6H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")
LONGEST_COMMENT = (1 << 16) - 1
ENCRYPTED = 1  # a flag
ZIP64_FIELD = 1
FULL16, FULL32 = (1 << 16) - 1, (1 << 32) - 1  # "see the 64-bit field"
OTHER_FORMATS = [  # (offset, bytes there, what the file is)
    (0, b"\x80\x02", "a checkpoint of torch before 1.6"),
    (8, b"{", "a safetensors file"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x1f\x8b", "compressed with gzip"),
    (0, b"GGUF", "a GGUF file"),
    (0, b"version https://git-lfs", "the pointer that Git LFS leaves in a file's place"),
]


@dataclass(frozen=True)
class Entry:
    """Where the bytes of one entry lie in the file."""

    header: int
    start: int
    size: int
    crc: int


class Archive:
    """The entries of a stored zip, mapped from its file; raises ExportError for any other file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = _map(path)
        try:
            self.entries = self._read()
        except (struct.error, UnicodeDecodeError) as error:  # a number that points outside
            raise self._damaged("its directory is cut short") from error

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def data(self, name: str) -> np.ndarray:
        """The bytes of an entry, uint8 [size], as a view of the file."""
        entry = self.entries[name]
        return self.bytes[entry.start : entry.start + entry.size]

    def read(self, name: str, most: int) -> bytes:
        """The bytes of a small entry, held against its checksum."""
        if self.entries[name].size > most:
            raise ExportError(
                f"{self.path}: {bare(name)} has {self.entries[name].size} bytes; torch writes "
                f"less than {most}"
            )
        data = self.data(name).tobytes()
        if zlib.crc32(data) != self.entries[name].crc:
            raise self._damaged(f"the checksum of {bare(name)} is another")
        return data

    def _damaged(self, why: str) -> ExportError:
        return ExportError(
            f"{self.path} is no checkpoint in torch's zip format ({why}); fetch the file again"
        )

    def _unpack(self, form: struct.Struct, at: int, signature: bytes) -> tuple:
        if at < 0:
            raise self._damaged("its directory is cut short")
        found, *fields = form.unpack(self.bytes[at : at + form.size].tobytes())
        if found != signature:
            raise self._damaged("its directory points at something else")
        return tuple(fields)

    def _read(self) -> dict[str, Entry]:
        at, size, count = self._directory()
        if count > MOST_ENTRIES:
            raise self._damaged(f"it has {count} entries")
        entries: dict[str, Entry] = {}
        end = at + size
        for _ in range(count):
            name, entry, at = self._entry(at, end)
            if name in entries:
                raise self._damaged(f"it has two entries {bare(name)}")
            entries[name] = entry
        self._check_apart(list(entries.values()), end - size)
        return entries

    def _directory(self) -> tuple[int, int, int]:
        """Offset and size of the directory, and its number of entries."""
        tail = max(0, self.bytes.size - END.size - LONGEST_COMMENT)
        found = self.bytes[tail:].tobytes().rfind(b"PK\x05\x06")
        if found < 0:
            raise self._damaged(_other_format(self.bytes))
        end = tail + found
        disk, first, here, count, size, at, comment = self._unpack(END, end, b"PK\x05\x06")
        if end + END.size + comment != self.bytes.size:
            raise self._damaged("bytes follow its end")
        if FULL16 in (here, count) or FULL32 in (size, at):
            locator = end - LOCATOR.size
            _, end, _ = self._unpack(LOCATOR, locator, b"PK\x06\x07")
            _, _, _, disk, first, here, count, size, at = self._unpack(END64, end, b"PK\x06\x06")
        if (disk, first) != (0, 0) or here != count:
            raise self._damaged("it is one part of several")
        if at + size > end:
            raise self._damaged("its directory is not where it should be")
        return at, size, count

    def _entry(self, at: int, end: int) -> tuple[str, Entry, int]:
        """The directory's entry at `at`, and where the next one begins."""
        (_, _, flags, method, _, _, crc, packed, size, *lengths, disk, _, _, header) = (
            self._unpack(ENTRY, at, b"PK\x01\x02")
        )
        at += ENTRY.size
        name, extra, following = at, at + lengths[0], at + sum(lengths)
        if following > end:
            raise self._damaged("its directory is cut short")
        label = self.bytes[name:extra].tobytes()
        if FULL32 in (packed, size, header):
            field = self.bytes[extra : extra + lengths[1]].tobytes()
            size, packed, header = _zip64(field, size, packed, header)
        text = label.decode()
        if method != 0 or packed != size or flags & ENCRYPTED or disk != 0:
            raise ExportError(
                f"{self.path}: {bare(text)} is compressed or encrypted; torch stores its tensors "
                "as they are, so this is not a file that it wrote"
            )
        return text, self._place(label, header, size, crc), following

    def _place(self, label: bytes, header: int, size: int, crc: int) -> Entry:
        fields = self._unpack(LOCAL, header, b"PK\x03\x04")
        name, extra = fields[-2:]
        start = header + LOCAL.size + name + extra
        if start + size > self.bytes.size:
            raise ExportError(f"{self.path} is cut short: {bare(label.decode())} is incomplete")
        named = self.bytes[header + LOCAL.size : header + LOCAL.size + name].tobytes()
        if named != label:
            raise self._damaged(f"{bare(label.decode())} has another name in its place")
        return Entry(header, start, size, crc)

    def _check_apart(self, entries: list[Entry], directory: int) -> None:
        free = 0
        for entry in sorted(entries, key=lambda e: e.header):
            if entry.header < free:
                raise self._damaged("two of its entries share bytes")
            free = entry.start + entry.size
        if free > directory:
            raise self._damaged("an entry reaches into its directory")


def _zip64(field: bytes, *values: int) -> list[int]:
    """Size, packed size and offset; those that are full stand in the extra field's first part."""
    found = b""
    while field and not found:
        kind, length = struct.unpack("<2H", field[:4])
        found = field[4 : 4 + length] if kind == ZIP64_FIELD else b""
        field = field[4 + length :]
    wide = struct.iter_unpack("<Q", found[: len(found) // 8 * 8])
    try:
        return [next(wide)[0] if value == FULL32 else value for value in values]
    except StopIteration:
        raise struct.error from None


def _map(path: Path) -> np.ndarray:
    """A file as uint8 [bytes] that costs no memory until it is read; links are followed."""
    if not path.is_file():
        raise ExportError(f"{path} is missing; it is one of the published files")
    try:
        with open(path, "rb") as file:
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    except ValueError:  # an empty file cannot be mapped
        return np.empty(0, np.uint8)
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}") from error


def _other_format(data: np.ndarray) -> str:
    for at, mark, kind in OTHER_FORMATS:
        if data[at : at + len(mark)].tobytes() == mark:
            return f"it is {kind}"
    return "it is no zip file"

"""Leaves the kernels of one GPU architecture in a CUDA library, to travel in a third of the bytes.

    python thin.py LIBRARY.so 90

The file keeps its size and its layout: kernels of other architectures become zeros, which pack to
nothing. NVIDIA's driver takes the kernels that fit its card and never reads the others. Sections of
kernels ("fat binaries") are found by their header; the format is read off libraries themselves.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

HEADER = struct.Struct("<IHHQ")  # magic, version, bytes of this header, bytes behind it
MAGIC = struct.pack("<IHH", 0xBA55ED50, 1, HEADER.size)
ENTRY = struct.Struct("<HHIQ12xI")  # kind, version, the same two lengths, architecture
MACHINE_CODE = 2


def entries(library: bytes) -> Iterator[tuple[bool, int, int, int]]:
    """Of every entry whether it is machine code, its architecture, and where its bytes lie."""
    at = 0
    while (at := library.find(MAGIC, at)) >= 0:
        *_, size = HEADER.unpack_from(library, at)
        entry, at = at + HEADER.size, at + HEADER.size + size
        while entry < at <= len(library):
            kind, _, header, size, architecture = ENTRY.unpack_from(library, entry)
            if header == 0:
                break
            begin, entry = entry + header, entry + header + size
            yield kind == MACHINE_CODE, architecture, begin, entry


def thin(library: bytearray, architecture: int) -> int:
    """Blanks what is not for the architecture; the bytes of kernels that stay."""
    kept = 0
    for machine_code, of, begin, end in list(entries(library)):
        if machine_code and of == architecture:
            kept += end - begin
        else:
            library[begin:end] = bytes(end - begin)
    return kept


def main(path: str, architecture: str) -> None:
    """Thins a file in place."""
    library = bytearray(Path(path).read_bytes())
    kept = thin(library, int(architecture))
    if not kept:
        sys.exit(f"{path} has no kernels of architecture {architecture}")
    Path(path).write_bytes(library)
    print(f"{path}: {kept / 1e6:.0f} MB of kernels stay", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])

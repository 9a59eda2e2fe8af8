"""Packs a release archive: the program, ONNX Runtime, the bundled model, licences.

`pack.py TARGET PROGRAM ONNXRUNTIME FOLDER` writes FOLDER/mini-omni-VERSION-TARGET.tar.gz (.zip for
Windows) and its line in FOLDER/SHA256SUMS. The folder ONNXRUNTIME is filled if need be. The same
files give the same bytes: names are sorted, every file has one date (SOURCE_DATE_EPOCH), no owner.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import sys
import tarfile
import time
import tomllib
import zipfile
from pathlib import Path

from crates import licences

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "export"))
import get_onnxruntime

VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
MODEL = "onnx/mini-omni-small"
OTHERS = {
    "aarch64-apple-darwin": "macOS 14 or newer",
    "x86_64-pc-windows-msvc": "Windows 10 or newer with the Visual C++ 2015-2022 runtime",
}
DATE = int(os.environ.get("SOURCE_DATE_EPOCH") or 315532800)  # 1980, the first year of zip


def contents(target: str, program: Path, onnxruntime: Path) -> dict[str, bytes]:
    """Every file of the archive, by its name in it."""
    get_onnxruntime.main(onnxruntime, target)
    library = get_onnxruntime.TARGETS[target][1]
    files = {program.name: program, library: onnxruntime / library}
    files |= {name: ROOT / name for name in ("LICENSE", "NOTICE")}
    files |= {f"licences/onnxruntime/{name}": onnxruntime / name
              for name in get_onnxruntime.LICENCES}
    files |= {f"{MODEL}/{file.name}": file for file in (ROOT / MODEL).iterdir()}
    found = {name: file.read_bytes() for name, file in files.items()}
    needs = system(target, found[program.name] + found[library])
    texts = {"README.txt": readme(target, needs), "licences/crates.txt": licences(ROOT, target)}
    return found | {name: text.encode() for name, text in texts.items()}


def system(target: str, binaries: bytes) -> str:
    """What the program and its library need of a system."""
    if "linux" not in target:
        return OTHERS[target]
    glibc = max(map(int, re.findall(rb"GLIBC_2\.(\d+)\0", binaries)))
    return f"Linux with glibc 2.{glibc} or newer and libstdc++"


def readme(target: str, needs: str) -> str:
    text = (ROOT / "release/README.txt").read_text()
    return text.format(version=VERSION, target=target, needs=needs)


def mode(name: str) -> int:
    """What may be run: the program, which lies at the top without a suffix, or is an .exe."""
    return 0o755 if Path(name).stem == "mini-omni" else 0o644


def tar_gz(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with (gzip.GzipFile(fileobj=buffer, mode="wb", mtime=DATE, filename="") as gz,
          tarfile.open(fileobj=gz, mode="w", format=tarfile.USTAR_FORMAT) as archive):
        for name, content in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(content), DATE, mode(name)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted(files.items()):
            info = zipfile.ZipInfo(name, time.gmtime(DATE)[:6])
            info.create_system, info.external_attr = 3, mode(name) << 16  # modes as Unix has them
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def pack(target: str, program: Path, onnxruntime: Path, folder: Path) -> Path:
    """Writes the archive and its sum; tells the sizes."""
    stem = f"mini-omni-{VERSION}-{target}"
    files = {f"{stem}/{name}": content
             for name, content in contents(target, program, onnxruntime).items()}
    folder.mkdir(parents=True, exist_ok=True)
    write, suffix = (zipped, "zip") if "windows" in target else (tar_gz, "tar.gz")
    archive = folder / f"{stem}.{suffix}"
    archive.write_bytes(write(files))
    add_sum(archive)
    unpacked = sum(map(len, files.values()))
    print(f"{archive}: {archive.stat().st_size / 1e6:.1f} MB, {unpacked / 1e6:.1f} MB unpacked")
    return archive


def add_sum(archive: Path) -> None:
    """One line an archive, as `sha256sum --check` reads it."""
    sums = archive.with_name("SHA256SUMS")
    lines = sums.read_text().splitlines() if sums.is_file() else []
    lines = [line for line in lines if not line.endswith(f"  {archive.name}")]
    lines.append(f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}")
    sums.write_text("\n".join(sorted(lines, key=lambda line: line.split()[1])) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    pack(sys.argv[1], *map(Path, sys.argv[2:]))

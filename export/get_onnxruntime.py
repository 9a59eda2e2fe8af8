"""Puts the ONNX Runtime shared library where the binary looks for it, its licences beside it.

The library comes out of the PyPI wheel (the same build that `pip install onnxruntime` gives), so
nobody needs another download site. Run by `make onnxruntime`; needs nothing but Python and pip.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "1.31.1"
# The library does not depend on the Python version; the wheel for this one exists everywhere.
PYTHON_VERSION = "3.12"
# By Rust's names of targets, which cross builds have: the wheel's platforms and the library.
TARGETS = {
    "x86_64-unknown-linux-gnu":
        (["manylinux_2_28_x86_64", "manylinux_2_27_x86_64"], "libonnxruntime.so"),
    "aarch64-unknown-linux-gnu":
        (["manylinux_2_28_aarch64", "manylinux_2_27_aarch64"], "libonnxruntime.so"),
    "aarch64-apple-darwin":
        (["macosx_14_0_arm64", "macosx_13_0_universal2"], "libonnxruntime.dylib"),
    "x86_64-pc-windows-msvc": (["win_amd64"], "onnxruntime.dll"),
}
HOSTS = {
    ("Linux", "x86_64"): "x86_64-unknown-linux-gnu",
    ("Linux", "aarch64"): "aarch64-unknown-linux-gnu",
    ("Darwin", "arm64"): "aarch64-apple-darwin",
    ("Windows", "AMD64"): "x86_64-pc-windows-msvc",
}
LICENCES = ("LICENSE", "ThirdPartyNotices.txt")


def main(folder: Path, target: str) -> None:
    """Extracts the library into `folder`, unless this version is already there."""
    if target not in TARGETS:
        sys.exit(f"no ONNX Runtime wheel is known for {target}; "
                 "set ORT_DYLIB_PATH to a library of your own")
    platforms, name = TARGETS[target]
    stamp = folder / "VERSION"
    files = [folder / file for file in (*LICENCES, name)]
    if (stamp.is_file() and stamp.read_text().strip() == VERSION
            and all(file.is_file() for file in files)):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as download:
        extract(fetch_wheel(Path(download), platforms), folder, name)
    stamp.write_text(VERSION + "\n")
    print(f"ONNX Runtime {VERSION} is in {folder}")


def host() -> str:
    """Rust's name of this machine, or a description that is in no table."""
    machine = platform.system(), platform.machine()
    return HOSTS.get(machine, " ".join(machine))


def fetch_wheel(folder: Path, platforms: list[str]) -> Path:
    """Downloads the wheel for one of these platforms with pip."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
               "--only-binary=:all:", "--python-version", PYTHON_VERSION, "--dest", str(folder)]
    for tag in platforms:
        command += ["--platform", tag]
    env = os.environ | {"TMPDIR": str(folder)}  # what pip leaves when it is stopped goes, too
    done = subprocess.run([*command, f"onnxruntime=={VERSION}"], check=False, env=env)
    if done.returncode != 0:
        sys.exit(f"pip could not download onnxruntime {VERSION}; is there a network, and pip? "
                 "(Debian: apt install python3-pip python3-venv)")
    return next(folder.glob("onnxruntime-*.whl"))


def extract(wheel: Path, folder: Path, name: str) -> None:
    """Takes the licences and the library out of the wheel, each whole or not at all."""
    with zipfile.ZipFile(wheel) as archive:
        for licence in LICENCES:
            put(folder / licence, archive.read(f"onnxruntime/{licence}"))
        put(folder / name, library_bytes(archive, name))


def put(target: Path, content: bytes) -> None:
    """Writes beside, then renames."""
    part = target.with_name(f"{target.name}.part")
    try:
        part.write_bytes(content)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def library_bytes(archive: zipfile.ZipFile, name: str) -> bytes:
    """The shared library inside the wheel, whose name has a version there."""
    stem, suffix = name.split(".", 1)
    for member in archive.namelist():
        base = Path(member).name
        if base.startswith(f"{stem}.") and suffix in base and "providers" not in base:
            return archive.read(member)
    sys.exit(f"{archive.filename} holds no {name}")


def stop(number: int, _frame: object) -> None:
    """Ends by an exception, so that what was begun is cleared away."""
    sys.exit(128 + number)


if __name__ == "__main__":
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), stop)
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".onnxruntime"),
         sys.argv[2] if len(sys.argv) > 2 else host())

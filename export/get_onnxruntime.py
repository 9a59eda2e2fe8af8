"""Puts the ONNX Runtime shared library where the binary looks for it.

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
PLATFORMS = {
    ("Linux", "x86_64"): ["manylinux_2_28_x86_64", "manylinux_2_27_x86_64"],
    ("Linux", "aarch64"): ["manylinux_2_28_aarch64", "manylinux_2_27_aarch64"],
    ("Darwin", "arm64"): ["macosx_14_0_arm64", "macosx_13_0_universal2"],
    ("Windows", "AMD64"): ["win_amd64"],
}
NAMES = {
    "Linux": "libonnxruntime.so", "Darwin": "libonnxruntime.dylib", "Windows": "onnxruntime.dll",
}


def main(folder: Path) -> None:
    """Extracts the library into `folder`, unless this version is already there."""
    system = platform.system()
    target = folder / NAMES[system]
    stamp = folder / "VERSION"
    if target.is_file() and stamp.is_file() and stamp.read_text().strip() == VERSION:
        return
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{target.name}.part"  # written beside, then renamed: never half a library
    try:
        with tempfile.TemporaryDirectory() as download:
            part.write_bytes(library_bytes(fetch_wheel(Path(download), system), system))
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    stamp.write_text(VERSION + "\n")
    print(f"ONNX Runtime {VERSION} is in {folder}")


def fetch_wheel(folder: Path, system: str) -> Path:
    """Downloads the wheel for this machine with pip."""
    tags = PLATFORMS.get((system, platform.machine()))
    if tags is None:
        sys.exit(f"no ONNX Runtime wheel is known for {system} {platform.machine()}; "
                 "set ORT_DYLIB_PATH to a library of your own")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
               "--only-binary=:all:", "--python-version", PYTHON_VERSION, "--dest", str(folder)]
    for tag in tags:
        command += ["--platform", tag]
    env = os.environ | {"TMPDIR": str(folder)}  # what pip leaves when it is stopped goes, too
    done = subprocess.run([*command, f"onnxruntime=={VERSION}"], check=False, env=env)
    if done.returncode != 0:
        sys.exit(f"pip could not download onnxruntime {VERSION}; is there a network, and pip? "
                 "(Debian: apt install python3-pip python3-venv)")
    return next(folder.glob("onnxruntime-*.whl"))


def library_bytes(wheel: Path, system: str) -> bytes:
    """The shared library inside the wheel."""
    stem, suffix = NAMES[system].split(".", 1)
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            base = Path(name).name
            if base.startswith(f"{stem}.") and suffix in base and "providers" not in base:
                return archive.read(name)
    sys.exit(f"{wheel.name} holds no {NAMES[system]}")


def stop(number: int, _frame: object) -> None:
    """Ends by an exception, so that what was begun is cleared away."""
    sys.exit(128 + number)


if __name__ == "__main__":
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), stop)
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(".onnxruntime"))

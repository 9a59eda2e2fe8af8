"""Runs a program on a machine that is not here: `emulate.py MACHINE PROGRAM ARGUMENT…`.

qemu gives the instructions. ONNX Runtime also reads /proc/cpuinfo and /sys, where an emulated
process sees the host's, and an ARM build of it fails to load. qemu looks below its -L folder first,
so that folder describes the emulated machine. Needs Debian's qemu-user-static, and for ARM
libstdc++6-arm64-cross.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ARM_LIBRARIES = Path("/usr/aarch64-linux-gnu/lib")
CORES = 2


@dataclass(frozen=True)
class Machine:
    """A processor as qemu knows it; an ARM one also as /proc/cpuinfo describes it."""

    architecture: str
    cpu: str
    features: str = ""


NOT_EMULATED = "pcid=off,x2apic=off,tsc-deadline=off,invpcid=off"  # of no use to a program
MACHINES = {
    "dotprod": Machine("aarch64", "cortex-a76", "fp asimd crc32 atomics fphp asimdhp asimddp"),
    # SVE and SME are off: qemu emulates them slowly, and no kernel here is written for them.
    "i8mm": Machine("aarch64", "max,sve=off,sme=off",
                    "fp asimd crc32 atomics fphp asimdhp asimddp i8mm bf16"),
    "haswell": Machine("x86_64", f"Haswell-noTSX,{NOT_EMULATED}"),
    "nehalem": Machine("x86_64", "Nehalem"),
}


def describe(machine: Machine, folder: Path) -> None:
    """Writes what an ARM program reads of its machine."""
    (folder / "proc").mkdir()
    stanza = (f"processor\t: {{}}\nFeatures\t: {machine.features}\nCPU implementer\t: 0x41\n"
              "CPU architecture: 8\nCPU variant\t: 0x4\nCPU part\t: 0xd0b\nCPU revision\t: 1\n\n")
    cores = "".join(stanza.format(core) for core in range(CORES))
    (folder / "proc/cpuinfo").write_text(cores)
    system = folder / "sys/devices/system/cpu"
    system.mkdir(parents=True)
    for name in ("possible", "present", "online"):
        (system / name).write_text(f"0-{CORES - 1}\n")


def run(name: str, command: list[str], **options) -> subprocess.CompletedProcess:
    """Runs the command on the machine of this name."""
    machine = MACHINES[name]
    qemu = [f"qemu-{machine.architecture}-static", "-cpu", machine.cpu]
    if machine.architecture == "x86_64":
        return subprocess.run([*qemu, *command], check=False, **options)
    with tempfile.TemporaryDirectory() as folder:
        describe(machine, Path(folder))
        (Path(folder) / "lib").symlink_to(ARM_LIBRARIES)
        return subprocess.run([*qemu, "-L", folder, *command], check=False, **options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("machine", choices=MACHINES)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    sys.exit(run(arguments.machine, arguments.command).returncode)

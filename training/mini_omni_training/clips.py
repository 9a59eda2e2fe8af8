"""A store of spoken clips on disk: one flat int16 file and one line of JSON a clip.

Only ever appended to, PCM first and line second, so a killed process loses at most its last clip
and the next one goes on where it stopped.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SAMPLE_RATE = 24_000


class Clips:
    """Clips of one folder, 24 kHz mono; `meta[i]` has text, voice, samples, offset and more."""

    def __init__(self, folder: Path, writable: bool = False) -> None:
        self.folder = Path(folder)
        if writable:
            self.folder.mkdir(parents=True, exist_ok=True)
        self.meta = list(self._lines())
        self._pcm: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.meta)

    def __getitem__(self, i: int) -> np.ndarray:
        """float32 in -1..1, [samples]."""
        if self._pcm is None:
            self._pcm = np.memmap(self.folder / "pcm.i16", np.int16, "r")
        at = self.meta[i]["offset"]
        return self._pcm[at : at + self.meta[i]["samples"]].astype(np.float32) / 32767

    @property
    def seconds(self) -> float:
        return sum(m["samples"] for m in self.meta) / SAMPLE_RATE

    def append(self, pcm: np.ndarray, **meta: object) -> None:
        """Adds one clip (float32)."""
        offset = self.meta[-1]["offset"] + self.meta[-1]["samples"] if self.meta else 0
        with open(self.folder / "pcm.i16", "r+b" if offset else "wb") as file:
            file.seek(offset * 2)
            file.write((np.clip(pcm, -1, 1) * 32767).astype(np.int16).tobytes())
        self.meta.append({**meta, "offset": offset, "samples": len(pcm)})
        with open(self.folder / "clips.jsonl", "a") as file:
            file.write(json.dumps(self.meta[-1]) + "\n")

    def _lines(self) -> Iterator[dict]:
        path = self.folder / "clips.jsonl"
        if path.exists():
            for line in path.read_text().splitlines():
                yield json.loads(line)


def parts(folder: Path) -> list[Clips]:
    """The stores under a folder that several processes filled (`part0`, `part1`, …)."""
    return [Clips(path.parent) for path in sorted(Path(folder).glob("*/clips.jsonl"))]

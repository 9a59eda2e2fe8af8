"""Where prepared arrays lie: memory-mapped flat files with one line of JSON an item."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


class Store:
    """Arrays [n, width] of one dtype behind each other; `meta[i]` has offset, rows and more."""

    def __init__(self, folder: Path, dtype: type, width: int) -> None:
        self.folder, self.dtype, self.width = Path(folder), np.dtype(dtype), width
        self.folder.mkdir(parents=True, exist_ok=True)
        index = self.folder / "index.jsonl"
        lines = index.read_text().splitlines() if index.exists() else []
        self.meta = [json.loads(line) for line in lines]
        self._rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.meta)

    def __getitem__(self, i: int) -> Tensor:
        if self._rows is None:
            flat = np.memmap(self.folder / "rows.bin", self.dtype, "r")
            self._rows = flat[: len(flat) // self.width * self.width].reshape(-1, self.width)
        at = self.meta[i]["offset"]
        return torch.from_numpy(self._rows[at : at + self.meta[i]["rows"]].copy())

    def append(self, rows: np.ndarray, **meta: object) -> None:
        """Adds one array; the data before its line, so that a kill loses one item at most."""
        offset = self.meta[-1]["offset"] + self.meta[-1]["rows"] if self.meta else 0
        with open(self.folder / "rows.bin", "r+b" if offset else "wb") as file:
            file.seek(offset * self.width * self.dtype.itemsize)
            file.write(np.ascontiguousarray(rows, self.dtype).tobytes())
        self.meta.append({**meta, "offset": offset, "rows": len(rows)})
        with open(self.folder / "index.jsonl", "a") as file:
            file.write(json.dumps(self.meta[-1]) + "\n")


def codes_store(work: Path, name: str) -> Store:
    """frames [n, 7] of the spoken texts called `name`."""
    return Store(work / "codes" / name, np.int16, 7)


def features_store(work: Path, name: str, width: int) -> Store:
    """Audio features [n, width] of the questions called `name` ("train" or "test")."""
    return Store(work / "features" / name, np.float16, width)

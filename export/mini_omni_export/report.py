"""What quantisation cost, tensor by tensor and by their classes: `quantization.json`.

One number for a whole graph would tell nothing: the embedding, kept in 8 bits, holds most of the
decoder's squares and hides the error of its 4-bit products.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from .quantize import Quantized
from .sound import Verdict

CLASSES = [  # the first that a tensor's name fits
    ("head", re.compile(r"^head\.|\.head$")),
    ("embedding", re.compile(r"^embedding\.")),
    ("adapter", re.compile(r"^adapter\.")),
    ("attention", re.compile(r"\.attn\.")),
    ("mlp", re.compile(r"\.mlp\.")),
    ("convolution", re.compile("")),
]
DIGITS = 6
EXACT_DB = 200.0


@dataclass
class Report:
    """What was quantised in one graph, and how well."""

    precision: str
    tensors: list[dict[str, Any]] = field(default_factory=list)
    sound: Verdict | None = None  # of a codec

    def add(self, name: str, precision: str, quantized: Quantized, size: int) -> None:
        """Notes a tensor that takes `size` bytes in the graph's data."""
        kind = next(kind for kind, pattern in CLASSES if pattern.search(name))
        self.tensors.append({
            "name": name, "class": kind, "precision": precision, "block": quantized.block,
            "relative_error": round(quantized.relative_error, DIGITS), "bytes": size,
        })

    def summary(self, graph_bytes: int) -> dict[str, Any]:
        """The graph's part of the file; `graph_bytes` are all its tensors'."""
        size = sum(tensor["bytes"] for tensor in self.tensors)
        found = {
            "precision": self.precision,
            "classes": self._classes(),
            "bytes": {"quantized": size, "other": graph_bytes - size, "total": graph_bytes},
            "tensors": self.tensors,
        }
        return found | ({"sound": self._sound(self.sound)} if self.sound else {})

    @staticmethod
    def _sound(verdict: Verdict) -> dict[str, Any]:
        decibels = {"all_in_8_bits_db": verdict.db, "db": verdict.kept_db}
        # JSON has no infinity; nothing is so exact that it matters.
        decibels = {key: round(min(db, EXACT_DB), 1) for key, db in decibels.items()}
        return decibels | {"exact_layers": verdict.exact}

    def _classes(self) -> list[dict[str, Any]]:
        groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for tensor in self.tensors:
            groups.setdefault((tensor["class"], tensor["precision"]), []).append(tensor)
        return [_class(*key, tensors) for key, tensors in groups.items()]


def _class(kind: str, precision: str, tensors: list[dict[str, Any]]) -> dict[str, Any]:
    errors = [tensor["relative_error"] for tensor in tensors]
    worst = max(tensors, key=lambda tensor: tensor["relative_error"])
    return {
        "class": kind, "precision": precision, "tensors": len(tensors),
        "bytes": sum(tensor["bytes"] for tensor in tensors),
        "relative_error": {
            "mean": round(sum(errors) / len(errors), DIGITS),
            "worst": worst["relative_error"], "worst_tensor": worst["name"],
        },
    }

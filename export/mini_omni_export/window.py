"""The plan of the merged window: which positions of the silence behind a clip are computed.

Whisper's encoder hears 30 s. Behind a short clip nearly all of its 1500 positions are the same
silence, and of these the plan keeps every sixteenth. Some may not be left out: the last ones, which
see the window's edge, and those that a trained encoder uses as registers: their norm grows to many
times the others', and many positions attend to them. Where they are depends on the weights and
hardly on the clip, so they are looked for in two windows of noise and silence.

`Hearing` is the encoder in numpy, for the plan, its tests and `benches/merged_window.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checkpoint import Tensors
from .config import WhisperConfig

MARGIN = 50  # positions behind the clip that are computed as its own
EDGE = 50  # last positions of the window
STEP = 16  # of the silence between them, one in so many
REGISTER = 4.0  # times the median norm
NOISES = (0.5, 8.0)  # seconds of the clips that registers are looked for in
POSITIONS_A_SECOND = 50
FRAMES_A_POSITION = 2
LOUD, RANGE = 0.6, 2.0  # a mel of noise, and how far below its loudest point silence is
LAYER_NORM_EPS = 1e-5


def plan(whisper: Tensors, config: WhisperConfig, trained: bool) -> dict[str, Any]:
    """The manifest's `merged_window`. Weights that are not trained have no registers."""
    n = config.n_audio_ctx
    kept = set(range(n - 1, -1, -STEP)) | set(range(max(0, n - EDGE), n))
    for register in registers(whisper, config) if trained else []:
        kept |= {register - 1, register}  # it stands for itself alone
    return {"margin": MARGIN, "kept": sorted(position for position in kept if position >= 0)}


def registers(whisper: Tensors, config: WhisperConfig) -> list[int]:
    """The positions whose norm, behind some block, is `REGISTER` times the median or more."""
    hearing, found = Hearing.of(whisper, config), set()
    for seconds in NOISES:
        every = np.arange(config.n_audio_ctx)
        mel = noise(seconds, config)
        for x in hearing.blocks(hearing.stem(mel), Kept(every, np.zeros(len(every)))):
            norms = np.linalg.norm(x, axis=1)
            found |= set(np.flatnonzero(norms >= REGISTER * np.median(norms)).tolist())
    return sorted(found)


def noise(seconds: float, config: WhisperConfig) -> NDArray[np.float32]:
    """A mel [n_mels, frames] of that much noise, then silence."""
    heard = int(seconds * POSITIONS_A_SECOND) * FRAMES_A_POSITION
    shape = (config.n_mels, heard)
    mel = np.random.default_rng(0).normal(LOUD, 0.2, shape).astype(np.float32)
    silence = mel.max() - RANGE
    behind = config.n_audio_ctx * FRAMES_A_POSITION - heard
    return np.pad(np.maximum(mel, silence), ((0, 0), (0, behind)), constant_values=silence)


@dataclass
class Kept:
    """The positions that go on behind the first block, and the logarithms of their counts."""

    positions: NDArray[np.int64]
    log_counts: NDArray[np.float64]

    @classmethod
    def of(cls, plan: dict[str, Any], n_features: int) -> Kept:
        """For a clip of so many features."""
        exact = min(n_features + plan["margin"], plan["kept"][-1] + 1)
        behind = [position for position in plan["kept"] if position >= exact]
        counts = np.diff([exact - 1, *behind])
        return cls(np.array([*range(exact), *behind]), np.log([*np.ones(exact), *counts]))


@dataclass
class Hearing:
    """Whisper's encoder, in numpy; x are the residual stream's rows [positions, state]."""

    tensors: dict[str, NDArray[np.float32]]
    layers: int
    heads: int

    @classmethod
    def of(cls, whisper: Tensors, config: WhisperConfig) -> Hearing:
        """The encoder of a checkpoint."""
        names = [name for name in whisper.state if name.startswith("encoder.")]
        tensors = {name.removeprefix("encoder."): whisper(name) for name in names}
        return cls(tensors, config.n_audio_layer, config.n_audio_head)

    def stem(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Two convolutions and the positions, of a mel [n_mels, frames]."""
        x = gelu(self._conv("conv1", mel.T, stride=1))
        x = gelu(self._conv("conv2", x, stride=2))
        return x + self.tensors["positional_embedding"][: len(x)]

    def blocks(
        self, x: NDArray[np.float32], kept: Kept, counted_from: int = 1
    ) -> list[NDArray[np.float32]]:
        """x behind each block; behind the first one, of the kept positions alone. Keys have counts
        from the block `counted_from` on."""
        rows, behind = kept.positions, []
        for layer in range(self.layers):
            counts = kept.log_counts if layer >= counted_from else np.zeros(len(x))
            x = self._block(f"blocks.{layer}", x, rows, counts.astype(np.float32))
            rows = np.arange(len(x))
            behind.append(x)
        return behind

    def features(self, mel: NDArray[np.float32], kept: Kept) -> NDArray[np.float32]:
        """What Mini-Omni's adapter gets of each kept position."""
        return self.end(self.blocks(self.stem(mel), kept)[-1])

    def end(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The norm behind the last block."""
        return self._norm("ln_post", x)

    def _block(self, name: str, x, rows, log_counts) -> NDArray[np.float32]:
        normed = self._norm(f"{name}.attn_ln", x)
        heard = self._attention(f"{name}.attn", normed[rows], normed, log_counts)
        x = x[rows] + self._linear(f"{name}.attn.out", heard)
        h = gelu(self._linear(f"{name}.mlp.0", self._norm(f"{name}.mlp_ln", x)))
        return x + self._linear(f"{name}.mlp.2", h)

    def _attention(self, name: str, queries, keys, log_counts) -> NDArray[np.float32]:
        q, k, v = (
            self._linear(f"{name}.{part}", x).reshape(len(x), self.heads, -1)
            for part, x in (("query", queries), ("key", keys), ("value", keys))
        )
        heard = np.empty_like(q)
        for head in range(self.heads):
            scores = q[:, head] @ k[:, head].T * np.float32(q.shape[-1] ** -0.5) + log_counts
            scores -= scores.max(axis=1, keepdims=True)
            weights = np.exp(scores, out=scores)
            heard[:, head] = weights @ v[:, head] / weights.sum(axis=1, keepdims=True)
        return heard.reshape(len(q), -1)

    def _conv(self, name: str, x, stride: int) -> NDArray[np.float32]:
        weight = self.tensors[f"{name}.weight"]  # [out, in, 3]
        padded = np.pad(x, ((1, 1), (0, 0)))
        n = len(x) // stride
        taps = (padded[i : i + stride * (n - 1) + 1 : stride] @ weight[:, :, i].T for i in range(3))
        return sum(taps) + self.tensors[f"{name}.bias"]

    def _linear(self, name: str, x) -> NDArray[np.float32]:
        y = x @ self.tensors[f"{name}.weight"].T
        return y + self.tensors.get(f"{name}.bias", np.float32(0))

    def _norm(self, name: str, x) -> NDArray[np.float32]:
        x = x - x.mean(axis=1, keepdims=True)
        x = x / np.sqrt((x * x).mean(axis=1, keepdims=True) + np.float32(LAYER_NORM_EPS))
        return x * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]


def gelu(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """x times the normal distribution of x; erf by Abramowitz and Stegun 7.1.26, to 1.5e-7."""
    z = np.abs(x) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.zeros_like(t)
    for coefficient in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(coefficient)) * t
    erf = 1 - series * np.exp(-z * z)
    return x * np.float32(0.5) * (1 + np.copysign(erf, x))

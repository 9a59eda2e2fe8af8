"""How a codec's sound survives 8 bits, and which of its layers may not have them.

How much sound 8 bits cost depends on the weights: in some codecs a small error of an early layer
grows with every layer behind it. So the export decodes a few frames of random codes with the exact
weights and as the runtime's kernel computes in 8 bits: weights with a scale for each output, each
row of activations with one of its own. Where the sound is worse than `LEAST_DB`, the layers that
cost most stay exact until it is not.

`Sound` is the codec's decoder in numpy, of a whole clip at once.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .checkpoint import Tensors
from .codec import RESIDUAL_DILATIONS, projected_codebook, snake_weights, weight_norm
from .config import CodecConfig
from .quantize import quantize_channels

LEAST_DB = 35.0  # sound over error; no listener hears the difference
WANTED_DB = 37.0  # that of the layers' errors added up: they may add up worse
FRAMES = 6
TINY = 1e-30  # of a codec that says nothing
Rows = NDArray[np.float32]


@dataclass
class Verdict:
    """What 8 bits do to a codec's sound."""

    db: float  # sound over error where every layer has 8 bits
    exact: list[str]  # layers that stay exact
    kept_db: float  # sound over error with these
    layers: int  # all that could have 8 bits


def verdict(snac: Tensors, config: CodecConfig) -> Verdict:
    """Which layers must stay exact; none for most codecs."""
    sound, drawn = Sound(snac, config), draws(config)
    want = sound.decode(*drawn)
    layers = list(dict.fromkeys(sound.layers))
    db = decibels(want, sound.decode(*drawn, layers))
    if db >= LEAST_DB:
        return Verdict(db, [], db, len(layers))
    costs = {layer: 10 ** (-decibels(want, sound.decode(*drawn, [layer])) / 10) for layer in layers}
    left = sorted(costs, key=costs.get)
    exact, kept_db = [], db
    while left and kept_db < LEAST_DB:
        while left and sum(costs[layer] for layer in left) > 10 ** (-WANTED_DB / 10):
            exact.append(left.pop())
        kept_db = decibels(want, sound.decode(*drawn, left))
        if kept_db < LEAST_DB and left:
            exact.append(left.pop())
    return Verdict(db, exact, kept_db, len(layers))


def draws(config: CodecConfig) -> tuple[list[NDArray], list[Rows]]:
    """Random codes of each level and the noise of each block, of `FRAMES` frames."""
    rng, finest = np.random.default_rng(0), config.vq_strides[0]
    codes = [
        rng.integers(0, config.codebook_size, FRAMES * finest // stride)
        for stride in config.vq_strides
    ]
    lengths = FRAMES * finest * np.cumprod(config.decoder_rates)
    return codes, [rng.standard_normal(n, np.float32) for n in lengths]


def decibels(want: Rows, got: Rows) -> float:
    """How far the error lies below the sound."""
    error = float(np.sum((want - got) ** 2, dtype=np.float64))
    power = float(np.sum(want**2, dtype=np.float64))
    return 10 * math.log10(max(power, TINY) / error) if error else math.inf


@dataclass
class Sound:
    """The codec's decoder; signals are rows [n, channels]."""

    tensors: Tensors
    config: CodecConfig
    layers: list[str] = field(default_factory=list)  # met in the last decoding, that have 8 bits
    rounded: dict[str, Rows] = field(default_factory=dict)
    eight_bits: Collection[str] = ()

    def decode(
        self, codes: list[NDArray], noise: list[Rows], eight_bits: Collection[str] = ()
    ) -> Rows:
        """Samples of the codes of each level, with the layers `eight_bits` in 8 bits."""
        self.layers, self.eight_bits = [], frozenset(eight_bits)
        config, first = self.config, 2 if self.config.depthwise else 1
        x = self._latents(codes)
        x = self._conv(x, "decoder.model.0", 1)
        if config.depthwise:
            x = self._linear(x, "decoder.model.1")
        for block, stride in enumerate(config.decoder_rates):
            name = f"decoder.model.{block + first}.block"
            x = self._upsample(self._snake(x, f"{name}.0"), f"{name}.1", stride)
            at = 2
            if config.noise:
                gain = self._linear(x, f"{name}.2.linear")
                x, at = x + noise[block][: len(x), None] * gain, 3
            for i, dilation in enumerate(RESIDUAL_DILATIONS):
                x = self._residual(x, f"{name}.{at + i}.block", dilation)
        last = first + len(config.decoder_rates)
        x = self._conv(self._snake(x, f"decoder.model.{last}"), f"decoder.model.{last + 1}", 1)
        return np.tanh(x[:, 0])

    def _latents(self, codes: list[NDArray]) -> Rows:
        levels = (
            np.repeat(projected_codebook(self.tensors, f"quantizer.quantizers.{i}")[ids], stride, 0)
            for i, (ids, stride) in enumerate(zip(codes, self.config.vq_strides))
        )
        return sum(levels)

    def _residual(self, x: Rows, name: str, dilation: int) -> Rows:
        h = self._conv(self._snake(x, f"{name}.0"), f"{name}.1", dilation)
        return x + self._linear(self._snake(h, f"{name}.2"), f"{name}.3")

    def _upsample(self, x: Rows, name: str, stride: int) -> Rows:
        """A transposed convolution of kernel 2 x stride, as the graph has it."""
        weight = weight_norm(self.tensors, name)  # [in, out, 2 x stride]
        channels, half = weight.shape[1], stride * weight.shape[1]
        weight = np.ascontiguousarray(weight.transpose(2, 1, 0)).reshape(-1, len(weight))
        reach = self._product(np.pad(x, ((1, 1), (0, 0))), weight, name)
        y = (reach[1:, :half] + reach[:-1, half:]).reshape(-1, channels)
        padding = (stride + 1) // 2
        return y[padding : padding + len(x) * stride] + self.tensors(f"{name}.bias")

    def _linear(self, x: Rows, name: str) -> Rows:
        y = self._product(x, weight_norm(self.tensors, name)[:, :, 0], name)
        return y + self.tensors(f"{name}.bias") if f"{name}.bias" in self.tensors else y

    def _product(self, x: Rows, weight: Rows, name: str) -> Rows:
        """x W^T, both in 8 bits where the layer has them."""
        self.layers.append(name)
        if name not in self.eight_bits:
            return x @ weight.T
        if name not in self.rounded:
            self.rounded[name] = quantize_channels(weight, name).dequantized()
        scales = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
        x = np.rint(x / np.where(scales == 0, 1, scales)) * scales
        return x @ self.rounded[name].T

    def _conv(self, x: Rows, name: str, dilation: int) -> Rows:
        """A convolution that keeps the length; always exact."""
        weight = weight_norm(self.tensors, name)  # [out, in / groups, taps]
        reach, n = (weight.shape[2] - 1) * dilation, len(x)
        padded = np.pad(x, ((reach // 2, reach // 2), (0, 0)))
        depthwise = weight.shape[1] == 1 and x.shape[1] > 1
        y = np.zeros((n, len(weight)), np.float32)
        for tap in range(weight.shape[2]):
            seen, w = padded[tap * dilation : tap * dilation + n], weight[:, :, tap]
            y += seen * w[:, 0] if depthwise else seen @ w.T
        return y + self.tensors(f"{name}.bias")

    def _snake(self, x: Rows, name: str) -> Rows:
        alpha, inverse = (w.reshape(-1) for w in snake_weights(self.tensors, name))
        return x + np.sin(alpha * x) ** 2 * inverse

"""Weights in 4 or 8 bits: integers and scales.

A row of a weight [rows, width] is cut into blocks; each block keeps one scale and small integers.
The scale is searched for: several are tried, the one with the least squared error stays. No data
is needed for that; at 4 bits it takes about 6 % off the error of scaling by the largest value.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from .errors import ExportError

BLOCKS = (128, 64, 32, 16)  # what MatMulNBits takes and is fast with
CHUNK = 1 << 16  # elements worked on at a time: all temporaries stay in a core's cache
# Where the value of the largest magnitude may land, by bits. The scale may be negative, so either
# end of the range can take it; values beyond the range are clipped. -8 and -128 are plain rounding.
TARGETS = {
    4: np.concatenate([-np.linspace(6.4, 8.8, 13), np.linspace(5.6, 7.7, 8)]),
    8: np.array([-128.0, -127.0, 127.0]),
}
CHANNEL_TARGETS = np.linspace(127, 190, 10)  # one scale for a whole row: outliers may be clipped
REFINEMENTS = 2


@dataclass
class Quantized:
    """Integers [rows, padded width] and scales [rows, blocks]; value = integer * scale."""

    values: np.ndarray
    scales: np.ndarray
    bits: int
    block: int
    width: int  # without the padding
    squared_error: float
    squared_norm: float

    @property
    def relative_error(self) -> float:
        """|dequantised - weight| / |weight|, over the whole tensor."""
        return float(np.sqrt(self.squared_error / self.squared_norm)) if self.squared_norm else 0.0

    def unsigned(self) -> np.ndarray:
        """The integers with the zero at the middle of the range: uint8 [rows, padded width]."""
        return (self.values + np.int16(1 << (self.bits - 1))).astype(np.uint8)

    def packed(self) -> np.ndarray:
        """`unsigned`, at 4 bits two to a byte, low nibble first."""
        return pack_nibbles(self.unsigned()) if self.bits == 4 else self.unsigned()

    def dequantized(self) -> np.ndarray:
        """float32 [rows, width], what the graph computes with."""
        rows, blocks = self.scales.shape
        values = self.values.reshape(rows, blocks, -1) * self.scales[..., None]
        return values.reshape(rows, -1)[:, : self.width]


def choose_block(width: int, wanted: int) -> int:
    """The largest block up to `wanted` that divides `width`; if none does, one that pads least."""
    fitting = [block for block in BLOCKS if block <= wanted]
    for block in fitting:
        if width % block == 0:
            return block
    return min(fitting, key=lambda block: (-width % block, -block))


def quantize_blocks(weight: np.ndarray, bits: int, block: int, name: str) -> Quantized:
    """A weight [rows, width] in blocks along its width; the last block is filled with zeros."""
    return _quantize(weight, bits, block, TARGETS[bits], name)


def quantize_channels(weight: np.ndarray, name: str) -> Quantized:
    """A weight [rows, width] in 8 bits with one scale a row; integers from -127 to 127."""
    return _quantize(weight, 8, weight.shape[1], CHANNEL_TARGETS, name)


def _quantize(
    weight: np.ndarray, bits: int, block: int, targets: np.ndarray, name: str
) -> Quantized:
    rows, width = weight.shape
    blocks = -(-width // block)
    values = np.zeros((rows, blocks * block), np.int8)
    scales = np.zeros((rows, blocks), np.float32)
    low = -(1 << (bits - 1)) if targets.min() < 0 else -127
    errors = np.zeros((rows, 2))

    def work(start: int) -> None:
        part = slice(start, start + step)
        source = np.zeros((len(values[part]), blocks * block), np.float32)
        source[:, :width] = weight[part]
        cut = source.reshape(-1, block)
        integers, scale = search(cut, low, (1 << (bits - 1)) - 1, targets)
        difference = cut - integers * scale[:, None]
        errors[start] = _squares(difference).sum(), _squares(cut).sum()
        values[part] = integers.reshape(len(source), -1)
        scales[part] = scale.reshape(len(source), -1)

    step = max(1, CHUNK // (blocks * block))
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # numpy releases the lock in its loops
        list(pool.map(work, range(0, rows, step)))
    error, norm = errors.sum(axis=0)
    if not np.isfinite(norm):
        raise ExportError(f"{name} holds values that are not finite; the checkpoint is damaged")
    return Quantized(values, scales, bits, block, width, float(error), float(norm))


def search(
    blocks: np.ndarray, low: int, high: int, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Integers (as float32) [n, block] and scales [n] for blocks [n, block].

    For fixed integers q the best scale is w.q / q.q, and the squared error is then
    w.w - (w.q)^2 / q.q; so the candidates are compared by the last term alone.
    """
    at = np.abs(blocks).argmax(axis=1)
    extreme = blocks[np.arange(len(blocks)), at]
    with np.errstate(divide="ignore"):
        unit = np.where(extreme == 0, 0, 1 / extreme).astype(np.float32)
    rounded = _rounding(blocks, low, high)
    best = np.full(len(blocks), -1.0, np.float32)
    scales = np.zeros(len(blocks), np.float32)
    for target in targets.astype(np.float32):
        scale, gain = _fit(blocks, rounded(unit * target))
        better = gain > best
        best[better], scales[better] = gain[better], scale[better]
    # Rounding again to the best scale, and fitting again, can only lower the error.
    for _ in range(REFINEMENTS):
        integers = rounded(_inverse(scales)).copy()
        scales, _ = _fit(blocks, integers)
    return integers, scales


def _rounding(blocks: np.ndarray, low: int, high: int) -> Callable[[np.ndarray], np.ndarray]:
    """blocks * factors, rounded into [low, high], into a buffer that the next call reuses."""
    buffer = np.empty_like(blocks)

    def rounded(factors: np.ndarray) -> np.ndarray:
        np.multiply(blocks, factors[:, None], out=buffer)
        np.rint(buffer, out=buffer)
        return np.clip(buffer, low, high, out=buffer)

    return rounded


def _fit(blocks: np.ndarray, integers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best scale of each block, and by how much it lowers the squared error."""
    product = np.einsum("ij,ij->i", blocks, integers)
    square = _squares(integers)
    scale = product / np.where(square == 0, 1, square)
    return scale, product * scale


def _inverse(scales: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.where(scales == 0, 0, 1 / scales).astype(np.float32)


def _squares(x: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", x, x)


def pack_nibbles(values: np.ndarray) -> np.ndarray:
    """uint8 below 16 [..., even] -> [..., half], the first of each pair in the low nibble."""
    return values[..., ::2] | (values[..., 1::2] << 4)

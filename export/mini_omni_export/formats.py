"""How a graph holds its large weights: fp32, fp16, or 8 and 4 bits.

A format writes the nodes of a linear layer and of a table (rows to gather, and a head over the
same rows). The builders of the graphs do not know which one they have.

- `Blocks`: ONNX Runtime's MatMulNBits, 8 or 4 bits; small and fast where one row is computed.
- `HalfBlocks`: the same with products in fp16, for CUDA.
- `PortableBlocks`: the same numbers as standard DequantizeLinear + MatMul, which ONNX Runtime turns
  into MatMulNBits when it loads the graph.
- `DynamicInt8`: integer matrix products over activations quantised on the way; fast where many rows
  are computed. Standard operators, which ONNX Runtime fuses to DynamicQuantizeMatMul.
- `Float16`: half the size on disk and fast on GPUs; a CPU computes in fp32 all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from .errors import ExportError
from .functions import ACCURACY_INT8, LINEAR4, LINEAR4_BLOCK, LINEAR8, LINEAR8_GELU, LINEAR8_TILE
from .graph import MICROSOFT, Float32, Graph
from .quantize import (
    Quantized,
    choose_block,
    pack_nibbles,
    quantize_blocks,
    quantize_channels,
)
from .report import Report

EMBEDDING_BITS = 8  # of a table that is only gathered from


def make_format(graph: str, precision: str, block: int, profile: str) -> Float32:
    """The format of the graph `graph` ("encoder", "decoder" or "codec_decoder")."""
    if precision == "fp32":
        return Float32()
    if graph == "codec_decoder" and precision not in ("fp32", "int8"):
        raise ExportError("the codec is exported in fp32 or int8 only")
    if precision == "fp16":
        return Float16()
    if graph in ("encoder", "codec_decoder"):
        if precision == "int8":
            return DynamicInt8()
        raise ExportError("the encoder loses too much at 4 bits; its smallest precision is int8")
    bits = {"int8": 8, "int4": 4}[precision]
    return BLOCKS[profile](bits, block)


class Float16(Float32):
    """Weights in fp16 and products in fp16; everything between (norms, residual sums, attention)
    stays fp32, where the large activations are that fp16 cannot hold."""

    def linear(self, graph, x, weight, name, bias=None) -> str:
        half = graph.weight(_half(weight.T), f"{name}.weight")
        y = _cast(graph, graph.node("MatMul", _cast(graph, x, TensorProto.FLOAT16), half))
        return y if bias is None else graph.node("Add", y, graph.weight(bias, f"{name}.bias"))

    def table(self, graph, rows, name, head=True) -> _HalfTable:
        return _HalfTable(graph, graph.weight(_half(rows), name))


def _half(weight: np.ndarray) -> np.ndarray:
    """In fp16; what is too large for it becomes infinite, and the graph refuses it by name."""
    with np.errstate(over="ignore"):
        return weight.astype(np.float16)


@dataclass
class _HalfTable:
    graph: Graph
    name: str

    def gather(self, ids: str) -> str:
        return _cast(self.graph, self.graph.node("Gather", self.name, ids, axis=0))

    def head(self, x: str) -> str:
        x = _cast(self.graph, x, TensorProto.FLOAT16)
        return _cast(self.graph, self.graph.node("Gemm", x, self.name, transB=1))


class DynamicInt8(Float32):
    """Linear layers in int8 x int8, one scale for each output channel, and an encoder's attention
    where the runtime has a kernel for it; all else is fp32."""

    eight_bits = True

    def __init__(self) -> None:
        self.report = Report("int8")
        self.exact: frozenset[str] = frozenset()  # layers that stay in fp32

    def linear(self, graph, x, weight, name, bias=None) -> str:
        if name in self.exact:
            return super().linear(graph, x, weight, name, bias)
        return self._product(graph, x, weight, name, bias, LINEAR8)

    def linear_gelu(self, graph, x, weight, name, bias) -> str:
        return self._product(graph, x, weight, name, bias, LINEAR8_GELU)

    def packed8(self, graph, weight, name, bias=None) -> list[str]:
        columns, rows = LINEAR8_TILE
        if name in self.exact or weight.shape[0] % columns or weight.shape[1] % rows:
            return []
        values, scales = self._quantized(graph, weight, name)
        tiles = values.reshape(-1, columns, values.shape[1] // rows, rows)
        tiles = graph.weight(np.ascontiguousarray(tiles.transpose(0, 2, 1, 3)), f"{name}.weight")
        zeros = np.zeros(len(values), np.float32)
        bias = (zeros, f"{name}.no_bias") if bias is None else (bias, f"{name}.bias")
        return [tiles, scales, graph.weight(*bias)]

    def _quantized(self, graph, weight, name) -> tuple[np.ndarray, str]:
        """Values in 8 bits, and the name of their scales."""
        quantized = quantize_channels(weight, name)
        values, scales = quantized.values[:, : weight.shape[1]], quantized.scales[:, 0]
        self.report.add(name, "int8", quantized, values.nbytes + scales.nbytes)
        return values, graph.weight(scales, f"{name}.weight.scale")

    def _product(self, graph, x, weight, name, bias, function) -> str:
        if packed := self.packed8(graph, weight, name, bias):
            return graph.call(function, x, *packed)
        values, scales = self._quantized(graph, weight, name)
        # Once for each layer even where layers share x: the fusion wants it so.
        integers, scale, zero = graph.node("DynamicQuantizeLinear", x, outputs=3)
        y = graph.node("MatMulInteger", integers, graph.weight(values.T, f"{name}.weight"), zero)
        y = graph.node("Mul", _cast(graph, y), graph.node("Mul", scale, scales))
        if bias is not None:
            y = graph.node("Add", y, graph.weight(bias, f"{name}.bias"))
        return graph.node("Gelu", y) if function is LINEAR8_GELU else y


class Blocks(Float32):
    """MatMulNBits; a table's head and its rows are the same bytes in the data file."""

    half = False  # whether it multiplies in fp16

    def __init__(self, bits: int, block: int) -> None:
        self.bits, self.block = bits, block
        self.report = Report(f"int{bits}")

    def quantize(self, weight: np.ndarray, name: str, bits: int | None = None) -> Quantized:
        """The weight [rows, width] in this format's blocks."""
        bits = bits or self.bits
        return quantize_blocks(weight, bits, choose_block(weight.shape[1], self.block), name)

    def linear(self, graph, x, weight, name, bias=None) -> str:
        quantized = self.quantize(weight, name)
        packed, scales = self._write(graph, quantized, f"{name}.weight")
        y = _matmul_bits(graph, x, quantized, packed, scales, self.half)
        return y if bias is None else graph.node("Add", y, graph.weight(bias, f"{name}.bias"))

    def table(self, graph, rows, name, head=True) -> _BlockTable:
        # An embedding that no head shares is read 8 rows a step, so it may keep 8 bits.
        quantized = self.quantize(rows, name, None if head else EMBEDDING_BITS)
        return _BlockTable(graph, quantized, *self._write(graph, quantized, name), self.half)

    def _write(self, graph: Graph, quantized: Quantized, name: str) -> tuple[str, str]:
        packed, scales = quantized.packed(), quantized.scales
        if self.half:
            scales = _half(scales)
        self.report.add(
            name, f"int{quantized.bits}", quantized, packed.nbytes + scales.nbytes
        )
        packed = packed.reshape(*scales.shape, -1)
        return graph.weight(packed, name), graph.weight(scales, f"{name}.scale")


@dataclass
class _BlockTable:
    graph: Graph
    quantized: Quantized
    packed: str
    scales: str
    half: bool

    def gather(self, ids: str) -> str:
        """Rows [..., width] of the table, in fp32."""
        graph, quantized = self.graph, self.quantized
        # The operator wants the same bytes with one dimension less.
        data = graph.alias(self.packed, f"{self.packed}.rows", [quantized.values.shape[0], -1])
        rows = graph.node(
            "GatherBlockQuantized", data, ids, self.scales, domain=MICROSOFT,
            bits=quantized.bits, block_size=quantized.block, gather_axis=0, quantize_axis=1,
        )
        return _unpadded(graph, _cast(graph, rows) if self.half else rows, quantized)

    def head(self, x: str) -> str:
        """x [n, width] times every row: [n, rows]."""
        return _matmul_bits(
            self.graph, x, self.quantized, self.packed, self.scales, self.half
        )


def _matmul_bits(
    graph: Graph, x: str, quantized: Quantized, packed: str, scales: str, half: bool
) -> str:
    size = {"K": quantized.width, "N": quantized.values.shape[0]}
    whole = quantized.block == LINEAR4_BLOCK and quantized.width % LINEAR4_BLOCK == 0
    if quantized.bits == 4 and whole and not half:
        return graph.call(LINEAR4, x, packed, scales, **size)
    y = graph.node(
        "MatMulNBits", _cast(graph, x, TensorProto.FLOAT16) if half else x, packed, scales,
        domain=MICROSOFT, **size,
        bits=quantized.bits, block_size=quantized.block, accuracy_level=ACCURACY_INT8,
    )
    return _cast(graph, y) if half else y


class HalfBlocks(Blocks):
    """The same for CUDA: products of fp16, which are fast there, and scales of it, too."""

    half = True


class PortableBlocks(Blocks):
    """Standard operators. A table is held twice, in bits both times: transposed for the head, as
    the fusion to MatMulNBits wants it, and by rows for gathering."""

    def linear(self, graph, x, weight, name, bias=None) -> str:
        y = self.product(graph, x, self.quantize(weight, name), f"{name}.weight")
        return y if bias is None else graph.node("Add", y, graph.weight(bias, f"{name}.bias"))

    def table(self, graph, rows, name, head=True):
        bits = None if head else EMBEDDING_BITS
        return _PortableTable(self, graph, self.quantize(rows, name, bits), name)

    def product(self, graph: Graph, x: str, quantized: Quantized, name: str) -> str:
        """x [..., width] times the weight's rows: [..., rows]."""
        values = np.ascontiguousarray(quantized.values.T)
        scales = np.ascontiguousarray(quantized.scales.T)
        if quantized.bits == 4:
            shape, values = list(values.shape), _pack_signed(values)
            weight = graph.weight(values, name, TensorProto.INT4, shape)
        else:
            weight = graph.weight(values, name)
        size = values.nbytes + scales.nbytes
        self.report.add(name, f"int{quantized.bits}", quantized, size)
        weight = graph.node(
            "DequantizeLinear", weight, graph.weight(scales, f"{name}.scale"),
            axis=0, block_size=quantized.block,
        )
        return graph.node("MatMul", _widened(graph, x, quantized), weight)


BLOCKS = {"fused": Blocks, "cuda": HalfBlocks, "portable": PortableBlocks}


@dataclass
class _PortableTable:
    format: PortableBlocks
    graph: Graph
    quantized: Quantized
    name: str

    def gather(self, ids: str) -> str:
        """Rows [..., width] of the table, in fp32."""
        graph, quantized = self.graph, self.quantized
        rows, middle = self._rows(), float(1 << (quantized.bits - 1))
        rows = graph.node("Gather", rows, ids, axis=0)
        if quantized.bits == 4:
            low = graph.node("BitwiseAnd", rows, graph.const(15, np.uint8))
            high = graph.node("BitShift", rows, graph.const(4, np.uint8), direction="RIGHT")
            rows = graph.node("Concat", low, high, axis=-1)
        rows = graph.node("Sub", _cast(graph, rows), graph.floats(middle))
        scales = graph.node("Gather", f"{self.name}.scale", ids, axis=0)
        blocks = graph.const(np.arange(quantized.values.shape[1]) // quantized.block)
        rows = graph.node("Mul", rows, graph.node("Gather", scales, blocks, axis=-1))
        return _unpadded(graph, rows, quantized)

    def _rows(self) -> str:
        """uint8 by rows; at 4 bits the low nibbles are the first half of a row."""
        quantized, half = self.quantized, self.quantized.values.shape[1] // 2
        rows, scales = quantized.unsigned(), quantized.scales
        if quantized.bits == 4:
            rows = rows[:, :half] | (rows[:, half:] << 4)
        size = rows.nbytes + scales.nbytes
        self.format.report.add(self.name, f"int{quantized.bits}", quantized, size)
        self.graph.weight(scales, f"{self.name}.scale")
        return self.graph.weight(rows, self.name)

    def head(self, x: str) -> str:
        """x [n, width] times every row: [n, rows]."""
        return self.format.product(self.graph, x, self.quantized, f"{self.name}.head")


def _pack_signed(values: np.ndarray) -> np.ndarray:
    """int8 in [-8, 7] as ONNX packs int4: by flat order, low nibble first."""
    flat = values.reshape(-1).astype(np.uint8) & 15
    return pack_nibbles(np.append(flat, np.uint8(0)) if flat.size % 2 else flat)


def _widened(graph: Graph, x: str, quantized: Quantized) -> str:
    """x [..., width] with the zeros that the quantised weight has behind its width."""
    missing = quantized.values.shape[1] - quantized.width
    if not missing:
        return x
    return graph.node("Pad", x, graph.const([0, missing]), "", graph.const([-1]))


def _unpadded(graph: Graph, rows: str, quantized: Quantized) -> str:
    if quantized.width == quantized.values.shape[1]:
        return rows
    return graph.slice(rows, 0, quantized.width, axis=-1)


def _cast(graph: Graph, x: str, to: int = TensorProto.FLOAT) -> str:
    return graph.node("Cast", x, to=to)

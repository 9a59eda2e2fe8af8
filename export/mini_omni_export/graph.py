"""Building an ONNX graph node by node, its weights going straight to disk.

Nodes live in memory, tensors in `<name>.onnx.data`, written as they are added; so the export of a
large model needs little more memory than its largest tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from .checkpoint import is_finite
from .errors import ExportError

OPSET = 21
IR_VERSION = 10
MICROSOFT = "com.microsoft"
OWN = "mini_omni"  # functions of plain operators, for which the runtime may have one kernel
FUNCTIONS: dict[str, onnx.FunctionProto] = {}  # those of `functions`, by name
INLINE_BYTES = 1024  # smaller tensors stay in the graph, where shape inference can read them
ALIGNMENT = 64
END = np.iinfo(np.int64).max  # of a slice
DTYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16,
          "int64": TensorProto.INT64, "int32": TensorProto.INT32}

Shape = list  # of int (fixed) and str (varies)


class Float32:
    """Weights as they are; `formats` has the smaller ones."""

    report = None  # of what was lost
    eight_bits = False  # whether attention and convolutions may lose as much as the products

    def linear(
        self, graph: Graph, x: str, weight: np.ndarray, name: str, bias: np.ndarray | None = None
    ) -> str:
        """x W^T + b for a weight [out, in]."""
        y = graph.node("MatMul", x, graph.weight(weight.T, f"{name}.weight"))
        return y if bias is None else graph.node("Add", y, graph.weight(bias, f"{name}.bias"))

    def linear_gelu(
        self, graph: Graph, x: str, weight: np.ndarray, name: str, bias: np.ndarray
    ) -> str:
        """GELU of x W^T + b."""
        return graph.node("Gelu", self.linear(graph, x, weight, name, bias))

    def packed8(
        self, graph: Graph, weight: np.ndarray, name: str, bias: np.ndarray | None = None
    ) -> list[str]:
        """A weight [out, in] in 8 bits, as our kernels take it: values, scales and bias. Nothing
        where the format has no such weights, or the layer is of other sizes."""
        return []

    def table(self, graph: Graph, rows: np.ndarray, name: str, head: bool = True) -> Table:
        """Rows [n, width] to gather from, and with `head` to multiply with."""
        return Table(graph, graph.weight(rows, name))


@dataclass
class Table:
    """An embedding and a head over the same rows."""

    graph: Graph
    name: str

    def gather(self, ids: str) -> str:
        """Rows [..., width] for ids [...]."""
        return self.graph.node("Gather", self.name, ids, axis=0)

    def head(self, x: str) -> str:
        """x [n, width] times every row: [n, rows]."""
        return self.graph.node("Gemm", x, self.name, transB=1)


@dataclass
class Branch:
    """The inside of a branch of an If."""

    nodes: list[onnx.NodeProto]
    initializers: list[onnx.TensorProto]

    def graph(self, name: str, output: onnx.ValueInfoProto) -> onnx.GraphProto:
        """The subgraph; it has no inputs and sees all that is around it."""
        return helper.make_graph(self.nodes, name, [], [output], self.initializers)


class Graph:
    """One graph being written to `folder/name.onnx` and `folder/name.onnx.data`."""

    def __init__(self, folder: Path, name: str, progress: Callable[[str, int], None]) -> None:
        self.folder = folder
        self.name = name
        self.progress = progress
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.inputs: list[dict[str, Any]] = []
        self.outputs: list[dict[str, Any]] = []
        self.constants: dict[tuple, str] = {}
        self.count = 0
        self.bytes = 0  # of all tensors of the model
        self.tensors: dict[str, onnx.TensorProto] = {}
        self.functions: dict[str, onnx.FunctionProto] = {}
        self.format = Float32()
        self.data = open(folder / f"{name}.onnx.data", "wb")  # noqa: SIM115, closed by save()

    def input(self, name: str, dtype: str, shape: Shape) -> str:
        """Declares an input; returns its name."""
        self.inputs.append({"name": name, "dtype": dtype, "shape": shape})
        return name

    def output(self, value: str, name: str, dtype: str, shape: Shape) -> None:
        """Makes `value` the output `name`."""
        if value != name:
            self.nodes.append(helper.make_node("Identity", [value], [name], name=f"out_{name}"))
        self.outputs.append({"name": name, "dtype": dtype, "shape": shape})

    def weight(
        self, array: np.ndarray, name: str, kind: int | None = None, shape: Shape | None = None
    ) -> str:
        """Adds a tensor of the model, written to the data file unless it is tiny.

        `kind` and `shape` are for types that numpy lacks: `array` then holds their bytes. Raises
        ExportError for a value that is not finite.
        """
        array = np.ascontiguousarray(array)
        if array.dtype.kind == "f" and not is_finite(array):
            raise ExportError(
                f"{name} holds values that are not finite numbers as {array.dtype}, so the model "
                "would say nothing; the checkpoint is damaged, or too large for this precision"
            )
        kind = kind or helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor = TensorProto(name=name, data_type=kind, dims=shape or array.shape)
        if array.nbytes < INLINE_BYTES:
            tensor.raw_data = array.tobytes()
        else:
            self._external(array, tensor)
        self.initializers.append(tensor)
        self.tensors[name] = tensor
        self.bytes += array.nbytes
        self.progress(name, array.nbytes)
        return name

    def _external(self, array: np.ndarray, tensor: onnx.TensorProto) -> None:
        padding = -self.data.tell() % ALIGNMENT
        self.data.write(b"\0" * padding)
        offset = self.data.tell()
        array.tofile(self.data)
        tensor.data_location = TensorProto.EXTERNAL
        location = {"location": f"{self.name}.onnx.data", "offset": offset, "length": array.nbytes}
        for key, value in location.items():
            tensor.external_data.add(key=key, value=str(value))

    def alias(self, of: str, name: str, shape: list[int]) -> str:
        """The bytes of the tensor `of` once more under another name and shape; in the data file
        they are there once. -1 in `shape` takes the rest."""
        tensor = TensorProto()
        tensor.CopyFrom(self.tensors[of])
        tensor.name = name
        del tensor.dims[:]
        tensor.dims.extend(np.empty(self.tensors[of].dims, np.bool_).reshape(shape).shape)
        self.initializers.append(tensor)
        return name

    @contextmanager
    def branch(self) -> Iterator[Branch]:
        """What is added inside goes into a subgraph: yields a holder of its nodes and tensors.

        Its tensors are its own, because ONNX Runtime's fusions do not look for them outside.
        """
        outer = self.nodes, self.initializers, self.constants
        inner = Branch([], [])
        self.nodes, self.initializers = inner.nodes, inner.initializers
        self.constants = dict(self.constants)  # one made inside is not seen outside
        try:
            yield inner
        finally:
            self.nodes, self.initializers, self.constants = outer

    def const(self, value: Any, dtype: type = np.int64) -> str:
        """A small constant; equal ones are shared."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            self.count += 1
            name = f"const_{self.count}"
            self.initializers.append(onnx.numpy_helper.from_array(array, name))
            self.constants[key] = name
        return self.constants[key]

    def floats(self, value: Any) -> str:
        """A small float32 constant."""
        return self.const(value, np.float32)

    def node(self, op: str, *inputs: str, outputs: Any = 1, domain: str = "", **attributes) -> Any:
        """Adds a node; returns its output's name, or a list when `outputs` is a number over 1 or a
        list of names ("" for an output that is not wanted)."""
        self.count += 1
        if isinstance(outputs, int):
            names = [f"{op}_{self.count}" + (f"_{i}" if i else "") for i in range(outputs)]
        else:
            names = list(outputs)
        self.nodes.append(
            helper.make_node(
                op, list(inputs), names, name=f"{op}_{self.count}", domain=domain, **attributes
            )
        )
        return names[0] if len(names) == 1 else names

    def call(self, function: onnx.FunctionProto, *inputs: str, **attributes: Any) -> Any:
        """Adds a node that calls one of `functions`; returns what `node` does."""
        self._know(function)
        return self.node(function.name, *inputs, domain=OWN, **attributes)

    def _know(self, function: onnx.FunctionProto) -> None:
        """A function goes into the file with all that it calls itself."""
        self.functions[function.name] = function
        for node in function.node:
            if node.domain == OWN:
                self._know(FUNCTIONS[node.op_type])

    def linear(self, x: str, weight: np.ndarray, name: str, bias: np.ndarray | None = None) -> str:
        """x W^T + b, for a weight [out, in] as checkpoints hold it, in the graph's format."""
        return self.format.linear(self, x, weight, name, bias)

    def linear_gelu(self, x: str, weight: np.ndarray, name: str, bias: np.ndarray) -> str:
        """GELU of that."""
        return self.format.linear_gelu(self, x, weight, name, bias)

    def packed8(self, weight: np.ndarray, name: str, bias: np.ndarray | None = None) -> list[str]:
        """What `Float32.packed8` says, in the graph's format."""
        return self.format.packed8(self, weight, name, bias)

    def slice(self, value: str, start: Any, end: Any, axis: int | list[int]) -> str:
        """value[start:end] along `axis`, or lists of each for several axes; bounds are numbers or
        names of int64 [1] tensors."""
        bounds = (b if isinstance(b, str) else self.const(np.atleast_1d(b)) for b in (start, end))
        return self.node("Slice", value, *bounds, self.const(np.atleast_1d(axis)))

    def reshape(self, value: str, shape: list[int]) -> str:
        """Reshape; 0 keeps a dimension, -1 takes the rest."""
        return self.node("Reshape", value, self.const(shape))

    def save(self) -> dict[str, Any]:
        """Writes the graph; returns its entry for the manifest."""
        self.data.close()
        if not (self.folder / f"{self.name}.onnx.data").stat().st_size:
            (self.folder / f"{self.name}.onnx.data").unlink()
        graph = helper.make_graph(
            self.nodes, self.name, [_info(v) for v in self.inputs],
            [_info(v) for v in self.outputs], self.initializers,
        )
        functions = list(self.functions.values())
        called = [node for function in functions for node in function.node]
        model = helper.make_model(
            graph, functions=functions, opset_imports=opsets([*self.nodes, *called]),
            ir_version=IR_VERSION, producer_name="mini_omni_export",
        )
        (self.folder / f"{self.name}.onnx").write_bytes(model.SerializeToString(deterministic=True))
        return {"file": f"{self.name}.onnx", "inputs": self.inputs, "outputs": self.outputs}


def opsets(nodes: list[onnx.NodeProto]) -> list[onnx.OperatorSetIdProto]:
    """The operator sets of these nodes' domains."""
    domains = {"", *(node.domain for node in nodes)}
    return [helper.make_opsetid(d, OPSET if d == "" else 1) for d in sorted(domains)]


def _info(value: dict[str, Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(value["name"], DTYPES[value["dtype"]], value["shape"])

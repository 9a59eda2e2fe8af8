"""Building an ONNX graph node by node, its weights going straight to disk.

Nodes live in memory, tensors in `<name>.onnx.data`, written as they are added; so the export of a
large model needs little more memory than its largest tensor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import numpy as np
import onnx
from onnx import TensorProto, helper

OPSET = 21
IR_VERSION = 10
MICROSOFT = "com.microsoft"
INLINE_BYTES = 1024  # smaller tensors stay in the graph, where shape inference can read them
ALIGNMENT = 64
DTYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16,
          "int64": TensorProto.INT64, "int32": TensorProto.INT32}

Shape = list  # of int (fixed) and str (varies)


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
        self.data = open(folder / f"{name}.onnx.data", "wb")

    def input(self, name: str, dtype: str, shape: Shape) -> str:
        """Declares an input; returns its name."""
        self.inputs.append({"name": name, "dtype": dtype, "shape": shape})
        return name

    def output(self, value: str, name: str, dtype: str, shape: Shape) -> None:
        """Makes `value` the output `name`."""
        if value != name:
            self.nodes.append(helper.make_node("Identity", [value], [name], name=f"out_{name}"))
        self.outputs.append({"name": name, "dtype": dtype, "shape": shape})

    def weight(self, array: np.ndarray, name: str) -> str:
        """Adds a tensor of the model, written to the data file unless it is tiny."""
        array = np.ascontiguousarray(array)
        if array.nbytes < INLINE_BYTES:
            self.initializers.append(onnx.numpy_helper.from_array(array, name))
        else:
            self.initializers.append(self._external(array, name))
        self.progress(name, array.nbytes)
        return name

    def _external(self, array: np.ndarray, name: str) -> onnx.TensorProto:
        padding = -self.data.tell() % ALIGNMENT
        self.data.write(b"\0" * padding)
        offset = self.data.tell()
        array.tofile(self.data)
        tensor = TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(array.dtype))
        tensor.dims.extend(array.shape)
        tensor.data_location = TensorProto.EXTERNAL
        location = {"location": f"{self.name}.onnx.data", "offset": offset, "length": array.nbytes}
        for key, value in location.items():
            tensor.external_data.add(key=key, value=str(value))
        return tensor

    def const(self, value: Any, dtype: type = np.int64) -> str:
        """A small constant; equal ones are shared."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            name = f"const_{len(self.constants)}"
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

    def linear(self, x: str, weight: np.ndarray, name: str, bias: np.ndarray | None = None) -> str:
        """x W^T + b, for a weight [out, in] as checkpoints hold it."""
        y = self.node("MatMul", x, self.weight(weight.T, f"{name}.weight"))
        if bias is None:
            return y
        return self.node("Add", y, self.weight(bias, f"{name}.bias"))

    def slice(self, value: str, start: Any, end: Any, axis: int) -> str:
        """value[start:end] along `axis`; bounds are numbers or names of int64 [1] tensors."""
        start, end = (b if isinstance(b, str) else self.const([b]) for b in (start, end))
        return self.node("Slice", value, start, end, self.const([axis]))

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
        opsets = [helper.make_opsetid("", OPSET)]
        if any(node.domain == MICROSOFT for node in self.nodes):
            opsets.append(helper.make_opsetid(MICROSOFT, 1))
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="mini_omni_export"
        )
        (self.folder / f"{self.name}.onnx").write_bytes(model.SerializeToString(deterministic=True))
        return {"file": f"{self.name}.onnx", "inputs": self.inputs, "outputs": self.outputs}


def _info(value: dict[str, Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(value["name"], DTYPES[value["dtype"]], value["shape"])

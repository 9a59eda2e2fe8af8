"""A graph as ONNX Runtime places its nodes: functions put in, types and shapes known."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper, inliner, shape_inference

TYPED_BY = {"GatherBlockQuantized": 2}  # its scales


class Inlined:
    """A graph without functions, with the type and shape of each value."""

    def __init__(self, path: Path) -> None:
        self.model = inliner.inline_local_functions(onnx.load(path))
        self.constants = {tensor.name: tensor for tensor in self.model.graph.initializer}
        self._infer()
        while self._tell_types():
            self._infer()

    def _infer(self) -> None:
        self.model = shape_inference.infer_shapes(self.model, data_prop=True)
        graph = self.model.graph
        known = [*graph.input, *graph.value_info, *graph.output]
        self.values = {value.name: value.type.tensor_type for value in known}

    def _tell_types(self) -> bool:
        """Writes down the outputs that ONNX cannot tell, those of ONNX Runtime's own operators: of
        the type of the input in TYPED_BY, or of the first. Whether there was any."""
        told = False
        for node in self.model.graph.node:
            given = [name for name in node.input if name]
            if not given or not all(map(self._is_known, given)):
                continue
            source = node.input[TYPED_BY.get(node.op_type, 0)]
            number = TensorProto.DataType.Value(self.type(source).upper())
            for output in node.output:
                if output and not self._is_known(output):
                    value = helper.make_tensor_value_info(output, number, None)
                    self.model.graph.value_info.append(value)
                    told = True
        return told

    def _is_known(self, name: str) -> bool:
        return name in self.constants or name in self.values

    def type(self, name: str) -> str:
        if name in self.constants:
            number = self.constants[name].data_type
        else:
            number = self.values[name].elem_type
        return TensorProto.DataType.Name(number).lower()

    def shape(self, name: str) -> list[int]:
        """Dimensions; 0 where it varies."""
        if name in self.constants:
            return list(self.constants[name].dims)
        return [dimension.dim_value for dimension in self.values[name].shape.dim]

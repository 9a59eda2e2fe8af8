"""The portable profile, held against what ONNX Runtime's CoreML provider says that it takes.

No Mac runs here. `coreml_operators.json` is the provider's documentation as data; what it does not
take is computed by the CPU, and LEFT names all of that, with the reason. A graph may be cut there:
PARTS says into how many pieces, as ONNX Runtime's own check for mobile devices counts them.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import onnx
import pytest
from inlined import Inlined
from runtime import onnxruntime, usability_checker

from mini_omni_export.cli import main

RULES = json.loads((Path(__file__).parent / "coreml_operators.json").read_text())
DOCUMENT = "coreml_supported_mlprogram_ops.md"
FLOATS = ["float", "float16"]
MASKS = "which positions lie in the clip, from three integers: before the first layer"
TABLES = "rows of tables by ids, and the arithmetic of ids: before the first layer"
HEADS = "a head is skipped where no row needs it; at full size its rows are over the limit anyway"
ENCODING = "ids of codes; no answer needs this graph"
LEFT = {
    "encoder": {
        "Slice constant": "the positions of a clip, however long: one cut behind the convolutions",
    },
    "decoder": {
        "Gather operator": TABLES, "Slice type": TABLES, "Add type": TABLES,
        "If operator": HEADS, "Greater operator": HEADS, "Shape type": HEADS,
        "Squeeze type": HEADS,
    },
    "codec_decoder": {
        "Gather operator": TABLES, "Expand operator": "codes of coarse levels, repeated",
        "Constant operator": "a number in a function",
        **dict.fromkeys([
            "Shape type", "Squeeze type", "Mul type", "Sub type", "Add type", "Range operator",
            "GreaterOrEqual operator", "Less operator",
        ], MASKS),
    },
    "codec_encoder": dict.fromkeys([
        "Gather operator", "Expand operator", "Identity type", "AveragePool rank",
    ], ENCODING),
}
PARTS = {"encoder": 1, "decoder": 5, "codec_decoder": 2, "codec_encoder": 6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("coreml") / "model"
    assert main(["--random", "tiny", "--profile", "portable", "--out", str(out)]) == 0
    return out


def refusal(graph: Inlined, node: onnx.NodeProto) -> str | None:
    """Why the provider does not take a node."""
    limits = RULES["operators"].get(node.op_type) if node.domain == "" else None
    if limits is None:
        return "operator"
    types, first = limits.get("types", FLOATS), node.input[0]
    if "any" not in types and graph.type(first) not in types:
        return "type"
    given = dict(enumerate(filter(None, node.input)))
    if any(given[i] not in graph.constants for i in limits.get("constant", ()) if i in given):
        return "constant"
    shapes = [graph.shape(name) for name in given.values()]
    if len(shapes[0]) not in limits.get("ranks", range(RULES["largest_rank"] + 1)):
        return "rank"
    if max(map(len, shapes)) > RULES["largest_rank"]:
        return "rank"
    if max(map(max, filter(None, shapes)), default=0) > RULES["largest_dimension"]:
        return "dimension"
    return None


@pytest.mark.parametrize("name", LEFT)
def test_only_what_is_named_is_left_to_the_cpu(folder, name):
    graph = Inlined(folder / f"{name}.onnx")
    refused = [(node.op_type, refusal(graph, node)) for node in graph.model.graph.node]
    left = Counter(f"{operator} {why}" for operator, why in refused if why)
    print(f"{name}: {sum(left.values())} of {len(refused)} are left to the CPU: {dict(left)}")
    assert set(left) == set(LEFT[name])


@pytest.mark.parametrize("name", PARTS)
def test_a_graph_is_cut_into_as_few_pieces_as_known(folder, name):
    model = Inlined(folder / f"{name}.onnx").model
    found = usability_checker.check_coreml_partitions(model, False, DOCUMENT)
    assert found.num_partitions == PARTS[name]


def test_the_list_is_that_of_the_onnxruntime_in_use():
    assert RULES["onnxruntime"] == onnxruntime.__version__
    lines = Path(usability_checker.__file__).with_name(DOCUMENT).read_text().splitlines()
    named = {line.split("|")[1] for line in lines if line.startswith("|ai.onnx:")}
    assert {f"ai.onnx:{name}".lower() for name in RULES["operators"]} == set(map(str.lower, named))

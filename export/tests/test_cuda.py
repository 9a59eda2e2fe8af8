"""The graphs that a GPU computes, held against the kernels that ONNX Runtime's CUDA provider has.

No GPU runs here. `cuda_operators.json` is the provider's documentation as data. A node without a
kernel would be computed by the processor, its values copied off the device and back in every step;
LEFT names all of those, by profile. The cuda profile has none, nor an If, which CUDA graphs refuse.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import Decoding, ModelFolder
from inlined import Inlined
from runtime import onnxruntime

from mini_omni_export.cli import main

RULES = json.loads((Path(__file__).parent / "cuda_operators.json").read_text())
SKETCHES = ["likeliest", "mover", "features"]
ROOT = Path(__file__).parents[2]
EXPORTS = {
    "fp16": ["--profile", "cuda", "--precision", "fp16"],
    "int8": ["--profile", "cuda", "--precision", "int8"],
    "int4": ["--profile", "cuda", "--precision", "int4"],
    "fp32": ["--profile", "portable"],
    "fused": ["--profile", "fused", "--precision", "int4"],
}
LEFT = {
    ("fused", "encoder"): {"DynamicQuantizeLinear", "MatMulInteger uint8"},
    ("fused", "decoder"): {"GroupQueryAttention float"},
    ("fused", "codec_decoder"): {"DynamicQuantizeLinear", "MatMulInteger uint8"},
}
GRAPHS = ["encoder", "decoder", "codec_decoder"]
HALF_TOLERANCE = 0.01  # of the largest logit, in fp16
BITS_TOLERANCE = 1.2  # times what the fused profile loses in 4 bits


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    at = tmp_path_factory.mktemp("cuda")
    for name, options in EXPORTS.items():
        assert main(["--random", "tiny", *options, "--out", str(at / name)]) == 0
    return {name: at / name for name in EXPORTS}


def without_kernel(graph: Inlined, node: onnx.NodeProto) -> str | None:
    """The operator, and its type where that is what is missing."""
    types = RULES["operators"].get(node.domain, {}).get(node.op_type)
    if types is None:
        return node.op_type
    if "any" in types or not node.input or graph.type(node.input[0]) in types:
        return None
    return f"{node.op_type} {graph.type(node.input[0])}"


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("export", EXPORTS)
def test_only_what_is_named_is_left_to_the_processor(folders, export, name):
    graph = Inlined(folders[export] / f"{name}.onnx")
    left = Counter(filter(None, (without_kernel(graph, node) for node in graph.model.graph.node)))
    print(f"{export}, {name}: {dict(left)}")
    assert set(left) == LEFT.get((export, name), set())


@pytest.mark.parametrize("export", ["fp16", "int8", "int4"])
def test_a_step_can_be_recorded_as_a_cuda_graph(folders, export):
    nodes = Inlined(folders[export] / "decoder.onnx").model.graph.node
    assert not {"If", "Loop", "Scan"} & {node.op_type for node in nodes}


@pytest.mark.parametrize("name", SKETCHES)
def test_the_graphs_that_the_runtime_makes_itself_have_kernels(name):
    source = (ROOT / "src" / "graph" / f"{name}.rs").read_text()
    used = set(re.findall(r'\.node\("(\w+)"', source))
    assert used and used <= set(RULES["operators"][""])


def logits(folder: Path) -> np.ndarray:
    """What a model says of text behind a prompt, a piece of another and a step."""
    decoding = Decoding(ModelFolder(folder), rows=1, capacity=16)
    for n in (9, 2, 1):
        text, _ = decoding(np.arange(8 * n).reshape(1, 8, n) % 100)
    return text


def test_a_cuda_model_says_what_the_exact_one_says(folders):
    exact, half, bits, cuda_bits = (
        logits(folders[name]) for name in ("fp32", "fp16", "fused", "int4")
    )
    assert np.abs(exact - half).max() < HALF_TOLERANCE * np.abs(exact).max()
    # In 4 bits both lose the same.
    lost, lost_on_cuda = (np.abs(exact - said).mean() for said in (bits, cuda_bits))
    assert lost_on_cuda < BITS_TOLERANCE * lost


@pytest.mark.parametrize(("options", "why"), [
    (["--precision", "fp32"], "attention on CUDA is in fp16"),
    (["--precision", "int8", "--decoder-precision", "fp32"], "attention on CUDA is in fp16"),
    (["--decoder-precision", "int4"], "give --precision int4 in its place"),
    (["--precision", "fp16", "--codec-precision", "int8"], "CUDA has no kernels for the codec"),
])
def test_what_cuda_does_not_compute_is_refused(tmp_path, capsys, options, why):
    out = tmp_path / "model"
    assert main(["--random", "tiny", "--profile", "cuda", *options, "--out", str(out)]) == 2
    assert why in capsys.readouterr().err and not out.exists()


def test_the_list_is_that_of_the_onnxruntime_in_use():
    assert RULES["onnxruntime"] == onnxruntime.__version__

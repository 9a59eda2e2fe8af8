"""Quantised exports held against the exact one by `mini-omni compare`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import ROOT

from mini_omni_export.cli import main

BINARY = ROOT / "target" / "release" / "mini-omni"
EXACT = ROOT / "onnx" / "tiny-random"
QUESTION = ROOT / "tests" / "fixtures" / "audio" / "output1.wav"


def compare(model: Path, *more: str, reference: Path = EXACT) -> tuple[int, dict]:
    """Exit code and report."""
    command = [BINARY, "compare", model, "--reference", reference, QUESTION, "--json", "-", *more]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def halve(path: Path, name: str, dtype: type) -> None:
    """Halves the values of a graph's tensor, in its data file."""
    graph = onnx.load(path, load_external_data=False).graph
    tensor = next(t for t in graph.initializer if t.name == name)
    where = {entry.key: entry.value for entry in tensor.external_data}
    data = np.memmap(
        path.parent / where["location"],
        dtype=dtype,
        mode="r+",
        offset=int(where["offset"]),
        shape=(int(where["length"]) // np.dtype(dtype).itemsize,),
    )
    data /= 2
    data.flush()


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> dict[str, dict]:
    """What the comparison says of each precision."""
    folder, reports = tmp_path_factory.mktemp("models"), {}
    for precision in ["fp32", "int8", "int4"]:
        out = folder / precision
        assert main(["--random", "tiny", "--precision", precision, "--out", str(out)]) == 0
        reports[precision] = compare(out)[1]
    return reports


def test_fewer_bits_are_further_from_the_reference(reports):
    assert reports["fp32"]["agreement"] > 0.99
    assert reports["int8"]["candidate"]["precision"]["decoder"] == "int8"
    asked = {precision: report["inputs"][0] for precision, report in reports.items()}
    for kind in ["text", "audio"]:
        nats = {p: a["teacher_forced"]["logits"][kind]["kl_nats"] for p, a in asked.items()}
        assert nats["fp32"] < nats["int8"] < nats["int4"] < 1
    cosine = {p: a["features"]["cosine"] for p, a in asked.items()}
    assert cosine["fp32"] >= cosine["int8"] > 0.9


def test_the_exit_code_tells_too_little_agreement(reports, tmp_path):
    main(["--random", "tiny", "--precision", "int4", "--out", str(tmp_path / "model")])
    share = reports["int4"]["agreement"]
    assert compare(tmp_path / "model", "--min-agreement", str(share * 0.9))[0] == 0
    assert compare(tmp_path / "model", "--min-agreement", str(min(1, share + 0.01)))[0] == 1


def test_halved_scales_of_one_4_bit_tensor_are_located(tmp_path):
    whole, damaged = tmp_path / "whole", tmp_path / "damaged"
    main(["--random", "tiny", "--precision", "int4", "--out", str(whole)])
    shutil.copytree(whole, damaged)
    weight = "transformer.h.1.mlp.fc_2.weight"
    halve(damaged / "decoder.onnx", f"{weight}.scale", np.float32)
    _, report = compare(damaged, "--max-steps", "8", "--locate", reference=whole)
    assert report["first_fault"] == "prompt-logits"
    located = report["located"]
    assert located["graph"] == "decoder.onnx"
    assert f"{weight}.scale" in located["weights"]
    assert located["operator"] == "MatMulNBits"
    assert all(stage["error"] == 0 for stage in report["stages"][:4])


def test_4_bits_are_placed_against_the_exact_model_by_their_weights(tmp_path):
    main(["--random", "tiny", "--precision", "int4", "--out", str(tmp_path / "model")])
    _, report = compare(tmp_path / "model", "--max-steps", "8", "--locate")
    assert report["first_fault"] == "features"
    located = report["located"]
    assert located["graph"] == "encoder.onnx" and located["weights"]
    assert located["error"] < 0.5, "values of other meanings are as far apart as can be"


def test_a_damaged_product_in_16_bits_is_located(tmp_path):
    whole, damaged = tmp_path / "whole", tmp_path / "damaged"
    main(["--random", "tiny", "--precision", "fp16", "--out", str(whole)])
    shutil.copytree(whole, damaged)
    weight = "transformer.h.1.mlp.fc_2.weight"
    halve(damaged / "decoder.onnx", weight, np.float16)
    _, report = compare(damaged, "--max-steps", "8", "--locate", reference=whole)
    located = report["located"]
    assert (located["operator"], located["weights"]) == ("MatMul", [weight])

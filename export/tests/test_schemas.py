"""What the program and the exporter write, held against the schemas in docs/schemas."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import PROFILES, ROOT, TINY
from jsonschema import Draft202012Validator, ValidationError
from referencing import Registry, Resource

from mini_omni_export.cli import main

SCHEMAS = ROOT / "docs" / "schemas"
BINARY = ROOT / "target" / "release" / "mini-omni"
MODEL = ROOT / "onnx" / "tiny-random"
BUNDLED = ROOT / "onnx" / "mini-omni-small"
QUESTION = ROOT / "tests" / "fixtures" / "audio" / "output1.wav"
EVAL = ROOT / "tests" / "fixtures" / "eval"
FOLDERS = [MODEL, BUNDLED, *(TINY / profile for profile in PROFILES)]


def schema(name: str) -> dict[str, Any]:
    """A schema, which must be one itself."""
    found = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(found)
    return found


def complete(part: Any) -> Any:
    """The same schema, but a property that it does not describe is an error."""
    if isinstance(part, list):
        return [complete(each) for each in part]
    if not isinstance(part, dict):
        return part
    part = {key: complete(value) for key, value in part.items()}
    if isinstance(part.get("properties"), dict) and "required" in part:
        part.setdefault("additionalProperties", False)
    return part


def hold(name: str, value: dict[str, Any]) -> None:
    """`value` fits its schema, and the schema describes all of it."""
    names = [path.name for path in SCHEMAS.glob("*.json")]
    schemas = [(n, complete(schema(n.removesuffix(".schema.json")))) for n in names]
    registry = Registry().with_resources((n, Resource.from_contents(s)) for n, s in schemas)
    Draft202012Validator(complete(schema(name)), registry=registry).validate(value)


def run(command: str, *arguments: str | Path) -> dict[str, Any]:
    """The JSON that a command writes to standard output."""
    line = [BINARY, command, MODEL, *arguments]
    done = subprocess.run([str(part) for part in line], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.name)
def test_a_schema_is_one_and_explains_itself(path):
    found = schema(path.name.removesuffix(".schema.json"))
    assert found["description"] and found["title"]


@pytest.mark.parametrize(
    "arguments",
    [
        [QUESTION],
        [QUESTION, "--task", "a1t1"],
        ["--text", "What is your name?"],
        ["--text", "What is your name?", "--task", "t1t2"],
    ],
    ids=["spoken", "transcribed", "written", "silent"],
)
def test_a_trace_fits_its_schema(arguments):
    hold("trace", run("ask", *arguments, "--max-steps", "12", "--trace", "-"))


@pytest.mark.parametrize(
    "arguments",
    [[], ["--task", "a1t2"], ["--conversations", "1", "--seconds", "1"]],
    ids=["speech", "text", "conversations"],
)
def test_a_bench_fits_its_schema(arguments):
    report = run("bench", "--rounds", "1", "--steps", "8", "--json", "-", *arguments)
    hold("bench", report)


def test_a_comparison_fits_its_schema(tmp_path):
    other = tmp_path / "model"
    assert main(["--random", "tiny", "--precision", "int4", "--out", str(other)]) == 0
    asked = [QUESTION, "--max-steps", "8", "--json", "-"]
    for reference in (MODEL, other):
        hold("comparison", run("compare", "--reference", reference, "--locate", *asked))


def test_a_recording_and_what_is_held_against_it_fit_their_schemas(tmp_path):
    folder, gates = tmp_path / "recording", tmp_path / "gates.toml"
    asked = [QUESTION, "--text", "Hello", "--max-steps", "8"]
    line = [BINARY, "record", MODEL, *asked, "--out", folder]
    subprocess.run([str(part) for part in line], check=True, capture_output=True)
    hold("recording", json.loads((folder / "recording.json").read_text(encoding="utf-8")))
    held = ["--reference", folder, "--gates", gates, "--json", "-"]
    hold("comparison", run("compare", *held, "--calibrate"))


@pytest.mark.parametrize(
    ("data", "more"),
    [
        ("LibriSpeech", []),
        ("questions.jsonl", []),
        ("questions.jsonl", ["--task", "a1a2", "--judge", "echo eight"]),
    ],
    ids=["transcribed", "answered", "judged"],
)
def test_an_evaluation_fits_its_schemas(tmp_path, data, more):
    out = tmp_path / "lines.jsonl"
    steps = ["--max-steps", "12", "--json", "-", "--out", out]
    hold("eval", run("eval", "--data", EVAL / data, *steps, *more))
    lines = out.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 7
    for line in lines:
        hold("eval-line", json.loads(line))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_committed_manifest_fits_its_schema(folder):
    hold("manifest", json.loads((folder / "manifest.json").read_text(encoding="utf-8")))


def test_a_quantised_export_fits_its_schemas(tmp_path):
    out = tmp_path / "model"
    assert main(["--random", "tiny", "--precision", "int4", "--out", str(out)]) == 0
    for folder in (out, BUNDLED):
        for name in ("manifest", "quantization"):
            hold(name, json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "name",
    ["decoder.onnx", "a/b.data", "..data", "a..b", "über.onnx"],
)
def test_a_path_inside_the_folder_names_a_file(name):
    hold("manifest", named(name))


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../a", "a/../b", "a/..", ".", "C:a", "a\\b"])
def test_a_path_out_of_the_folder_names_none(name):
    with pytest.raises(ValidationError):
        hold("manifest", named(name))


def named(name: str) -> dict[str, Any]:
    """A manifest whose tokenizer has that name."""
    manifest = json.loads((MODEL / "manifest.json").read_text(encoding="utf-8"))
    return manifest | {"tokenizer": name}

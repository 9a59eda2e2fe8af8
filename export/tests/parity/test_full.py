"""The published model's size, random weights made on the spot: the same ids, and what it costs.

Needs 9 GB of disk in the temporary folder and about 4 GB of memory. The table that it prints
measures this runtime and the torch reference in one run, one after the other.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from pathlib import Path

import binary
import numpy as np
import pytest
from conftest import CLEAR, FIXTURES, PCM, TINY

HERE = Path(__file__).parent
QUESTION = FIXTURES / "audio" / "output1.wav"
TASK = "a1a2-batch"
MAX_STEPS = 12
EVAL_STEPS = 12  # a frame of speech needs eight
LARGEST_EXPORT = 2.5e9  # bytes of memory
PARAMETERS = 694_294_400  # of the published lit_model.pth


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Full-size random weights in the published formats, deleted behind the test."""
    folder = tmp_path_factory.mktemp("full")
    binary.run([sys.executable, HERE / "write_full.py", folder / "checkpoint"])
    tokenizer = TINY / "checkpoint" / "mini-omni" / "tokenizer.json"  # no text is asked here
    shutil.copy(tokenizer, folder / "checkpoint" / "mini-omni")
    yield folder / "checkpoint"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def exported(checkpoint):
    """Its model folder, and what the export took."""
    model = checkpoint.parent / "model"
    return model, binary.export(checkpoint, model, "fused")


def test_full_size_says_what_the_reference_says(checkpoint, exported):
    weights = checkpoint / "mini-omni" / "lit_model.pth"
    assert 0 < weights.stat().st_size - 4 * PARAMETERS < 1e6
    model, exported = exported
    result, pcm = checkpoint.parent / "result.json", checkpoint.parent / "pcm.npy"
    torch_run = [sys.executable, HERE / "torch_run.py", checkpoint, QUESTION, MAX_STEPS]
    torch_cost = binary.run([*torch_run, result, pcm])
    reference = json.loads(result.read_text())
    said = binary.ask(model, TASK, QUESTION, MAX_STEPS)
    report(exported, reference, torch_cost, said)
    assert len(set(reference["tokens"][0])) > MAX_STEPS // 2, "an answer that repeats shows little"
    unclear = [i for i, gaps in enumerate(reference["margins"]) if min(gaps) < CLEAR]
    clear = unclear[0] if unclear else None
    wanted = [stream[:clear] for stream in reference["tokens"]]
    assert [stream[:clear] for stream in said.trace["tokens"]] == wanted
    if not unclear:
        assert said.trace["ended"] == reference["ended"]
        difference = np.abs(said.pcm - np.load(pcm)).max()
        print(f"sound: {len(said.pcm)} samples, largest difference {difference:.1e}")
        assert difference < PCM
    assert exported.peak_bytes < LARGEST_EXPORT


@pytest.mark.parametrize(("data", "clips", "task"), [
    ("news.jsonl", 10, "a1t1"), ("people.jsonl", 5, "a1t2"), ("people.jsonl", 5, "a1a2-batch"),
])
def test_peoples_clips_go_through_eval_at_full_size(exported, tmp_path, data, clips, task):
    model, _ = exported
    lines, figures = tmp_path / "lines.jsonl", tmp_path / "figures.json"
    data = FIXTURES / "eval" / data
    binary.run([
        binary.BINARY, "eval", model, "--data", data, "--task", task, "--max-steps", EVAL_STEPS,
        "--answer-anything", "--out", lines, "--json", figures,
    ])
    found, said = json.loads(figures.read_text()), {}
    for line in map(json.loads, lines.read_text().splitlines()[1:]):
        said[line["id"]] = line["said"]
    assert (found["items"], len(said), found["cut"]) == (clips, clips, 0)
    # Beside the others an item is answered as alone.
    row = json.loads(data.read_text().splitlines()[0])
    alone = binary.ask(model, task, data.parent / row["audio"], EVAL_STEPS, "--answer-anything")
    assert said[row["id"]] == alone.trace["text"]


def report(exported: binary.Cost, reference: dict, torch_cost: binary.Cost, said) -> None:
    """Prints both sides' costs as a table."""
    ours = said.trace["timings_ms"]
    first = ours["first_audio"]
    rows = [
        ("encoder, with mel", ours["mel"] + ours["encoder"], 1e3 * reference["encoder_s"], "ms"),
        ("prefill", ours["prefill"], 1e3 * reference["prefill_s"], "ms"),
        ("step, median", statistics.median(ours["steps"]),
         1e3 * statistics.median(reference["steps_s"]), "ms"),
        ("first audio", first or float("nan"), 1e3 * reference["first_audio_s"], "ms"),
        ("process, start to end", 1e3 * said.cost.seconds, 1e3 * torch_cost.seconds, "ms"),
        ("peak memory", said.cost.peak_bytes / 1e6, torch_cost.peak_bytes / 1e6, "MB"),
    ]
    print(f"\n\nfull size, random weights, fp32, {TASK}, {MAX_STEPS} steps")
    print(f"{'':24}{'mini-omni':>12}{'torch':>12}")
    for name, mini_omni, torch, unit in rows:
        print(f"{name:24}{mini_omni:12.0f}{torch:12.0f} {unit}")
    print(f"export: {exported.seconds:.0f} s, peak memory {exported.peak_bytes / 1e6:.0f} MB")

"""The published sizes with random weights: export, binary and torch reference in one run.

Ids must be equal and memory within bounds; what each of them took is printed and left as
target/parity/full_size.json. The checkpoint (3 GB) and the model are made on the spot from a seed
and deleted afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import binary
import numpy as np
import pytest
from conftest import FIXTURES, PCM, ROOT, TINY
from random_checkpoint import Sizes, write_checkpoint
from test_tiny import assert_ids

SEED = 3
STEPS = 16
QUESTION = FIXTURES / "audio" / "output1.wav"
REFERENCE = Path(__file__).with_name("reference_ask.py")
FOLDER = ROOT / "target" / "parity"
EXPORT_BYTES = 2.5e9  # most memory an export may take
NEEDED_BYTES = 12e9  # of disk: checkpoint and model
ROUNDING = 1 / 32767  # of the binary's 16-bit wav
MIB = 1 << 20


@dataclass
class Run:
    """Export, reference and binary, once each."""

    export: binary.Cost
    reference: binary.Said
    said: binary.Said


@pytest.fixture(scope="module")
def run() -> Run:
    FOLDER.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(FOLDER).free < NEEDED_BYTES:
        pytest.skip(f"{FOLDER} has no {NEEDED_BYTES / 1e9:.0f} GB left")
    with tempfile.TemporaryDirectory(prefix="full-size-", dir=FOLDER) as name:
        checkpoint, model = Path(name) / "checkpoint", Path(name) / "model"
        # in a process of its own, whose memory is gone when the others are measured
        pid = os.fork()
        if pid == 0:
            os._exit(make(checkpoint))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        export = binary.export(checkpoint, model, "fused")
        return Run(
            export, ask_reference(checkpoint),
            binary.ask(model, "a1a2-batch", QUESTION, STEPS),
        )


def ask_reference(checkpoint: Path) -> binary.Said:
    with tempfile.TemporaryDirectory() as folder:
        trace, pcm = Path(folder) / "trace.json", Path(folder) / "pcm.npy"
        cost = binary.run([
            sys.executable, REFERENCE, checkpoint, QUESTION, "a1a2-batch", STEPS, trace, pcm
        ])
        return binary.Said(json.loads(trace.read_text()), np.load(pcm), cost)


def test_every_id_is_the_references(run):
    said, wanted = run.said.trace, run.reference.trace
    assert said["prompt_length"] == wanted["prompt_length"]
    assert_ids(said["tokens"], wanted["tokens"], wanted["margins"])


def test_the_sound_is_the_references(run):
    assert len(run.reference.pcm), "the answer has sound"
    difference = np.abs(run.said.pcm - run.reference.pcm.clip(-1, 1)).max()
    assert difference < PCM + ROUNDING


def test_the_export_stays_small(run):
    assert run.export.peak_bytes < EXPORT_BYTES, f"{run.export.peak_bytes / 1e9:.2f} GB"


def test_the_binary_is_faster_and_smaller_than_the_reference(run, capsys):
    table = compare(run)
    (FOLDER / "full_size.json").write_text(json.dumps(table, indent=1) + "\n")
    with capsys.disabled():
        print_table(table)
    step, memory = table["ms a step"], table["peak MiB"]
    assert step["binary"] < step["reference"]
    assert memory["binary"] < memory["reference"]


def compare(run: Run) -> dict[str, dict[str, float]]:
    """Rows of the table: what, by whom, how much."""
    table = {}
    for name, said in (("reference", run.reference), ("binary", run.said)):
        timings = said.trace["timings_ms"]
        numbers = {
            "load ms": timings["load"], "encoder ms": timings["encoder"],
            "prefill ms": timings["prefill"], "ms a step": median(timings["steps"]),
            "codec ms": timings["codec"], "first audio ms": timings["first_audio"],
            "peak MiB": said.cost.peak_bytes / MIB,
        }
        for what, number in numbers.items():
            table.setdefault(what, {})[name] = round(number, 1)
    table["export"] = {
        "seconds": round(run.export.seconds, 1), "peak MiB": round(run.export.peak_bytes / MIB)
    }
    return table


def print_table(table: dict[str, dict[str, float]]) -> None:
    print(f"\n\nfull size, fp32, {os.cpu_count()} cores, {STEPS} steps of a1a2-batch")
    print(f"{'':16}{'reference':>12}{'binary':>12}")
    for what, row in table.items():
        if what != "export":
            print(f"{what:16}{row['reference']:>12.1f}{row['binary']:>12.1f}")
    export = table["export"]
    print(f"export: {export['seconds']:.1f} s, {export['peak MiB']} MiB")


def make(checkpoint: Path) -> int:
    write_checkpoint(checkpoint, Sizes(table_std=0.1), SEED)
    shutil.copy(TINY / "checkpoint" / "mini-omni" / "tokenizer.json", checkpoint / "mini-omni")
    return 0

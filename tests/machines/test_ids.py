"""Every machine says what this one says: the bundled model's ids, question by question."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from emulate import MACHINES, run

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "onnx/mini-omni-small"
AUDIO = ROOT / "tests/fixtures/audio"
BINARIES = {
    "x86_64": ROOT / "target/release/mini-omni",
    "aarch64": ROOT / "target/aarch64-unknown-linux-gnu/release/mini-omni",
}
AT_ONCE = os.cpu_count() or 1
SHORT = ["--encoder-window", "short"]
QUESTIONS = [
    # The full window would be most of an emulated answer's time.
    [AUDIO / "capital.wav", *SHORT],
    [AUDIO / "output1.wav", *SHORT, "--task", "a1t2"],
    [AUDIO / "capital.wav", *SHORT, "--task", "a1t1"],
    ["--text", "What is your name?"],
    ["--text", "Turn off the alarm in the bathroom.", "--task", "t1t2"],
    *(["--text", text, "--task", "t1t2"] for text in (
        "How much is eleven times nine?", "Which month follows August?",
        "Which is less, fifteen or forty one?", "What is the opposite of good?",
        "Tell me the capital of Cuba.", "Count from thirty to thirty two.",
        "What happened to the oldest bridge?",
    )),
]


def command(binary: Path, question: list) -> list[str]:
    """One thread each, so that as many questions as cores are answered at once."""
    return [str(part) for part in (binary, "ask", MODEL, *question, "--threads", 1, "--trace", "-")]


def ids(done: subprocess.CompletedProcess) -> list[list[int]]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["tokens"]


@pytest.fixture(scope="session")
def native():
    asked = [command(BINARIES["x86_64"], question) for question in QUESTIONS]
    return [ids(subprocess.run(one, check=False, capture_output=True, text=True))
            for one in asked]


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_says_the_ids_of_this_one(name, native):
    binary = BINARIES[MACHINES[name].architecture]

    def ask(question):
        return ids(run(name, command(binary, question), capture_output=True, text=True))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        said = list(pool.map(ask, QUESTIONS))
    assert said == native

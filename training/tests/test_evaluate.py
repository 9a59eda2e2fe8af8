"""The figures of `make eval`, with a model that always says the same."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from mini_omni_training import evaluate
from mini_omni_training.clips import Clips
from mini_omni_training.domain import UNKNOWN, natural
from mini_omni_training.voices import HELD_OUT_VOICES

ANSWER = natural()[0].answer
JUDGE = SimpleNamespace(words=lambda text: text.lower().split(), hear=lambda pcm: ANSWER)


class Runner:
    """Knows one answer; hears nothing where nothing is as loud as speech."""

    def __init__(self) -> None:
        self.longest = 0

    def __call__(self, task: str, source: str | np.ndarray) -> tuple[str, np.ndarray | None]:
        if not isinstance(source, str):
            self.longest = max(self.longest, len(source))
            if len(source) > 2 * evaluate.SAMPLE_RATE and np.abs(source).max() < 0.05:
                return "", None
        return ANSWER, np.zeros(10, np.float32) if task == "A1A2" else None


def _add(folder: Path, cell: str, voice: str, answer: str) -> None:
    clips = Clips(folder / "questions" / "test", writable=True)
    pcm = np.full(2400, 0.2, np.float32)
    clips.append(pcm, text="So?", voice=voice, kind=cell, answer=answer, cell=cell)


def test_spoken_questions_are_told_apart_by_cell_and_voice(tmp_path: Path):
    unknown = HELD_OUT_VOICES[0]
    for cell, voice, answer in [
        ("template", "hibari", ANSWER), ("template", unknown, ANSWER), ("natural", unknown, "No."),
        ("far", unknown, UNKNOWN),
    ]:  # fmt: skip
        _add(tmp_path, cell, voice, answer)
    runner = Runner()
    scores = evaluate.spoken_scores(tmp_path, runner, JUDGE, 10)
    right = {name: score.result()["exact"] for name, score in scores.items()}
    assert right["A1T2, template, known voices"] == right["A1T2, template"] == 100
    assert right["A1T2, natural"] == right["A1T2, far"] == 0
    assert right["A1A2 speech against its own text"] == 100
    assert right["A1T2, template, 10 s of silence behind"] == 100
    assert "A1T2, natural, noise at 10 dB" in right and "A1T1, natural" in right
    assert "A1T1, far" not in right and runner.longest > 10 * evaluate.SAMPLE_RATE


def test_sound_without_speech_is_to_be_heard_as_nothing():
    (score,) = evaluate.no_speech_scores(Runner(), JUDGE.words).values()
    found = score.result()
    assert found["items"] == 8 and 0 < found["exact"] < 100


def test_figures_are_written_with_their_intervals(tmp_path: Path):
    scores = evaluate.written_scores(Runner(), JUDGE.words, 10)
    table = evaluate.write(tmp_path / "figures.json", scores, {})
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    natural_ones = figures["T1T2, natural"]
    assert natural_ones["items"] == 10 and natural_ones["exact"] == 10
    low, high = natural_ones["macro_interval"]
    assert low < natural_ones["macro"] < high
    assert "| T1T2, natural | 10 | 10.0 (" in table

"""The figures of the model card: one JSON file, one table.

Text accuracy, word errors against the model's own text, and right answers heard by the judge are
kept apart: each says something else.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import codec as codecs
from .clips import Clips, parts
from .codec import round_trip
from .domain import UNKNOWN, questions
from .judge import Judge, Score
from .runners import Runner, Torch
from .voices import HELD_OUT_VOICE, read_wav

Scores = dict[str, Score]


def codec_scores(work: Path, judge: Judge, n: int) -> Scores:
    """Unseen sentences: the voice itself and the voice through the codec."""
    codec, scores = codecs.load(work / "codec"), defaultdict(Score)
    for clips, i in _first(work / "unseen", n):
        wanted = judge.words(clips.meta[i]["text"])
        scores["voice itself"].add(judge.words(judge.hear(clips[i])), wanted)
        said = round_trip(codec, clips, i).numpy()
        scores["voice through the codec"].add(judge.words(judge.hear(said)), wanted)
    return scores


def reading_scores(work: Path, runner: Torch, judge: Judge, n: int) -> Scores:
    """Phase 1's text to speech, on unseen sentences."""
    scores = defaultdict(Score)
    for clips, i in _first(work / "unseen", n):
        text = clips.meta[i]["text"]
        _, pcm = runner("READ", text)
        scores["READ speech"].add(_heard(judge, pcm), judge.words(text))
    return scores


def text_scores(runner: Runner, judge: Judge, n: int) -> Scores:
    """Held-out written questions, and those outside of the domain."""
    scores = defaultdict(Score)
    asked = [q for q in questions() if q.held_out]
    for q in tqdm(asked[:: max(1, len(asked) // n)][:n], unit="question"):
        said, _ = runner("T1T2", q.question)
        cell = "outside, T1T2" if q.answer == UNKNOWN else "T1T2"
        scores[cell].add(judge.words(said), judge.words(q.answer))
    return scores


def spoken_scores(work: Path, runner: Runner, judge: Judge, n: int) -> Scores:
    """Held-out spoken questions, by known voices and by the held-out one."""
    scores, clips = defaultdict(Score), Clips(work / "questions" / "test")
    for i in tqdm(range(min(n, len(clips))), unit="question"):
        meta = clips.meta[i]
        voice = "held-out voice" if meta["voice"] == HELD_OUT_VOICE else "known voice"
        for task, wanted in (("A1T1", meta["text"]), ("A1T2", meta["answer"])):
            said, _ = runner(task, clips[i])
            scores[f"{task}, {voice}"].add(judge.words(said), judge.words(wanted))
        text, pcm = runner("A1A2", clips[i])
        heard = _heard(judge, pcm)
        scores["A1A2 speech against its own text"].add(heard, judge.words(text))
        scores[f"A1A2 speech, {voice}"].add(heard, judge.words(meta["answer"]))
    return scores


def recorded_answers(runner: Runner, folder: Path) -> dict[str, str]:
    """What is answered to recorded human questions; a person judges whether it is sensible."""
    asked = json.loads((folder / "transcripts.json").read_text())
    return {
        text: runner("A1T2", read_wav(folder / f"{name}.wav"))[0] for name, text in asked.items()
    }


def write(work: Path, scores: Scores) -> str:
    """Writes evaluation.json and returns its table."""
    path = work / "evaluation.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    known |= {name: score.result() for name, score in scores.items()}
    path.write_text(json.dumps(known, indent=2) + "\n")
    lines = ["| what | items | exact % | WER % |", "|---|---|---|---|"]
    lines += [f"| {k} | {v['items']} | {v['exact']} | {v['wer']} |" for k, v in known.items()]
    return "\n".join(lines)


def _first(folder: Path, n: int) -> Iterator[tuple[Clips, int]]:
    every = [(clips, i) for clips in parts(folder) for i in range(len(clips))]
    yield from tqdm(every[:n], unit="sentence")


def _heard(judge: Judge, pcm: np.ndarray | None) -> list[str]:
    return [] if pcm is None else judge.words(judge.hear(pcm))

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

from .clips import Clips, parts
from .codec import Codec, round_trip
from .domain import OUTSIDE_UNSEEN, RULES, UNKNOWN, Question, questions
from .judge import Judge, Score
from .runners import Runner, Torch
from .sentences import kind_and_sentence
from .speech import UNSEEN_SEED
from .voices import HELD_OUT_VOICE, read_wav

Scores = dict[str, Score]


def codec_scores(work: Path, codec: Codec, judge: Judge, n: int) -> Scores:
    """Unseen sentences: the voice itself and the voice through the codec."""
    scores = defaultdict(Score)
    for clips, i in _first(work / "unseen", n):
        wanted = judge.words(clips.meta[i]["text"])
        kind, _ = kind_and_sentence(UNSEEN_SEED, i)
        said = round_trip(codec, clips, i).numpy()
        for what, pcm in (("voice itself", clips[i]), ("voice through the codec", said)):
            heard = judge.words(judge.hear(pcm))
            for cell in (what, f"{what}, {kind}"):
                scores[cell].add(heard, wanted)
    return scores


def reading_scores(work: Path, runner: Torch, judge: Judge, n: int, tasks: list[str]) -> Scores:
    """Text to speech by `tasks` ("SAY", and phase 1's "READ"), on unseen sentences."""
    scores = defaultdict(Score)
    for clips, i in _first(work / "unseen", n):
        text = clips.meta[i]["text"]
        kind, _ = kind_and_sentence(UNSEEN_SEED, i)
        for task in tasks:
            _, pcm = runner(task, text)
            heard = _heard(judge, pcm)
            for cell in (f"{task}, unseen", f"{task}, unseen {kind}"):
                scores[cell].add(heard, judge.words(text))
    return scores


def text_scores(runner: Runner, judge: Judge, n: int) -> Scores:
    """Written questions: held out, known from training, and outside of the domain."""
    scores = defaultdict(Score)
    inside = [q for q in questions() if q.answer != UNKNOWN]
    outside = [q for q in questions() if q.answer == UNKNOWN]
    cells = {
        "T1T2": [q for q in inside if q.held_out],
        "T1T2, unseen facts": [q for q in inside if q.held_out and q.kind in RULES],
        "T1T2, unseen wording": [q for q in inside if q.held_out and q.kind not in RULES],
        "T1T2, known": [q for q in inside if not q.held_out],
        "T1T2, outside": [q for q in outside if q.held_out],
        "T1T2, outside, any wording": [
            Question("outside", q, q, UNKNOWN, held_out=True) for q in OUTSIDE_UNSEEN
        ],
    }
    for cell, among in cells.items():
        for q in tqdm(_spread(among, n), unit="question", desc=cell):
            said, _ = runner("T1T2", q.question)
            scores[cell].add(judge.words(said), judge.words(q.answer))
    return scores


def spoken_scores(work: Path, runner: Runner, judge: Judge, n: int) -> Scores:
    """Held-out spoken questions, by known voices and by the held-out one."""
    scores, clips = defaultdict(Score), Clips(work / "questions" / "test")
    held_out = {q.question for q in questions() if q.held_out}
    asked = [i for i, meta in enumerate(clips.meta) if meta["text"] in held_out]
    for i in tqdm(asked[:n], unit="question"):
        meta = clips.meta[i]
        voice = "held-out voice" if meta["voice"] == HELD_OUT_VOICE else "known voices"
        if meta["answer"] == UNKNOWN:
            voice = "outside"
        for task, wanted in (("A1T1", meta["text"]), ("A1T2", meta["answer"])):
            said, _ = runner(task, clips[i])
            scores[f"{task}, {voice}"].add(judge.words(said), judge.words(wanted))
        text, pcm = runner("A1A2", clips[i])
        heard = _heard(judge, pcm)
        scores["A1A2 speech against its own text"].add(heard, judge.words(text))
        scores[f"A1A2 speech, {voice}"].add(heard, judge.words(meta["answer"]))
    return scores


def recorded_answers(runner: Runner, judge: Judge, folder: Path) -> dict[str, dict[str, str]]:
    """What is answered to recorded human questions (`folder`: transcripts.json and its WAV files);
    a person judges whether it is sensible."""
    asked = json.loads((folder / "transcripts.json").read_text())
    answers = {}
    for name, question in asked.items():
        pcm = read_wav(folder / f"{name}.wav")
        text, said = runner("A1A2", pcm)
        heard = "" if said is None else judge.hear(said)
        understood, _ = runner("A1T1", pcm)
        answers[question] = {"understood": understood, "text": text, "heard": heard}
    return answers


def write(path: Path, scores: Scores, recorded: dict[str, dict[str, str]]) -> str:
    """Writes the figures as JSON, through a temporary name, and returns them as a table."""
    figures = {name: score.result() for name, score in scores.items()}
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps({"figures": figures, "recorded": recorded}, indent=1) + "\n")
    beside.replace(path)
    lines = ["| what | items | exact % | WER % |", "|---|---|---|---|"]
    lines += [f"| {k} | {v['items']} | {v['exact']} | {v['wer']} |" for k, v in figures.items()]
    if recorded:
        lines += ["", "| recorded question | understood | answer | heard by the judge |"]
        lines += ["|---|---|---|---|"]
        lines += [
            f"| {k} | {v['understood']} | {v['text']} | {v['heard']} |" for k, v in recorded.items()
        ]
    return "\n".join(lines)


def _spread(among: list[Question], n: int) -> list[Question]:
    """At most n, evenly from the whole list."""
    return [among[i * len(among) // n] for i in range(n)] if len(among) > n else among


def _first(folder: Path, n: int) -> Iterator[tuple[Clips, int]]:
    every = [(clips, i) for clips in parts(folder) for i in range(len(clips))]
    yield from tqdm(every[:n], unit="sentence")


def _heard(judge: Judge, pcm: np.ndarray | None) -> list[str]:
    return [] if pcm is None else judge.words(judge.hear(pcm))

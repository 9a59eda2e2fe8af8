"""The figures of the model card: one JSON file, one table.

Text accuracy, word errors against the model's own text, and right answers heard by the judge are
kept apart: each says something else. So are the domain's own wordings and people's, and what is
beyond the domain.
"""

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .augment import decibels, hum, noise
from .clips import SAMPLE_RATE, Clips, parts
from .codec import Codec, round_trip
from .domain import (
    HEARD_NOTHING,
    RULES,
    UNKNOWN,
    Question,
    far_unseen,
    natural,
    near_misses,
    near_unseen,
    questions,
)
from .judge import Judge
from .runners import Runner, Torch
from .scores import Score
from .sentences import kind_and_sentence
from .speech import UNSEEN_SEED
from .typed import digits, plain
from .voices import HELD_OUT_VOICES, read_wav

Scores = dict[str, Score]
Words = Callable[[str], list[str]]  # normalised words of a text

SILENCE = 10  # seconds behind a question
NOISE = 10  # decibels that it lies below one


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


def written_cells(n: int) -> dict[str, list[Question]]:
    """Written questions, each cell at most n: the domain's own wordings, people's and the
    grammar's held-out ones, as people type them, known ones, and what is beyond the domain."""
    inside = [q for q in questions() if q.answer != UNKNOWN]
    held_out = [q for q in inside if q.held_out]
    asked = natural()
    cells = {
        "template": held_out,
        "template, unseen facts": [q for q in held_out if q.kind in RULES],
        "template, unseen wording": [q for q in held_out if q.kind not in RULES],
        "template, known": [q for q in inside if not q.held_out],
        "grammar, held-out wordings": [_reworded(q) for q in held_out if q.what],
        "natural": asked,
        "natural, as typed": [_with_text(q, _as_typed(q.question)) for q in asked],
        "near": near_unseen(),
        "near, grammar": [q for q in near_misses() if q.held_out],
        "far": far_unseen(),
    }
    return {cell: _spread(among, n) for cell, among in cells.items()}


def written_scores(runner: Runner, words: Words, n: int) -> Scores:
    """Right answers to `written_cells`."""
    scores = defaultdict(Score)
    for cell, among in written_cells(n).items():
        for q in tqdm(among, unit="question", desc=cell, mininterval=10):
            said, _ = runner("T1T2", q.question)
            scores[f"T1T2, {cell}"].add(words(said), words(q.answer), q.kind)
    return scores


def spoken_scores(work: Path, runner: Runner, judge: Judge, n: int) -> Scores:
    """Spoken questions to test with, at most n of each cell: template ones by known and held-out
    voices, all others by the held-out ones."""
    scores, clips = defaultdict(Score), Clips(work / "questions" / "test")
    cells = defaultdict(list)
    for i, meta in enumerate(clips.meta):
        held_out = meta["voice"] in HELD_OUT_VOICES
        cells[meta["cell"] + ("" if held_out else ", known voices")].append(i)
    for cell, among in cells.items():
        for i in tqdm(_spread(among, n), unit="question", desc=cell, mininterval=10):
            _score_clip(scores, cell, clips, i, runner, judge)
    return scores


def _score_clip(
    scores: Scores, cell: str, clips: Clips, i: int, runner: Runner, judge: Judge
) -> None:
    meta, pcm, words = clips.meta[i], clips[i], judge.words
    wanted, kind = words(meta["answer"]), meta["kind"]
    answered = {f"A1T2, {cell}": pcm}
    if cell in ("template", "natural"):
        transcript, _ = runner("A1T1", pcm)
        scores[f"A1T1, {cell}"].add(words(transcript), words(meta["text"]), kind)
        answered |= {f"A1T2, {cell}, {how}": made for how, made in _spoiled(pcm, i).items()}
    for name, sound in answered.items():
        scores[name].add(words(runner("A1T2", sound)[0]), wanted, kind)
    text, said = runner("A1A2", pcm)
    heard = _heard(judge, said)
    scores["A1A2 speech against its own text"].add(heard, words(text))
    scores[f"A1A2 speech, {cell}"].add(heard, wanted, kind)


def _spoiled(pcm: np.ndarray, i: int) -> dict[str, np.ndarray]:
    rng, draw = random.Random(i), np.random.default_rng(i)
    hiss = float(pcm.std()) * decibels(-NOISE) * noise(len(pcm), rng, draw)
    return {
        f"{SILENCE} s of silence behind": np.pad(pcm, (0, SILENCE * SAMPLE_RATE)),
        f"noise at {NOISE} dB": (pcm + hiss).astype(np.float32),
    }


def no_speech_scores(runner: Runner, words: Words) -> Scores:
    """Sounds without speech: nothing, or that nothing was heard, is right."""
    score, n = Score(), 3 * SAMPLE_RATE
    draw, rng = np.random.default_rng(0), random.Random(0)
    sounds = [np.zeros(n, np.float32)]
    sounds += [decibels(level) * noise(n, rng, draw) for level in (-60, -40, -20)]
    sounds += [decibels(level) * hum(n, rng, SAMPLE_RATE) for level in (-40, -20)]
    click = np.zeros(n, np.float32)
    click[n // 2 : n // 2 + 20] = 0.9
    for sound in [*sounds, click, np.pad(sounds[3], (0, SILENCE * SAMPLE_RATE))]:
        said, _ = runner("A1T2", sound.astype(np.float32))
        score.add(words(said or HEARD_NOTHING), words(HEARD_NOTHING))
    return {"A1T2, no speech": score}


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
    lines = ["| what | items | exact % | macro over kinds % | WER % |", "|---|---|---|---|---|"]
    lines += [
        f"| {k} | {v['items']} | {_between(v, 'exact', 'interval')} | "
        f"{_between(v, 'macro', 'macro_interval')} | {v['wer']} |"
        for k, v in figures.items()
    ]
    if recorded:
        lines += ["", "| recorded question | understood | answer | heard by the judge |"]
        lines += ["|---|---|---|---|"]
        lines += [
            f"| {k} | {v['understood']} | {v['text']} | {v['heard']} |" for k, v in recorded.items()
        ]
    return "\n".join(lines)


def _between(figure: dict, name: str, interval: str) -> str:
    if name not in figure:
        return ""
    low, high = figure[interval]
    return f"{figure[name]} ({low} to {high})"


def _reworded(q: Question) -> Question:
    return _with_text(q, q.worded(random.Random(q.question), unseen=True))


def _with_text(q: Question, text: str) -> Question:
    return Question(q.kind, q.fact, text, q.answer, q.held_out)


def _as_typed(text: str) -> str:
    """Without case and marks, numbers in digits."""
    return digits(plain(text), random.Random(text)).strip()


def _spread(among: list, n: int) -> list:
    """At most n, evenly from the whole list."""
    return [among[i * len(among) // n] for i in range(n)] if len(among) > n else among


def _first(folder: Path, n: int) -> Iterator[tuple[Clips, int]]:
    every = [(clips, i) for clips in parts(folder) for i in range(len(clips))]
    yield from tqdm(every[:n], unit="sentence")


def _heard(judge: Judge, pcm: np.ndarray | None) -> list[str]:
    return [] if pcm is None else judge.words(judge.hear(pcm))

"""Makes the spoken data: reading aloud by the answering voice, and questions by every voice."""

import random
from pathlib import Path

from tqdm import tqdm

from . import stray
from .answering import AnsweringVoice
from .balance import Kinds
from .clips import SAMPLE_RATE, Clips
from .domain import (
    HEARD_NOTHING,
    UNKNOWN,
    Question,
    drills,
    far_unseen,
    natural,
    near_unseen,
    questions,
    to_train_with,
    unseen_texts,
)
from .judge import in_words
from .prose import prose
from .sentences import sentence
from .typed import plain
from .voices import HELD_OUT_VOICES, NATURAL, question_voices

SEED = 1
WORDED = 0.65  # of the questions in people's wordings, not in the domain's own
READING = 0.05  # of the clips are of people who read something aloud
STRAY = 0.35  # of the clips are of stray words, where there is a list of them
LIKE_PEOPLE = 0.6  # of the clips are in voices like people's
# A clip of Kokoro's takes a second to make.
SELDOM = {"kokoro": 0.8}
UNSEEN_SEED = 7_000_001  # sentences to test with


def read_aloud(
    folder: Path, hours: float, part: int = 0, n_parts: int = 1, seed: int = SEED
) -> None:
    """Adds sentences until a part of the corpus has its share of `hours`."""
    clips, speak = Clips(folder / f"part{part}", writable=True), AnsweringVoice()
    share = hours * 3600 / n_parts
    seconds = clips.seconds
    with tqdm(total=round(share), initial=round(seconds), unit="s", mininterval=10) as bar:
        while seconds < share:
            i = len(clips) * n_parts + part
            text = sentence(seed, i)
            _add_spoken(clips, text, speak, random.Random(f"voice/{seed}/{i}"))
            said = clips.meta[-1]["samples"] / SAMPLE_RATE
            seconds += said
            bar.update(said)


def say_answers(folder: Path, limit: int | None = None) -> None:
    """Adds every answer of the domain in the answering voice, and the drills; at most `limit`."""
    clips, speak = Clips(folder / "part0", writable=True), AnsweringVoice()
    answers = sorted({q.answer for q in questions() if not q.held_out})
    answers += [*(q.answer for q in drills()), HEARD_NOTHING]
    for answer in tqdm(answers[len(clips) : limit], unit="clip", mininterval=10):
        _add_spoken(clips, answer, speak, random.Random(f"answer/{answer}"))


def ask(folder: Path, n: int, held_out_clips: int = 300) -> None:
    """`n` clips to train with, each kind as often as `Kinds` draws it, in every voice but the
    held-out ones; then clips to test with. Clip i is a function of i alone: a corpus can grow."""
    voices = {name: make() for name, make in question_voices().items()}
    known = sorted(set(voices) - set(HELD_OUT_VOICES))
    clips = Clips(folder / "train", writable=True)
    asked, never = Kinds(to_train_with()), {plain(text) for text in unseen_texts()}
    for i in tqdm(range(len(clips), n), unit="clip", mininterval=10):
        rng = random.Random(f"ask/{i}")
        question = _reading(i) if rng.random() < READING else asked.draw(rng)
        worded = question.worded(rng) if rng.random() < WORDED else question.question
        text = question.question if plain(worded) in never else worded
        if stray.has_words() and rng.random() < STRAY:
            question = stray.stray(rng, question, text)
            text = question.question
        _add(clips, question, text, _voice(known, rng), voices, rng)
    test = Clips(folder / "test", writable=True)
    for i, (cell, question, unknown) in list(enumerate(_to_test_with(held_out_clips)))[len(test) :]:
        rng = random.Random(f"test/{i}")
        held_out = [name for name in HELD_OUT_VOICES if name in voices]
        name = held_out[i // 2 % len(held_out)] if held_out and unknown else rng.choice(known)
        _add(test, question, question.question, name, voices, rng, cell=cell)


def _to_test_with(n: int) -> list[tuple[str, Question, bool]]:
    """The cell that a clip counts in, its question, and whether a held-out voice asks it."""
    held_out = [q for q in questions() if q.held_out and q.answer != UNKNOWN]
    random.Random(SEED).shuffle(held_out)
    lists = {"natural": natural(), "near": near_unseen(), "far": far_unseen()}
    lists["reading"] = [_reading(i, unseen=True) for i in range(50)]
    cells = [("template", q, i % 2 == 1) for i, q in enumerate(held_out[:n])]
    return cells + [(cell, q, True) for cell, among in lists.items() for q in among[:n]]


def _reading(i: int, unseen: bool = False) -> Question:
    text = prose(i, unseen)
    return Question("reading", text, text, UNKNOWN, held_out=unseen)


def _voice(known: list[str], rng: random.Random) -> str:
    like_people = [name for name in known if name in NATURAL]
    among = like_people if like_people and rng.random() < LIKE_PEOPLE else known
    return rng.choices(among, [SELDOM.get(name, 1) for name in among])[0]


def _add_spoken(clips: Clips, text: str, speak: AnsweringVoice, rng: random.Random) -> None:
    pcm, words = speak(text, rng)
    clips.append(pcm, text=text, voice="hibari", words=words)


def _add(
    clips: Clips,
    question: Question,
    text: str,
    name: str,
    voices: dict,
    rng: random.Random,
    **meta: str,
) -> None:
    """`question` asked in the words `text`."""
    said = voices[name](in_words(text), rng)
    clips.append(said, text=text, voice=name, kind=question.kind, answer=question.answer, **meta)

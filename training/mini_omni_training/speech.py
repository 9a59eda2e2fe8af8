"""Makes the spoken data: reading aloud by the answering voice, and questions by every voice."""

import random
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from .answering import AnsweringVoice
from .clips import SAMPLE_RATE, Clips
from .domain import Question, beyond, drills, questions
from .sentences import sentence
from .voices import HELD_OUT_VOICE, NATURAL, question_voices

SEED = 1
FEWEST = 480  # clips of a kind, about
# Times as many: small talk, which people ask, whose voices are not among ours; and hard rules.
MORE = {"small_talk": 6, "counting": 3, "countdown": 3, "compare_size": 3}
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


def say_answers(folder: Path) -> None:
    """Adds every answer of the domain in the answering voice, and the drills."""
    clips, speak = Clips(folder / "part0", writable=True), AnsweringVoice()
    answers = sorted({q.answer for q in questions() if not q.held_out})
    answers += [q.answer for q in drills()]
    for answer in tqdm(answers[len(clips) :], unit="clip", mininterval=10):
        _add_spoken(clips, answer, speak, random.Random(f"answer/{answer}"))


def ask(folder: Path, rounds: int, limit: int | None = None, held_out_clips: int = 300) -> None:
    """Questions by all voices: `rounds` clips for each training question, more of a small kind's,
    and one for each drill and each question beyond the domain, half of them in a voice like a
    person's; then test clips of held-out questions, half of them in the held-out voice."""
    voices = {name: make() for name, make in question_voices().items()}
    known = sorted(set(voices) - {HELD_OUT_VOICE})
    natural = [name for name in known if name in NATURAL]
    clips = Clips(folder / "train", writable=True)
    train = [q for q in questions() if not q.held_out]
    size = Counter(q.kind for q in train)
    times = {k: rounds * max(1, FEWEST // n) * MORE.get(k, 1) for k, n in size.items()}
    done = Counter(meta["text"] for meta in clips.meta)
    plan = [
        (q, random.Random(f"ask/{r}/{q.question}"))
        for q in train + drills() + beyond()
        for r in range(done[q.question], times.get(q.kind, 1))
    ]
    random.Random(SEED).shuffle(plan)
    left = None if limit is None else max(0, limit - len(clips))
    for question, rng in tqdm(plan[:left], unit="clip", mininterval=10):
        name = rng.choice(natural if rng.random() < 0.5 else known)
        _add(clips, question, name, voices, rng)
    test = Clips(folder / "test", writable=True)
    held_out = [q for q in questions() if q.held_out]
    random.Random(SEED).shuffle(held_out)
    for i, question in enumerate(held_out[len(test) : held_out_clips], len(test)):
        rng = random.Random(f"test/{i}")
        name = HELD_OUT_VOICE if i % 2 and HELD_OUT_VOICE in voices else rng.choice(known)
        _add(test, question, name, voices, rng)


def _add_spoken(clips: Clips, text: str, speak: AnsweringVoice, rng: random.Random) -> None:
    pcm, words = speak(text, rng)
    clips.append(pcm, text=text, voice="hibari", words=words)


def _add(clips: Clips, question: Question, name: str, voices: dict, rng: random.Random) -> None:
    pcm = voices[name](question.question, rng)
    clips.append(
        pcm, text=question.question, voice=name, kind=question.kind, answer=question.answer
    )

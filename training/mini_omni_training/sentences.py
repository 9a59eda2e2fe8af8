"""Free sentences to read aloud: speech that cannot be memorised.

The vocabulary is the domain's with a few verbs, so that every word comes back hundreds of times; a
wider one (700 words, many of them loose) stayed unclear (RESULTS.md, sixth round). Sentence `i` of
a seed is a pure function of (seed, i): a corpus can grow and be made in parts.
"""

import random

from .domain import questions
from .domain.words import capital, listed, number, plural

NOUNS = (
    "cat dog horse cow bird fish sheep pig lion bear mouse elephant whale frog duck spider "
    "apple banana orange lemon cherry hammer knife spoon pen book paper letter "
    "car train bus boat plane bicycle truck tree flower rose house school church tower table "
    "chair lamp light fan heater radio television window clock mother father sister "
    "bread milk water stone star moon sun hand hat"
).split()
PLACES = (
    "kitchen bedroom garden bathroom hall office garage school church house river sea mountain "
    "tower"
).split()
ADJECTIVES = (
    "big small hot cold open closed fast slow old young light dark full empty high low hard soft "
    "happy sad rich poor strong weak wet dry clean dirty good bad thick thin long short deep "
    "red blue green yellow black white brown orange pink purple gray"
).split()
VERBS = "sees likes loves has hears takes makes buys sells pulls pushes knows".split()
MOVES = "lives comes sings speaks listens eats waits sleeps".split()
ADVERBS = "always never today soon here again".split()
PREPOSITIONS = "in near behind under outside".split()
PRONOUNS = ["I", "you", "we", "they"]
BARE = (
    "see like love have hear take make buy sell pull push know help wake eat open give tell"
).split()
HELPERS = ["can", "will", "must"]
LINKS = ["and", "but", "because", "when"]


def _noun_phrase(rng: random.Random) -> str:
    start = rng.choice(("the the a my your his her our this that every").split())
    middle = rng.choice(ADJECTIVES) + " " if rng.random() < 0.5 else ""
    noun = middle + rng.choice(NOUNS)
    return ("an " if start == "a" and noun[0] in "aeiou" else start + " ") + noun


def _place(rng: random.Random) -> str:
    return f"{rng.choice(PREPOSITIONS)} the {rng.choice(PLACES)}"


def _clause(rng: random.Random) -> str:
    subject = _noun_phrase(rng)
    form = rng.randrange(6)
    if form == 0:
        return f"{subject} {rng.choice(VERBS)} {_noun_phrase(rng)}"
    if form == 1:
        return f"{subject} {rng.choice(MOVES)} {_place(rng)}"
    if form == 2:
        return f"{subject} {rng.choice(['is', 'was'])} {rng.choice(ADJECTIVES)}"
    if form == 3:
        helper, verb = rng.choice(HELPERS), rng.choice(BARE)
        return f"{rng.choice(PRONOUNS)} {helper} {verb} {_noun_phrase(rng)}"
    if form == 4:
        return f"{subject} {rng.choice(MOVES)} {rng.choice(ADVERBS)}"
    return f"{rng.choice(PRONOUNS)} {rng.choice(BARE)} {_noun_phrase(rng)} {_place(rng)}"


def _sentence(rng: random.Random) -> str:
    text = _clause(rng)
    if rng.random() < 0.25:
        text = f"{text} {rng.choice(LINKS)} {_clause(rng)}"
    return capital(text) + rng.choice("....?")


def _numbers(rng: random.Random) -> str:
    low = [rng.randint(0, 100) for _ in range(rng.randint(2, 4))]
    form = rng.randrange(4)
    if form == 0:
        return capital(listed([number(n) for n in low])) + "."
    if form == 1:
        return f"{capital(number(rng.randint(0, 1200)))} {plural(rng.choice(NOUNS))}."
    if form == 2:
        word = rng.choice(["plus", "minus", "times", "divided by"])
        x, y, z = (number(rng.randint(0, 150)) for _ in range(3))
        return f"{capital(x)} {word} {y} is {z}."
    letters = [rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.randint(2, 6))]
    return ", ".join(letters) + "."


ANSWERS = sorted({q.answer for q in questions() if not q.held_out})


KINDS = {  # what a corpus is made of: the share up to which a draw falls to each, and its maker
    "sentences": (0.55, _sentence),
    "numbers and letters": (0.75, _numbers),
    "answers": (1.0, lambda rng: rng.choice(ANSWERS)),
}


def kind_and_sentence(seed: int, i: int) -> tuple[str, str]:
    """The i-th sentence of a corpus and what kind it is."""
    rng = random.Random(f"{seed}/{i}")
    chance = rng.random()
    kind = next(kind for kind, (share, _) in KINDS.items() if chance < share)
    return kind, KINDS[kind][1](rng)


def sentence(seed: int, i: int) -> str:
    """The i-th sentence of a corpus: 55 % grammar, 20 % numbers, 25 % answers."""
    return kind_and_sentence(seed, i)[1]

"""Speech whose words no sentence foretells, to learn hearing from: stray words, and questions in
which some words are others or that come behind stray ones.

Who hears only what the domain asks comes to hear the domain's sentences in whatever is said.
The words are the most frequent of English (PyPI wordfreq), drawn flatter than they are used.
"""

import importlib.util
import random
import re
from dataclasses import replace
from functools import cache
from itertools import accumulate

from .domain import UNKNOWN, Question
from .domain.words import capital, number
from .judge import in_words

MOST = 7000  # words
FLATNESS = 0.45  # the power of a word's frequency that it is drawn by
# Slurs, and words that make one: a device had better not write them down by mistake.
UNWANTED = re.compile(
    "fuck|shit|bitch|nigg|cunt|dick|cock|pussy|porn|sex|rap(e|ist)|slut|whore|fag|nazi|hitler|kill"
    "|murder|suicid|nude|naked|bastard|damn|terror|bomb|jew|muslim|racis|slave|gay|lesbian|anal"
)
WORD = re.compile("[a-z]{2,12}|a|i")
SHORT = 1e-5  # how frequent a word of up to three letters must be; most others are abbreviations
NUMBERS = {word for n in range(101) for word in number(n).split()}
KIND = "stray"


@cache
def has_words() -> bool:
    """Whether this machine has the list of words."""
    return importlib.util.find_spec("wordfreq") is not None


@cache
def _words() -> tuple[list[str], list[float]]:
    """The words and their summed weights."""
    import wordfreq

    frequency = {w: wordfreq.word_frequency(w, "en") for w in wordfreq.top_n_list("en", MOST)}
    found = {
        w: f**FLATNESS
        for w, f in frequency.items()
        if WORD.fullmatch(w) and not UNWANTED.search(w) and (len(w) > 3 or f > SHORT)
    }
    return list(found), list(accumulate(found.values()))


def _some(rng: random.Random, n: int) -> list[str]:
    words, weights = _words()
    return ["I" if w == "i" else w for w in rng.choices(words, cum_weights=weights, k=n)]


def stray(rng: random.Random, question: Question, worded: str) -> Question:
    """A question of stray words, or made of another one's `worded` form. Without an answer it is
    there to be transcribed alone."""
    how = rng.random()
    if how < 0.4:
        words = _some(rng, rng.randint(3, 9))
        if rng.random() < 0.35:
            words.insert(rng.randrange(len(words) + 1), number(rng.randint(0, 100)))
        text = capital(" ".join(words)) + rng.choice(".?")
        return replace(question, kind=KIND, question=text, answer=UNKNOWN * (rng.random() < 0.4))
    text = in_words(worded)
    if how < 0.75:
        return replace(question, kind=KIND, question=_changed(rng, text), answer="")
    if not re.match(r"I\b|[A-Z][a-z]+day|[A-Z]\b", text):
        text = text[0].lower() + text[1:]
    before = capital(" ".join(_some(rng, rng.randint(1, 4))))
    behind = replace(question, question=f"{before}, {text}")
    # What lies just beyond the domain may not, with other words before it.
    return replace(behind, kind=KIND, answer="") if question.answer == UNKNOWN else behind


def _changed(rng: random.Random, text: str) -> str:
    """Up to three words are others; numbers stay."""
    end = text[-1] if text[-1] in ".?!" else rng.choice(".?")
    words = text.rstrip(".?!").split()
    places = [i for i, word in enumerate(words) if word.lower().strip(",") not in NUMBERS]
    for i in rng.sample(places, min(len(places), rng.randint(1, 3))):
        words[i] = _some(rng, 1)[0] + ("," if words[i].endswith(",") else "")
    return capital(" ".join(words)) + end

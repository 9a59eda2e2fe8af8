"""Written questions as people type them.

`NORMALIZER` goes into the model's tokenizer.json and takes away what does not matter: case, end
marks, hyphens between words, typographic quotes, doubled spaces. `typed` makes what it leaves:
digits, signs and slips, small words that are left out or put in.
"""

import random
import re

from tokenizers import Regex, normalizers

from .domain.words import TENS, UNITS

_REPLACED = [
    ("\u2019", "'"), ("\u2018", "'"), ("\u201c", " "), ("\u201d", " "), ('"', " "),
    ("(", " "), (")", " "),
    ("\u2212", "-"), ("\u2013", "-"), ("\u2014", " "), ("\u2026", " "), ("\u00d7", "*"),
    ("\u00f7", "/"),
    (Regex("(?<=[a-z])-(?=[a-z])"), " "),
    (Regex("[.?!,;:]+(?![0-9])"), ""),
]  # fmt: skip
NORMALIZER = normalizers.Sequence(
    [
        normalizers.NFC(),
        normalizers.Lowercase(),
        *(normalizers.Replace(found, put) for found, put in _REPLACED),
        normalizers.Replace(Regex(r"\s+"), " "),
        normalizers.Strip(),
        normalizers.Prepend(" "),  # the first word is the same id as anywhere else
    ]
)

DIGITS, SLIP, LOOSE = 0.25, 0.12, 0.2  # shares of questions
SIGNED = 0.6  # of the sums in digits
DROPPED, PUT_IN = 0.3, 0.08  # of the small words, and before how many words one is put in
SMALL = set("the a an of is are do does what's me to in for it that can you i".split())
FILLERS = "um,uh,like,please,well,just,then,now,so,you know,really,actually,maybe,ok".split(",")
SIGNS = {"plus": "+", "minus": "-", "times": "*x", "divided by": "/"}
NUMBERS = {word: n for n, word in enumerate(UNITS)} | {
    word: 10 * n for n, word in enumerate(TENS) if n > 1
}
_NUMBER = "|".join(sorted(NUMBERS, key=len, reverse=True))
_TENS = "|".join(TENS[2:])
_ONES = "|".join(UNITS[1:10])
SPELLED = re.compile(rf"\b(?:({_TENS})[ -]({_ONES})|({_NUMBER}))\b(?! hundred| thousand)", re.I)
CLOCK = re.compile(r"\b(\d{1,2}) (\d{1,2})(?= in the (?:morning|evening))")
NEAR_KEYS = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wertyuiooasdfghjkklzxcvbnn", strict=True))


def plain(text: str) -> str:
    """A question as the model reads it."""
    return NORMALIZER.normalize_str(text)


def typed(text: str, rng: random.Random) -> str:
    """A question as somebody may type it."""
    if rng.random() < DIGITS:
        text = digits(text, rng)
    if rng.random() < LOOSE:
        text = loose(text, rng)
    if rng.random() < SLIP:
        text = slip(text, rng)
    return text


def loose(text: str, rng: random.Random) -> str:
    """Some small words left out, some put in: people do not speak by a grammar."""
    words = []
    for word in text.split():
        if rng.random() < PUT_IN:
            words.append(rng.choice(FILLERS))
        if word.lower() not in SMALL or rng.random() >= DROPPED:
            words.append(word)
    return " ".join(words)


def digits(text: str, rng: random.Random) -> str:
    """Numbers below a hundred in digits, what stands between them in signs."""
    text = SPELLED.sub(lambda m: str(sum(NUMBERS[w.lower()] for w in m.groups() if w)), text)
    text = CLOCK.sub(lambda m: f"{m[1]}{rng.choice(':. ')}{int(m[2]):02}", text)
    if rng.random() < SIGNED:
        blank = rng.choice(["", " "])
        for word, signs in SIGNS.items():
            sign = f"{blank}{rng.choice(signs)}{blank}"
            text = re.sub(rf"(?<=\d) {word} (?=\d)", sign, text)
    return text


def slip(text: str, rng: random.Random) -> str:
    """One letter of one longer word doubled, lost, swapped with the next, or its neighbour's."""
    places = [m.span() for m in re.finditer(r"[A-Za-z]{4,}", text)]
    if not places:
        return text
    start, end = rng.choice(places)
    i = rng.randrange(start + 1, end - 1)
    a, b = text[i], text[i + 1]
    put = rng.choice([a + a + b, b, b + a, NEAR_KEYS.get(a, a) + b])
    return text[:i] + put + text[i + 2 :]

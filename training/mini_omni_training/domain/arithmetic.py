"""Kinds of question about numbers.

A kind is a function that yields facts. Facts are held out by key, so that every way to ask a
held-out fact is unseen.
"""

from collections.abc import Callable, Iterator

from .fact import Fact
from .words import ORDINALS, capital, listed, number


def _sum_ways(a: str, word: str, b: str) -> list[str]:
    return [
        f"What is {a} {word} {b}?",
        f"How much is {a} {word} {b}?",
        f"Can you tell me what {a} {word} {b} is?",
    ]


def _sum(a: int, word: str, b: int, result: int) -> str:
    return f"{capital(number(a))} {word} {number(b)} is {number(result)}."


def _sums(pairs: list[tuple[int, int]], word: str, sign: int) -> Iterator[Fact]:
    for a, b in pairs:
        ways = _sum_ways(number(a), word, number(b))
        words = {"a": number(a), "b": number(b)}
        yield Fact(f"{a}{word}{b}", ways, _sum(a, word, b, a + sign * b), word, words)


def sums_below_hundred() -> Iterator[tuple[list[str], str, str]]:
    """Every sum and difference: ways to ask, the answer, and it with its numbers swapped."""
    for a in range(1, 99):
        for b in range(1, 100 - a):
            x, y, z = number(a), number(b), number(a + b)
            yield _sum_ways(x, "plus", y), _sum(a, "plus", b, a + b), _sum(b, "plus", a, a + b)
            yield _sum_ways(z, "minus", y), _sum(a + b, "minus", b, a), ""


def addition() -> Iterator[Fact]:
    return _sums([(a, b) for a in range(1, 11) for b in range(1, 11)], "plus", 1)


def large_addition() -> Iterator[Fact]:
    return _sums([(a, b) for a in range(11, 90) for b in range(1, 11)], "plus", 1)


def subtraction() -> Iterator[Fact]:
    return _sums([(a, b) for a in range(2, 21) for b in range(1, min(a, 11))], "minus", -1)


def large_subtraction() -> Iterator[Fact]:
    return _sums([(a, b) for a in range(21, 100) for b in range(1, 11)], "minus", -1)


def multiplication() -> Iterator[Fact]:
    for a in range(1, 13):
        for b in range(1, 13):
            ways = _sum_ways(number(a), "times", number(b))
            words = {"a": number(a), "b": number(b)}
            yield Fact(f"{a}*{b}", ways, _sum(a, "times", b, a * b), "times", words)


def division() -> Iterator[Fact]:
    for b in range(2, 11):
        for c in range(1, 13):
            ways = _sum_ways(number(b * c), "divided by", number(b))
            words = {"a": number(b * c), "b": number(b)}
            answer = _sum(b * c, "divided by", b, c)
            yield Fact(f"{b * c}/{b}", ways, answer, "divided", words)


def _chosen(word: str, more: str, pick: Callable, turn: tuple[int, int, int]) -> Iterator[Fact]:
    """Pairs below sixty, two fifths of them (turn[0] * a + turn[1] * b modulo 5)."""
    for a in range(1, 60):
        for b in range(1, 60):
            if a != b and (a * turn[0] + b * turn[1] - turn[2]) % 5 < 2:
                x, y, right = number(a), number(b), number(pick(a, b))
                ways = [f"Which is {word}, {x} or {y}?", f"Which is {more}, {x} or {y}?"]
                answer = f"{capital(right)} is {word}."
                yield Fact(f"{a}|{b}", ways, answer, word, {"a": x, "b": y})


def larger() -> Iterator[Fact]:
    return _chosen("larger", "more", max, (7, 3, 0))


def smaller() -> Iterator[Fact]:
    return _chosen("smaller", "less", min, (3, 7, 1))


def after() -> Iterator[Fact]:
    for n in range(0, 100):
        x, y = number(n), number(n + 1)
        ways = [f"What number comes after {x}?", f"Which number follows {x}?"]
        yield Fact(str(n), ways, f"After {x} comes {y}.", "after", {"a": x})


def before() -> Iterator[Fact]:
    for n in range(1, 101):
        x, y = number(n), number(n - 1)
        ways = [f"What number comes before {x}?", f"Which number is just before {x}?"]
        yield Fact(str(n), ways, f"Before {x} comes {y}.", "before", {"a": x})


def counting() -> Iterator[Fact]:
    for start in range(1, 95):
        for n in range(2, 6):
            end = start + n
            said = listed([number(i) for i in range(start, end + 1)])
            ways = [
                f"Count from {number(start)} to {number(end)}.",
                f"Please count from {number(start)} to {number(end)}.",
            ]
            words = {"a": number(start), "b": number(end)}
            what = "count_to" if start == 1 and n % 2 else "counting"
            yield Fact(f"{start}-{end}", ways, f"{capital(said)}.", what, words)


def countdown() -> Iterator[Fact]:
    for start in range(3, 100):
        for n in range(2, 5):
            if start > n:
                said = listed([number(i) for i in range(start, start - n - 1, -1)])
                ways = [f"Count down from {number(start)} to {number(start - n)}."]
                words = {"a": number(start), "b": number(start - n)}
                yield Fact(f"{start}-{n}", ways, f"{capital(said)}.", "countdown", words)


def even_or_odd() -> Iterator[Fact]:
    for n in range(0, 100):
        x, kind = number(n), "odd" if n % 2 else "even"
        ways = [f"Is {x} even or odd?", f"Is {x} odd or even?"]
        yield Fact(str(n), ways, f"{capital(x)} is {kind}.", "even_or_odd", {"a": x})


def doubles() -> Iterator[Fact]:
    for n in range(1, 51):
        x = number(n)
        ways = [f"What is the double of {x}?", f"Tell me the double of {x}."]
        y = number(2 * n)
        yield Fact(str(n), ways, f"The double of {x} is {y}.", "doubles", {"a": x})
        yield Fact(f"half{n}", [f"What is half of {y}?"], f"Half of {y} is {x}.", "half", {"a": y})


def ordinal_letters() -> Iterator[Fact]:
    for index, name in enumerate(ORDINALS):
        letter = "ABCDEFGHIJKL"[index]
        ways = [f"What is the {name} letter of the alphabet?"]
        yield Fact(name, ways, f"The {name} letter is {letter}.", "ordinal_letters", {"a": name})


KINDS = {
    "addition": addition,
    "large_addition": large_addition,
    "subtraction": subtraction,
    "large_subtraction": large_subtraction,
    "multiplication": multiplication,
    "division": division,
    "larger": larger,
    "smaller": smaller,
    "after": after,
    "before": before,
    "counting": counting,
    "countdown": countdown,
    "even_or_odd": even_or_odd,
    "doubles": doubles,
    "ordinal_letters": ordinal_letters,
}

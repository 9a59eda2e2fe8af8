"""Counts of right answers and word errors, by kind of question, with their intervals."""

from collections import defaultdict
from dataclasses import dataclass, field

Z = 1.96  # of a normal distribution, 95 %


def errors(said: list[str], wanted: list[str]) -> int:
    """Least number of inserted, deleted and replaced words."""
    line = list(range(len(said) + 1))
    for i, word in enumerate(wanted, 1):
        before, line[0] = line[0], i
        for j, other in enumerate(said, 1):
            best = min(line[j] + 1, line[j - 1] + 1, before + (word != other))
            before, line[j] = line[j], best
    return line[-1]


@dataclass
class Count:
    """Word errors and exact matches over many items."""

    items: int = 0
    exact: int = 0
    words: int = 0
    errors: int = 0

    def add(self, said: list[str], wanted: list[str]) -> None:
        """Counts one item."""
        self.items += 1
        self.exact += said == wanted
        self.words += len(wanted)
        self.errors += errors(said, wanted)


@dataclass
class Score:
    """Counts of a cell by kind of question: their mean, and the mean of the kinds, in which a kind
    of many questions counts no more than one of few."""

    kinds: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))

    def add(self, said: list[str], wanted: list[str], kind: str = "") -> None:
        """Counts one item."""
        self.kinds[kind].add(said, wanted)

    def result(self) -> dict[str, float | list[float]]:
        """Shares in per cent, and what they lie between with 95 %."""
        counts = list(self.kinds.values())
        n, exact = sum(c.items for c in counts), sum(c.exact for c in counts)
        words = sum(c.words for c in counts)
        found: dict[str, float | list[float]] = {
            "items": n,
            "exact": _percent(exact / max(1, n)),
            "interval": wilson(exact, n),
            "wer": _percent(sum(c.errors for c in counts) / max(1, words)),
        }
        if len(counts) > 1:
            found |= {"macro": _percent(macro(counts)), "macro_interval": macro_interval(counts)}
        return found


def macro(counts: list[Count]) -> float:
    """The mean of the kinds' shares of right answers."""
    return sum(c.exact / c.items for c in counts) / len(counts)


def macro_interval(counts: list[Count]) -> list[float]:
    """By the kinds' variances, each with one right and one wrong answer added: a kind of three
    right answers is not certain to be known."""
    shares = [((c.exact + 1) / (c.items + 2), c.items) for c in counts]
    spread = Z * sum(p * (1 - p) / n for p, n in shares) ** 0.5 / len(counts)
    middle = macro(counts)
    return [_percent(max(0.0, middle - spread)), _percent(min(1.0, middle + spread))]


def wilson(right: int, n: int) -> list[float]:
    """Wilson's interval of a share."""
    if n == 0:
        return [0.0, 100.0]
    p, z2 = right / n, Z * Z / n
    middle = (p + z2 / 2) / (1 + z2)
    spread = Z * (p * (1 - p) / n + z2 / n / 4) ** 0.5 / (1 + z2)
    return [_percent(middle - spread), _percent(middle + spread)]


def _percent(share: float) -> float:
    return round(100 * share, 1)

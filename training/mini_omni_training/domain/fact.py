"""What the domain is made of."""

from typing import NamedTuple

from .wordings import Words


class Fact(NamedTuple):
    """Something to know: the domain's own ways to ask it, the answer, and what it is called in the
    lists of wordings, with its words."""

    key: str
    ways: list[str]
    answer: str
    what: str
    words: Words

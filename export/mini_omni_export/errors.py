"""The one error of this package that a person is meant to read, and values told in its words."""

from __future__ import annotations

from typing import Any

LONGEST = 60  # characters of a value in a sentence
LARGEST = 10**30  # of a whole number that is written out


class ExportError(Exception):
    """What is wrong with the input, as a sentence; the command line prints it and exits with 2."""


def shown(value: Any) -> str:
    """A value from a file as a sentence shows it: on one line and short, whatever the value is.

    A container is told by its kind alone: it may hold itself, or more than memory does.
    """
    if type(value) is int and abs(value) > LARGEST:
        return "a huge number"
    if value is not None and type(value) not in (bool, int, float, str):
        return f"a {type(value).__name__}"
    if type(value) is str and len(value) > LONGEST:
        return f"{value[:LONGEST]!r}…"
    return repr(value)


def bare(name: str) -> str:
    """A name from a file without quotes: on one line and short."""
    return repr(name[:LONGEST])[1:-1] + ("…" if len(name) > LONGEST else "")

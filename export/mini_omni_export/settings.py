"""Config files as plain settings, read in bounded time and memory, and typed strictly.

A file may be anyone's: it is small or refused, holds no aliases (a kilobyte of them unfolds to more
than memory holds) and no key twice. A value is of its key's own type: the word "false" is no flag,
and true is no number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from .errors import ExportError, shown

MOST_BYTES = 1 << 16
DEEPEST = 8  # containers within each other
MANDATORY = ...  # in the place of a default: the file must say it


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """A text file of at most `most` bytes."""
    if not path.is_file():
        raise ExportError(f"{path} is missing; it is one of the published files")
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
        if len(data) <= most:
            return data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"{path} cannot be read: {error}") from error
    raise ExportError(f"{path} is larger than {most} bytes; another file is expected here")


def read_yaml(path: Path) -> Settings:
    """The settings of a YAML file; raises ExportError for what is no plain table."""
    return _read(path, lambda text: yaml.load(text, _PlainYaml))  # noqa: S506, a SafeLoader


def read_json(path: Path) -> Settings:
    """The settings of a JSON file; raises ExportError for what is no plain table."""
    return _read(path, lambda text: json.loads(text, object_pairs_hook=_once))


def _read(path: Path, parse: Callable[[str], Any]) -> Settings:
    text = read_text(path)
    try:
        raw = parse(text)
    except MemoryError:
        raise
    except Exception as error:  # PyYAML answers odd values with errors of any type
        reason = " ".join(str(error).split())  # YAML's has several lines
        raise ExportError(f"{path} cannot be read: {reason[:300]}") from error
    return Settings(raw, path)


def _once(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """A table of pairs, no key of which comes twice."""
    table: dict[Any, Any] = {}
    for key, value in pairs:
        if key in table:
            raise ValueError(f"it says {shown(key)} twice")
        table[key] = value
    return table


class _PlainYaml(yaml.SafeLoader):
    """Scalars, lists and tables, and none of YAML's shorthands for building them."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it holds an alias (*name); write the value out")
        if event.tag is not None:
            raise ValueError(f"it holds the tag {shown(event.tag)}; write the value plainly")
        if self.depth >= DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        pairs = [(key.value, value) for key, value in node.value]
        if not all(isinstance(key, str) and key != "<<" for key, _ in pairs):
            raise ValueError("it holds a key that is no name")
        _once(pairs)
        return super().construct_mapping(node, deep)


class Settings:
    """A table of settings, each asked for by its name and type."""

    def __init__(self, raw: Any, path: Path) -> None:
        if not isinstance(raw, dict):
            raise ExportError(f"{path} holds no settings")
        self.raw, self.path = raw, path

    def __contains__(self, key: str) -> bool:
        return key in self.raw

    def refuse_unknown(self, known: set[str]) -> None:
        """Raises ExportError for the first key that is none of `known`, as the original does."""
        for key in self.raw:
            if key in known:
                continue
            raise ExportError(
                f"{self.path}: {shown(key)} is not a setting that the original has; the export "
                "does not know what it changes"
            )

    def size(self, key: str, most: int, default: Any = MANDATORY) -> int:
        """A whole number from 1 to `most`."""
        value = self._get(key, default)
        if type(value) is not int or not 1 <= value <= most:
            raise self.wrong(key, value, f"a positive number up to {most}")
        return value

    def optional_size(self, key: str, most: int) -> int | None:
        """The same, or None where the file leaves it out or says null."""
        return None if self.raw.get(key) is None else self.size(key, most)

    def sizes(self, key: str, most: int, longest: int) -> list[int]:
        """A list of 1 to `longest` whole numbers from 1 to `most`."""
        values = self._get(key, MANDATORY)
        fits = isinstance(values, list) and 1 <= len(values) <= longest
        if not fits or any(type(v) is not int or not 1 <= v <= most for v in values):
            raise self.wrong(key, values, f"a list of 1 to {longest} numbers from 1 to {most}")
        return values

    def number(self, key: str, least: float, most: float, default: float) -> float:
        """A number from `least` to `most`; text counts, because YAML takes 1e-06 for it."""
        value = self._get(key, default)
        try:
            number = float(value) if type(value) in (int, float, str) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if not least <= number <= most:
            raise self.wrong(key, value, f"a number from {least:g} to {most:g}")
        return number

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self._get(key, default)
        if type(value) is not bool:
            raise self.wrong(key, value, "true or false")
        return value

    def word(self, key: str, default: str) -> str:
        """A text."""
        value = self._get(key, default)
        if type(value) is not str:
            raise self.wrong(key, value, "a text")
        return value

    def wrong(self, key: str, value: Any, wanted: str) -> ExportError:
        """The sentence for a value that is not what its key wants."""
        return ExportError(f"{self.path}: {key} {shown(value)} is not {wanted}")

    def _get(self, key: str, default: Any) -> Any:
        value = self.raw.get(key, default)
        if value is MANDATORY:
            raise ExportError(f"{self.path} does not say {key}")
        return value

"""A folder that appears whole or not at all.

It is written beside its place under a hidden name and renamed. If an error or a signal ends the
writing, the hidden folder goes away and what was there before is there again.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import ExportError
from .stop import unstoppable


@contextmanager
def whole_folder(out: Path, owned: str, replace: bool) -> Iterator[Path]:
    """Yields an empty folder that becomes `out` when the block is left without an error.

    An existing `out` is replaced only with `replace`, and only if it holds a file `owned`: then it
    is one of ours. Where `out` is a link, the folder that it leads to is meant.
    """
    place = _behind_links(out)
    _check_free(out, place, owned, replace)
    folder = place.with_name(f".{place.name}.{secrets.token_hex(4)}")  # known before it is made
    missing = [parent for parent in place.parents if not parent.exists()]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        yield folder
        _check_free(out, place, owned, replace)  # another export may have been faster
        if place.exists():
            place.rename(_aside(folder))
        folder.rename(place)
    finally:
        with unstoppable():
            _clear(folder, place, missing)


def _check_free(out: Path, place: Path, owned: str, replace: bool) -> None:
    if place.exists() and not replace:
        raise ExportError(f"{out} is already there; choose another --out, or --force to replace it")
    if place.exists() and not (place / owned).is_file():
        raise ExportError(f"{out} is there and is no model folder, so --force does not replace it")


def _behind_links(out: Path) -> Path:
    try:
        return out.resolve()
    except (OSError, RuntimeError) as error:
        raise ExportError(f"{out} is a link that leads nowhere: {error}") from error


def _aside(folder: Path) -> Path:
    """Where the folder that is replaced waits."""
    return folder.with_name(f"{folder.name}.old")


def _clear(folder: Path, place: Path, missing: list[Path]) -> None:
    old = _aside(folder)
    if old.exists() and not place.exists():
        old.rename(place)
    for left in (folder, old):
        shutil.rmtree(left, ignore_errors=True)
    for parent in missing:  # the innermost first; one that holds the model stays
        with suppress(OSError):
            parent.rmdir()

"""Progress for a person who watches: a bar on a terminal, silence elsewhere."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def is_watched() -> bool:
    """Whether standard error is a terminal; it may be closed."""
    return sys.stderr is not None and sys.stderr.isatty()


def bar(**options: Any) -> tqdm:
    """A bar of bytes on standard error, where that is a terminal."""
    return tqdm(unit="B", unit_scale=True, disable=not is_watched(), **options)


def note(text: str) -> None:
    """A remark that is no error, above any bar."""
    if sys.stderr is not None:
        tqdm.write(f"note: {text}", file=sys.stderr)

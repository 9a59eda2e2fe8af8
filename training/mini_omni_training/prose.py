"""What people read aloud that is no question: the sentences of the standard library's texts, and
free ones in the domain's own words."""

import re
import sysconfig
from functools import cache
from pathlib import Path

from .sentences import kind_and_sentence

SENTENCE = re.compile(r"(?<=[.!?\n])\s*([A-Z][a-z]+(?:,?\s+[a-z]{1,12}){4,13})\.\s")
FREE_SEED = 9_000_001
HELD_OUT_ONE_IN = 20


@cache
def _read() -> list[str]:
    library = Path(sysconfig.get_path("stdlib"))
    paths = [path for path in sorted(library.rglob("[a-z]*.py")) if "-packages" not in str(path)]
    texts = (path.read_text(errors="ignore") for path in paths)
    found = (" ".join(s.split()) + "." for text in texts for s in SENTENCE.findall(text))
    return sorted(set(found))


def prose(i: int, unseen: bool = False) -> str:
    """The i-th thing that is read aloud: one half free sentences, one half read from the library,
    of which one in twenty is to test with."""
    if i % 2 == 0:
        seed = FREE_SEED + unseen
        kind, text = kind_and_sentence(seed, i)
        while kind != "sentences":
            seed += 2
            kind, text = kind_and_sentence(seed, i)
        return text
    read = _read()
    at = i // 2 * HELD_OUT_ONE_IN if unseen else i // 2 + i // 2 // (HELD_OUT_ONE_IN - 1) + 1
    return read[at % len(read)]

"""What a long run has measured so far: a file a part, so that a killed run goes on."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SETTINGS = "settings.json"


class Kept:
    """Parts of one run in a folder; they belong together by its settings."""

    def __init__(self, folder: Path, settings: dict, resume: bool = False) -> None:
        """Goes on with the run that is there, if it is to and can; else begins anew."""
        self.folder = folder
        found = read(folder / SETTINGS) if resume else None
        if found is None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            write(folder / SETTINGS, settings)
        elif found != json.loads(json.dumps(settings)):
            changed = sorted(k for k in settings | found if found.get(k) != settings.get(k))
            sys.exit(f"{folder} was begun with another {', '.join(changed)}; "
                     "without --resume it is begun anew")

    def part(self, kind: str, name: str, make: Callable[[], Any]) -> Any:
        """One part's value, made if it is not there yet."""
        path = self.folder / f"{kind}, {name}.json".replace("/", "-")
        found = read(path)
        if found is None:
            print(f"{kind}: {name}", file=sys.stderr)
            began = time.monotonic()
            value = make()
            found = {"kind": kind, "seconds": time.monotonic() - began, "value": value}
            write(path, found)
        return found["value"]

    def seconds(self) -> dict[str, float]:
        """What each kind of part took, in the order of the first ones."""
        paths = [path for path in self.folder.glob("*.json") if path.name != SETTINGS]
        took: dict[str, float] = {}
        for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns):
            found = read(path)
            took[found["kind"]] = took.get(found["kind"], 0) + found["seconds"]
        return took


def read(path: Path) -> dict | None:
    """A file's content; none where there is no whole one."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def write(path: Path, value: dict) -> None:
    """Put in its place whole."""
    begun = path.with_suffix(".begun")
    begun.write_text(json.dumps(value) + "\n")
    begun.rename(path)

"""The licences of the crates that are linked into the program, in one text.

Cargo knows which crates these are; their sources, which Cargo has fetched, hold the texts. A text
that several crates share is printed once.
"""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from pathlib import Path

HEAD = """\
Linked into mini-omni: the Rust standard library (MIT OR Apache-2.0, the Rust Project Developers)
and the crates below, each unchanged from crates.io, with its licence.
"""
NAMES = ("licen", "copying", "notice", "unlicense", "copyright")


def licences(root: Path, target: str) -> str:
    """Every crate with its licence, then the texts."""
    crates = linked(root, target)
    texts = defaultdict(list)
    for crate in crates:
        for file in sorted(Path(crate["manifest_path"]).parent.iterdir()):
            if file.is_file() and file.name.lower().startswith(NAMES):
                text = file.read_text(errors="replace").replace("\r\n", "\n").strip()
                texts[text].append(title(crate))
    index = [f"{title(crate)}: {crate['license']}, {crate['repository'] or 'crates.io'}"
             for crate in crates]
    blocks = [block(owners, text) for text, owners in texts.items()]
    return "\n".join([HEAD, *index, *blocks]) + "\n"


def title(crate: dict) -> str:
    return f"{crate['name']} {crate['version']}"


def block(owners: list[str], text: str) -> str:
    return f"\n{'-' * 80}\n{', '.join(dict.fromkeys(owners))}\n\n{text}"


def linked(root: Path, target: str) -> list[dict]:
    """The packages that the program needs when it runs, by name: no build tool, no test's helper."""
    command = ["cargo", "metadata", "--locked", "--format-version=1", "--filter-platform", target]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    nodes = {node["id"]: node["deps"] for node in found["resolve"]["nodes"]}
    start = found["resolve"]["root"]
    reached, waiting = {start}, [start]
    while waiting:
        for dependency in nodes[waiting.pop()]:
            is_linked = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if is_linked and dependency["pkg"] not in reached:
                reached.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    packages = [package for package in found["packages"] if package["id"] in reached - {start}]
    return sorted(packages, key=lambda package: (package["name"], package["version"]))

"""Rounds of two systems into medians, spreads and ratios, and those into Markdown."""

from __future__ import annotations

import statistics


def compared(ours: str, other: str, rounds: dict[str, list[dict]]) -> dict:
    """Every measure of ours; `ratio` is the other over ours in the same round, where it has it."""
    rows = {}
    for name in rounds[ours][0]:
        mine = [r[name] for r in rounds[ours]]
        rows[name] = {"ours": spread(mine)}
        if name in rounds[other][0]:
            theirs = [r[name] for r in rounds[other]]
            ratio = spread([b / a for a, b in zip(mine, theirs)])
            rows[name] |= {"other": spread(theirs), "ratio": ratio}
    return {"ours": ours, "other": other, "rounds": len(rounds[ours]), "rows": rows}


def spread(values: list[float]) -> dict[str, float]:
    """Median, smallest, largest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def markdown(machine: dict, comparisons: list[dict]) -> str:
    """A table a comparison."""
    load = machine["load_average"][0]
    text = (f"{machine['cpu']}, {machine['threads']} threads; load average before the run "
            f"{load:.1f}. Medians (smallest to largest round); ratios above 1: mini-omni is faster "
            "or smaller.\n")
    for c in comparisons:
        text += f"\n| {c['rounds']} rounds in turn | {c['ours']} | {c['other']} | ratio |\n"
        text += "|---|---|---|---|\n"
        for name, row in c["rows"].items():
            cells = [cell(row.get(column)) for column in ("ours", "other", "ratio")]
            text += f"| {name} | {' | '.join(cells)} |\n"
    return text


def cell(s: dict[str, float] | None) -> str:
    """median (min to max), to three digits."""
    if s is None:
        return ""
    return f"{short(s['median'])} ({short(s['min'])} to {short(s['max'])})"


def short(x: float) -> str:
    """Three digits."""
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"

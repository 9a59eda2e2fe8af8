"""From the end of speech to the first sound of the answer, as an SVG: through `make bench`, or

    python waterfall.py TRACE.json MODEL_DIR > waterfall.svg

Colours are of middle brightness and there is no background, so that it reads on white and on dark.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

WIDTH, LEFT, RIGHT = 760, 120, 110  # pixels; names at the left, times behind the bars
ROW, BAR, TITLE, AXIS = 22, 14, 34, 62
TEXT, GRID = "#737b85", "#8b949e"
COLOURS = {"mel": "#bf8700", "encoder": "#3d8bd9", "prefill": "#8a63d2", "first steps": "#2da44e",
           "codec": "#d9663a"}
TICKS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]  # seconds between the axis's marks
MOST_TICKS = 10


@dataclass
class Bar:
    """Something that went on from `start` to `end`, ms after the end of speech."""

    name: str
    start: float
    end: float
    marks: list[float]  # ends of the steps within it


def bars(timings: dict, manifest: dict) -> list[Bar]:
    """A trace's timings in their order; the codec works beside the later steps."""
    codec = manifest["codec"]
    until_frame = max(manifest["delays"]) + 1  # steps that make the first frame
    lookahead = codec["delay_samples"] // codec["samples_per_frame"]  # frames behind it, first
    ends = list(accumulate([timings["mel"], timings["encoder"], timings["prefill"]]))
    steps = list(accumulate(timings["steps"], initial=ends[-1]))[1:]
    needed = steps[: until_frame + lookahead]
    return [
        Bar("mel", 0, ends[0], []),
        Bar("encoder", ends[0], ends[1], []),
        Bar("prefill", ends[1], ends[2], []),
        Bar("first steps", ends[2], needed[-1], needed),
        Bar("codec", steps[until_frame - 1], timings["first_audio"], []),
    ]


def svg(timings: dict[str, dict], manifest: dict, note: str = "") -> str:
    """One group of bars a trace's timings, all on one axis of seconds; `note` stands below."""
    groups = {title: bars(t, manifest) for title, t in timings.items()}
    longest = max(t["first_audio"] for t in timings.values())
    scale = (WIDTH - LEFT - RIGHT) / longest
    parts, y = [], 0
    for title, group in groups.items():
        parts.append(label(4, y + TITLE - 12, f"{title}: first audio after "
                           f"{group[-1].end / 1e3:.2f} s", weight="bold"))
        y += TITLE
        for bar in group:
            parts += drawn(bar, y, scale)
            y += ROW
    parts.append(label(LEFT + (WIDTH - LEFT - RIGHT) / 2, y + 54, note, anchor="middle"))
    height = y + AXIS
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12" '
            f'role="img" aria-label="From the end of speech to the first audio">\n'
            + "\n".join(axis(longest, scale, y) + parts) + "\n</svg>\n")


def drawn(bar: Bar, y: float, scale: float) -> list[str]:
    """A bar with its name, its time, and a notch where each step ends."""
    x, width = LEFT + bar.start * scale, max((bar.end - bar.start) * scale, 1)
    said = f"{bar.end - bar.start:.0f} ms"
    if bar.marks:
        said += f", {len(bar.marks)} steps"
    notches = [
        f'<path d="M{LEFT + at * scale:.1f} {y + 2}v{BAR}" stroke="#fff" stroke-opacity=".6"/>'
        for at in bar.marks[:-1]
    ]
    # A bar that ends far to the right has its time before it, so that nothing leaves the picture.
    late = bar.end * scale > WIDTH - LEFT - RIGHT - 30 and x > LEFT + 110
    time = label(x - 6, y + 13, said, anchor="end") if late else label(x + width + 6, y + 13, said)
    return [
        label(LEFT - 10, y + 13, bar.name, anchor="end"),
        f'<rect x="{x:.1f}" y="{y + 2}" width="{width:.1f}" height="{BAR}" rx="2" '
        f'fill="{COLOURS[bar.name]}"/>',
        *notches,
        time,
    ]


def axis(longest: float, scale: float, y: float) -> list[str]:
    """Grid lines and seconds below the bars."""
    seconds = longest / 1e3
    step = next((t for t in TICKS if seconds / t <= MOST_TICKS), TICKS[-1])
    parts = []
    for i in range(int(seconds / step) + 1):
        x = LEFT + 1e3 * i * step * scale
        parts.append(f'<path d="M{x:.1f} {TITLE - 6}V{y + 4}" stroke="{GRID}" '
                     'stroke-opacity=".35"/>')
        parts.append(label(x, y + 18, f"{i * step:g}", anchor="middle"))
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    return [*parts, label(middle, y + 36, "seconds after the end of speech", anchor="middle")]


def label(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    """Text of a grey that stands out from white and from black."""
    return (f'<text x="{x:.1f}" y="{y:.1f}" fill="{TEXT}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{text}</text>')


if __name__ == "__main__":
    said, described = (json.loads(Path(path).read_text()) for path in (
        sys.argv[1], Path(sys.argv[2]) / "manifest.json"))
    print(svg({said["task"]: said["timings_ms"]}, described), end="")

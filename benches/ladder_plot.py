"""The ladder's results as one picture: a row a rung, a panel a figure.

Text is grey and there is no background, so that it reads on white and on dark.
"""

from __future__ import annotations

import io

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

TEXT, GRID = "#737b85", "#8b949e"
COLOURS = {"fp32": "#8a63d2", "int8": "#3d8bd9", "int4": "#2da44e", "int4/32": "#9a6700"}
ROW, PANEL = 0.27, 1.55  # inches
# Of a panel: its title, a rung's figure, whether the axis begins at zero.
PANELS = [
    ("folder, MB", lambda r: (r["bytes"] / 1e6, None), True),
    ("first audio, ms", lambda r: spread(r["cost"]["first_audio_ms"]), True),
    ("step, ms", lambda r: spread(r["cost"]["step_ms"]), True),
    ("memory, MiB", lambda r: spread(r["cost"]["peak_memory_mib"]), True),
    ("same ids, %", lambda r: (100 * r["same_ids"], None), False),
    ("written right, %", lambda r: share(r["written"], "share"), False),
    ("natural right, %", lambda r: share(r["natural"], "share"), False),
    ("heard and right, %", lambda r: share(r["spoken"], "share"), False),
    ("WER, %", lambda r: share(r["words"], "corpus"), True),
    ("right as heard, %", lambda r: share(r["heard"], "share"), False),
    ("WER of the voice, %", lambda r: share(r["voice"], "corpus"), True),
]
JUDGED = 2  # panels at the end that need a judge


def svg(results: dict) -> str:
    """The picture."""
    rungs = results["rungs"]
    panels = PANELS if results["judged"] else PANELS[:-JUDGED]
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ladder", "font.size": 8,
                                "text.color": TEXT, "axes.labelcolor": TEXT, "xtick.color": TEXT,
                                "ytick.color": TEXT, "axes.edgecolor": GRID}):
        size = (1.7 + PANEL * len(panels), 0.9 + ROW * len(rungs))
        figure, axes = plt.subplots(1, len(panels), sharey=True, figsize=size)
        for axis, panel in zip(axes, panels):
            draw(axis, panel, rungs)
        names = [f"{r['model']}, {r['window']}, {r['kernels']}" for r in rungs]
        axes[0].set_yticks(range(len(rungs)), names)
        axes[0].invert_yaxis()
        figure.tight_layout(w_pad=0.6)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
        plt.close(figure)
    return text.getvalue()


def draw(axis, panel: tuple, rungs: list[dict]) -> None:
    """A dot a rung, with its interval."""
    title, figure, from_zero = panel
    for y, rung in enumerate(rungs):
        colour = COLOURS[rung["model"]]
        found = figure(rung)
        if found is None:
            continue
        value, ends = found
        if ends:
            axis.plot(ends, [y, y], color=colour, linewidth=1.2, alpha=0.7)
        axis.plot([value], [y], "o", color=colour, markersize=4.5)
    axis.set_title(title, fontsize=8)
    axis.grid(color=GRID, alpha=0.3, linewidth=0.5)
    axis.tick_params(length=0)
    axis.locator_params(axis="x", nbins=4)
    for side in axis.spines.values():
        side.set_visible(False)
    if from_zero:
        axis.set_xlim(left=0)


def spread(found: dict) -> tuple[float, list[float]]:
    """A median and the ends."""
    return found["median"], [found["min"], found["max"]]


def share(found: dict | None, key: str) -> tuple[float, list[float]] | None:
    """A figure of eval in per cent, and its interval; none where it was not asked for."""
    if found is None:
        return None
    interval = found["interval"]
    return 100 * found[key], [100 * interval["low"], 100 * interval["high"]]

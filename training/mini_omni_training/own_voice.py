"""The domain's answers as a checkpoint says them itself: speech whose codes are known, where the
codec's encoder is gone.

The words are forced; each answer is tried, as it comes and then drawn a little at random, until
a judge understands it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from . import tokenizer as tokenizers
from .domain import questions
from .generate import generate_many, taken_apart
from .model import Omni
from .store import codes_store

SILENCE = np.zeros(2048, np.float32)
TEMPERATURE = 0.5  # of tries after the first
Say = Callable[[Tensor], np.ndarray]  # frames [n, 7] -> 24 kHz speech
Understood = Callable[[list[np.ndarray], list[str]], list[bool]]  # by the judge, as these texts


def speak_answers(
    work: Path, checkpoint: Path, say: Say, understood: Understood, tries: int = 6, batch: int = 64
) -> None:
    """Adds a rendering of every answer to the codes of "own", with `clear`: whether the judge
    understood it. What it never did is kept as it is said in the end, lest it be forgotten."""
    torch.manual_seed(0)
    model, tokenizer = Omni.load(checkpoint).eval(), tokenizers.load(work / "tokenizer.json")
    store, ways = codes_store(work, "own"), defaultdict(list)
    for q in questions():
        if not q.held_out:
            ways[q.answer].append(tokenizer.encode(q.question).ids)
    done = {meta["text"] for meta in store.meta}
    for turn in range(tries):
        due = [(asked[turn % len(asked)], text) for text, asked in ways.items() if text not in done]
        temperature = TEMPERATURE if turn else 0.0
        with tqdm(total=len(due), unit="answer", desc=f"try {turn + 1}", mininterval=10) as bar:
            for asked, texts in _batches(due, batch):
                forced = [tokenizer.encode(text).ids for text in texts]
                steps = generate_many(model, "T1A2", asked, force=forced, temperature=temperature)
                taken = [taken_apart(model.config, one) for one in steps]
                spoken = [say(frames) if len(frames) else SILENCE for _, _, frames in taken]
                clear = understood(spoken, texts)
                for text, ids, (said, at, frames), is_clear in zip(texts, forced, taken, clear):
                    whole = said == ids and len(frames) > at[-1]
                    if whole and (is_clear or turn == tries - 1):
                        store.append(frames.numpy(), text=text, at=at, clear=is_clear)
                        done.add(text)
                bar.update(len(texts))


def _batches(
    due: list[tuple[list[int], str]], n: int
) -> Iterator[tuple[list[list[int]], list[str]]]:
    """At most n questions of one length, and their answers."""
    due = sorted(due, key=lambda one: len(one[0]))
    for _, same in groupby(due, key=lambda one: len(one[0])):
        while some := list(islice(same, n)):
            yield [asked for asked, _ in some], [text for _, text in some]

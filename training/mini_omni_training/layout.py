"""How a task's columns are laid out: prompt, delayed answer, and what each column must predict.

The six tasks of the runtime, and phase 1's text to speech: `READ` repeats a text prompt aloud;
`SAY` speaks, without a prompt, what the text stream is made to say, as a spoken answer does; and
`FINISH` computes, without a prompt, the end of an answer that has named its operands.

Text that is heard keeps pace with its sound: `pad_t` stands between words, so that speech is read
off the text next to it. The runtime leaves `pad_t` out of the text, as it does any special id.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .config import AUDIO_STREAMS, STREAMS, Config

IGNORE = -100  # no loss here
ANY_WORD = -101  # some word begins now, whichever: every id that begins one is right


@dataclass(frozen=True)
class Task:
    """What goes in, what comes out, and the two marks that end the prompt."""

    hears: bool
    speaks: bool
    paced: bool  # text keeps pace with its sound (A1T2's may be lent to the spoken row of a batch)
    audio_mark: str
    text_mark: str


TASKS = {
    "A1A2": Task(True, True, True, "answer_a", "answer_t"),
    "A1T2": Task(True, False, True, "pad_a", "answer_t"),
    "A1T1": Task(True, False, False, "pad_a", "asr"),
    "T1A2": Task(False, True, True, "answer_a", "answer_t"),
    "T1T2": Task(False, False, False, "pad_a", "answer_t"),
    "READ": Task(False, True, True, "answer_a", "asr"),
    "SAY": Task(False, True, True, "answer_a", "answer_t"),
    "FINISH": Task(False, False, True, "pad_a", "answer_t"),
}


@dataclass
class Row:
    """One training row, unpadded: ids and labels [8, s], features [f, whisper] at columns 1..f and
    the text ids [w] of what they say, if anything is heard."""

    ids: Tensor
    labels: Tensor
    features: Tensor | None
    words: Tensor

    def __len__(self) -> int:
        return self.ids.shape[1]


def prompt(config: Config, task: Task, text: list[int], n_features: int) -> Tensor:
    """The prompt's ids, [8, n]: `text` for a text source, `n_features` for an audio source."""
    n = n_features if task.hears else len(text)
    ids = torch.full((STREAMS, n + 3), config.audio_id("pad_a"))
    ids[AUDIO_STREAMS] = config.text_id("pad_t")
    if task.hears:
        ids[:AUDIO_STREAMS, 0] = config.audio_id("input_a")
        ids[:AUDIO_STREAMS, n + 1] = config.audio_id("eoa")
    else:
        ids[AUDIO_STREAMS, 1 : n + 1] = torch.tensor(text, dtype=torch.long)
    ids[AUDIO_STREAMS, 0] = config.text_id("input_t")
    ids[AUDIO_STREAMS, n + 1] = config.text_id("eot")
    ids[:AUDIO_STREAMS, n + 2] = config.audio_id(task.audio_mark)
    ids[AUDIO_STREAMS, n + 2] = config.text_id(task.text_mark)
    return ids


def answer(
    config: Config, text: list[int], frames: Tensor | None, at: list[int] | None = None
) -> Tensor:
    """What the model says, [8, steps]: text ids, eot, pad_t; stream j's codes delayed by j + 1,
    then eoa. frames [n, 7], or None for text alone; `at`: the step of each text id, where they do
    not simply follow each other."""
    n = 0 if frames is None else len(frames)
    at = list(range(len(text))) if at is None else at
    end = at[-1] + 1 if at else 0
    steps = max(end + 1, n + STREAMS if n else 0)
    ids = torch.full((STREAMS, steps), config.audio_id("pad_a"))
    ids[AUDIO_STREAMS] = config.text_id("pad_t")
    ids[AUDIO_STREAMS, at] = torch.tensor(text, dtype=torch.long)
    ids[AUDIO_STREAMS, end] = config.text_id("eot")
    for j in range(AUDIO_STREAMS if n else 0):
        ids[j, j + 1 : j + 1 + n] = frames[:, j]
        ids[j, j + 1 + n] = config.audio_id("eoa")
    return ids


def undelay(steps: Tensor) -> Tensor:
    """Kept steps [8, n + 7] -> frames [n, 7]."""
    n = max(0, steps.shape[1] - AUDIO_STREAMS)
    return torch.stack([steps[j, j + 1 : j + 1 + n] for j in range(AUDIO_STREAMS)], dim=1)


def row(
    config: Config,
    task: Task,
    source: list[int] | Tensor,
    said: Tensor,
    words: Sequence[int] = (),
) -> Row:
    """source: text ids or audio features; said: `answer`'s ids; words: text ids of the features."""
    features = source if task.hears else None
    text = [] if task.hears else source
    before = prompt(config, task, text, len(source))
    ids = torch.cat([before, said[:, :-1]], dim=1)
    labels = torch.full_like(ids, IGNORE)
    labels[:, before.shape[1] - 1 :] = said
    if not task.speaks:
        labels[:AUDIO_STREAMS] = IGNORE
    return Row(ids, labels, features, torch.tensor(words, dtype=torch.long))


@dataclass
class Batch:
    """Rows padded on the right: ids, labels [b, 8, s]; features [b, s, whisper], heard [b, s];
    words [b, w], padded with IGNORE."""

    ids: Tensor
    labels: Tensor
    features: Tensor | None
    heard: Tensor | None
    words: Tensor | None

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        parts = (self.ids, self.labels, self.features, self.heard, self.words)
        return Batch(*(None if part is None else part.to(device) for part in parts))


def collate(config: Config, rows: list[Row]) -> Batch:
    """Pads rows to the longest."""
    longest = max(r.ids.shape[1] for r in rows)
    ids = torch.full((len(rows), STREAMS, longest), config.audio_id("pad_a"))
    ids[:, AUDIO_STREAMS] = config.text_id("pad_t")
    labels = torch.full_like(ids, IGNORE)
    heard = torch.zeros(len(rows), longest, dtype=torch.bool)
    features = torch.zeros(len(rows), longest, config.whisper_adapter_dim)
    for i, r in enumerate(rows):
        ids[i, :, : r.ids.shape[1]] = r.ids
        labels[i, :, : r.ids.shape[1]] = r.labels
        if r.features is not None:
            n = len(r.features)
            features[i, 1 : n + 1] = r.features
            heard[i, 1 : n + 1] = True
    if not heard.any():
        return Batch(ids, labels, None, None, None)
    words = pad_sequence([r.words for r in rows], batch_first=True, padding_value=IGNORE)
    return Batch(ids, labels, features, heard, words)

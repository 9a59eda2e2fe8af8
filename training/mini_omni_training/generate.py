"""Greedy generation in torch: the runtime's one loop, to look at a model between exports."""

from collections import deque

import torch
import torch.nn.functional as F
from torch import Tensor

from .config import AUDIO_STREAMS, STREAMS, Config
from .layout import TASKS, prompt, undelay
from .model import Omni, Past


class Forced:
    """Text ids to be said. A word begins when the model finds it likelier that one does than that
    none does; its other ids, punctuation and `eot` follow at once. (That a text ends here, which
    the model may expect after any noun, is thus not taken for a word that begins.)"""

    def __init__(self, text: list[int], eot: int, starts: Tensor) -> None:
        self.left, self.starts, self.first = deque([*text, eot]), starts, True

    def next_id(self, likely: Tensor, pad: int) -> int:
        """likely [vocabulary] -> the next id, or `pad`."""
        if not self.left:
            return pad
        due = self.first or not self.starts[self.left[0]] or likely[self.starts].sum() > likely[pad]
        self.first = False
        return self.left.popleft() if due else pad


@torch.inference_mode()
def generate(
    model: Omni,
    name: str,
    source: list[int] | Tensor,
    limit: int = 300,
    force: Forced | None = None,
) -> tuple[list[int], Tensor]:
    """source: text ids or features [n, width] -> (text ids without eot, frames [n, 7]).

    `force`: what is said whatever the model would say; it only says when.
    """
    (steps,) = generate_many(model, name, [source], limit, [force] if force else None)
    text, _, frames = taken_apart(model.config, steps)
    return text, frames


@torch.inference_mode()
def generate_many(
    model: Omni,
    name: str,
    sources: list[list[int]] | list[Tensor],
    limit: int = 300,
    force: list[Forced] | None = None,
) -> list[Tensor]:
    """Sources of one length -> the steps of each answer, [8, n]."""
    config, task, past = model.config, TASKS[name], Past()
    n, length = len(sources), len(sources[0])
    texts = [[] if task.hears else source for source in sources]
    ids = torch.stack([prompt(config, task, text, length) for text in texts])
    x = model(ids, *_heard(task.hears, sources, ids.shape[-1]), past)[:, -1]
    eot, pad = config.text_id("eot"), config.text_id("pad_t")
    ended, last = torch.zeros(n, dtype=torch.bool), torch.full((n,), limit)
    said: list[Tensor] = []
    while len(said) < limit:
        column = torch.full((n, STREAMS), config.audio_id("pad_a"))
        logits = model.text_logits(x)
        if force is None:
            text = logits.argmax(-1)
        else:
            text = torch.tensor([f.next_id(of, pad) for f, of in zip(force, logits.softmax(-1))])
        column[:, AUDIO_STREAMS] = torch.where(ended, pad, text)
        ended |= column[:, AUDIO_STREAMS] == eot
        done = ended
        if task.speaks:
            column[:, :AUDIO_STREAMS] = model.audio_logits(x).argmax(-1)
            done = column[:, AUDIO_STREAMS - 1] == config.audio_id("eoa")
        if said:
            last = last.where(~done, last.clamp(max=len(said)))
            if (last <= len(said)).all():
                break
        said.append(column)
        x = model(column[..., None], None, None, past)[:, -1]
    steps = torch.stack(said, dim=2)
    return [row[:, :end] for row, end in zip(steps, last.tolist())]


def taken_apart(config: Config, steps: Tensor) -> tuple[list[int], list[int], Tensor]:
    """An answer's steps [8, n] -> (text ids without specials, the step of each, frames [n, 7])."""
    text, eot = steps[AUDIO_STREAMS].tolist(), config.text_id("eot")
    text = text[: text.index(eot)] if eot in text else text
    at = [i for i, t in enumerate(text) if t < eot]
    frames = undelay(steps)
    outside = (frames >= config.audio_id("eoa")).any(dim=1).nonzero()
    frames = frames[: int(outside[0]) if len(outside) else None]
    return [text[i] for i in at], at, frames


def _heard(
    hears: bool, sources: list[list[int]] | list[Tensor], n: int
) -> tuple[Tensor | None, Tensor | None]:
    if not hears:
        return None, None
    features = F.pad(torch.stack(sources), (0, 0, 1, n - 1 - len(sources[0])))
    heard = torch.zeros(features.shape[:2], dtype=torch.bool)
    heard[:, 1 : len(sources[0]) + 1] = True
    return features, heard

"""Greedy generation in torch: the runtime's one loop, to look at a model between exports."""

import torch
from torch import Tensor

from .config import AUDIO_STREAMS, STREAMS
from .layout import TASKS, prompt, undelay
from .model import Omni, Past


@torch.inference_mode()
def generate(
    model: Omni,
    name: str,
    source: list[int] | Tensor,
    limit: int = 300,
    force: list[int] | None = None,
) -> tuple[list[int], Tensor]:
    """source: text ids or features [n, width] -> (text ids without eot, frames [n, 7]).

    `force`: text ids that are said whatever the model would say; it only says when.
    """
    config, task, past = model.config, TASKS[name], Past()
    ids = prompt(config, task, [] if task.hears else source, len(source))[None]
    x = model(ids, *_heard(task.hears, source, ids.shape[-1]), past)[:, -1]
    eot, pad = config.text_id("eot"), config.text_id("pad_t")
    said: list[Tensor] = []
    ended = False
    forced = iter([*(force or []), eot])
    while len(said) < limit:
        column = torch.full((STREAMS,), config.audio_id("pad_a"))
        column[AUDIO_STREAMS] = pad
        if not ended:
            logits = model.text_logits(x)[0]
            if force is None:
                column[AUDIO_STREAMS] = logits.argmax()
            elif logits.softmax(-1)[pad] <= 0.5:
                column[AUDIO_STREAMS] = next(forced)
        if task.speaks:
            column[:AUDIO_STREAMS] = model.audio_logits(x)[0].argmax(-1)
        ended = ended or int(column[AUDIO_STREAMS]) == eot
        last = column[AUDIO_STREAMS - 1] == config.audio_id("eoa") if task.speaks else ended
        if said and last:
            break
        said.append(column)
        x = model(column[None, :, None], None, None, past)[:, -1]
    steps = torch.stack(said, dim=1)
    text = steps[AUDIO_STREAMS].tolist()
    text = text[: text.index(eot)] if eot in text else text
    frames = undelay(steps) if task.speaks else torch.zeros(0, AUDIO_STREAMS, dtype=torch.long)
    outside = (frames >= config.audio_id("eoa")).any(dim=1).nonzero()
    return [t for t in text if t < eot], frames[: int(outside[0]) if len(outside) else None]


def _heard(hears: bool, source: list[int] | Tensor, n: int) -> tuple[Tensor | None, Tensor | None]:
    if not hears:
        return None, None
    features = torch.zeros(1, n, source.shape[1])
    features[0, 1 : len(source) + 1] = source
    heard = torch.zeros(1, n, dtype=torch.bool)
    heard[0, 1 : len(source) + 1] = True
    return features, heard

"""The losses of `phases.py` for packed lines; nothing here waits for the device."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .config import AUDIO_STREAMS
from .layout import ANY_WORD, TASKS
from .model import Omni
from .phases import AUDIO_WEIGHT, HEARD_WEIGHT, LEVEL_WEIGHTS, words_known_in
from .sounds import Table


def losses(
    model: Omni, table: Table, batch: dict[str, Tensor], any_word: Tensor, mix: dict[str, float]
) -> tuple[Tensor, dict[str, Tensor]]:
    """-> what to lower, and its parts; `text_each` and `audio_each` are by task, as in `mix`, each
    times the task's share. `any_word` [vocabulary]: 0 for an id that begins a word, else -inf."""
    with torch.autocast(batch["ids"].device.type, torch.bfloat16):
        blocks = packed_blocks(model, table, batch)
        x = blocks[-1].flatten(0, 1)
        text_logits = model.text_logits(x[batch["text_at"].long()])
        audio_logits = model.audio_logits(x[batch["audio_at"].long()])
    each = {
        "text": text_losses(text_logits.float(), batch["text"].long(), any_word),
        "audio": audio_losses(audio_logits.float(), batch["audio"].long()),
    }
    each = {kind: loss * batch[f"{kind}_weight"] for kind, loss in each.items()}
    sums = {kind: loss.sum() for kind, loss in each.items()}
    parts = {kind: loss.detach() for kind, loss in sums.items()}
    for kind, loss in each.items():
        tasks = batch[f"{kind}_task"].long()
        by_task = torch.zeros(len(mix), device=loss.device)
        parts[f"{kind}_each"] = by_task.index_add(0, tasks, loss.detach())
    loss = sums["text"] + AUDIO_WEIGHT * sums["audio"]
    if len(batch["ctc_at"]):
        heard = heard_loss(model, batch, blocks[words_known_in(model)].flatten(0, 1))
        parts["heard"] = heard.detach()
        share = sum(share for name, share in mix.items() if TASKS[name].hears)
        loss = loss + HEARD_WEIGHT * share * heard
    return loss, parts


def packed_blocks(model: Omni, table: Table, batch: dict[str, Tensor]) -> list[Tensor]:
    """`Omni.blocks` of a batch's lines."""
    lines, _, length = batch["ids"].shape
    features = here = None
    if len(batch["heard_at"]):
        at, device = batch["heard_at"].long(), batch["ids"].device
        width = model.config.whisper_adapter_dim
        features = torch.zeros(lines * length, width, device=device)
        features = features.index_copy(0, at, table.take(batch)).unflatten(0, (lines, length))
        here = torch.zeros(lines * length, dtype=torch.bool, device=device)
        here = here.index_fill(0, at, True).unflatten(0, (lines, length))
    mask = who_sees_whom(batch["segment"])
    return model.blocks(batch["ids"].long(), features, here, mask=mask)


def who_sees_whom(segment: Tensor) -> Tensor:
    """segment [b, s] -> what is added to scores, [b, 1, s, s]: 0 for the columns of the same row so
    far, else -inf."""
    n = segment.shape[1]
    past = torch.ones(n, n, dtype=torch.bool, device=segment.device).tril()
    seen = (segment[:, :, None] == segment[:, None, :]) & past
    mask = torch.zeros(seen.shape, dtype=torch.bfloat16, device=segment.device)
    return mask.masked_fill(~seen, -torch.inf)[:, None]


def text_losses(logits: Tensor, wanted: Tensor, any_word: Tensor) -> Tensor:
    """As `phases.text_loss`, of each label."""
    logs = logits.log_softmax(-1)
    known = logs.gather(1, wanted.clamp(min=0)[:, None])[:, 0]
    begun = (logs + any_word).logsumexp(-1)
    return -torch.where(wanted == ANY_WORD, begun, known)


def audio_losses(logits: Tensor, wanted: Tensor) -> Tensor:
    """logits [n, 7, codes], wanted [n, 7] -> [n], the streams weighed by LEVEL_WEIGHTS."""
    each = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none")
    weights = torch.tensor(LEVEL_WEIGHTS, device=logits.device)
    return (each.unflatten(0, (-1, AUDIO_STREAMS)) * weights).sum(1) / weights.sum()


def heard_loss(model: Omni, batch: dict[str, Tensor], x: Tensor) -> Tensor:
    """As `phases.heard_loss`; x [lines * length, e]."""
    longest = int(batch["ctc_length"].max())
    steps = torch.arange(longest, device=x.device)
    at = (batch["ctc_at"].long()[:, None] + steps).clamp(max=len(x) - 1)
    with torch.autocast(x.device.type, torch.bfloat16):
        logits = model.text_logits(model.transformer["ln_f"](x[at]))
    each = F.ctc_loss(
        logits.float().log_softmax(-1).transpose(0, 1),
        batch["ctc_words"].long(),
        batch["ctc_length"].tolist(),  # lists: sizes on the device would be waited for
        batch["ctc_count"].tolist(),
        blank=model.config.text_id("pad_t"),
        reduction="none",
        zero_infinity=True,
    )
    counts = batch["ctc_count"].to(x.device, non_blocking=True)
    return (each / counts * batch["ctc_weight"]).sum()

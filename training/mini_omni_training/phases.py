"""The three phases of "Any Model Can Talk": what learns in each, on which tasks.

phase 1  modality alignment: the base language model is frozen; the adapter and the new embeddings
         (and, for a base that starts from nothing, everything: `--from-scratch`) learn ASR and TTS
phase 2  adaptation: the adapter is frozen; the language model learns text and audio questions
         (a quarter of it keeps speaking, which so small a model would forget)
phase 3  fine-tuning of everything, on every task
"""

import random
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from . import tokenizer as tokenizers
from .config import AUDIO_STREAMS, Config
from .items import Items
from .layout import ANY_WORD, IGNORE, Batch, collate
from .loop import Losses, Schedule, Trainer, draw_curves
from .model import Omni

AUDIO_WEIGHT = 2.0  # of the streams' mean loss, beside the text's
HEARD_WEIGHT = 0.3  # of `heard_loss`, beside the text's
ALONE_WEIGHT = 0.5  # of `heard_alone`, beside all
HEARD_BY = 0.3  # of the blocks lie below the one in which words are known; the rest may answer
LEVEL_WEIGHTS = (1.0, 0.7, 0.4, 0.4, 0.7, 0.4, 0.4)  # of the seven streams' losses


@dataclass(frozen=True)
class Phase:
    """A mix of tasks (by the batches led by them) and which parts learn."""

    tasks: dict[str, float]
    base: bool
    adapter: bool


PHASES = {
    1: Phase({"SAY": 0.75, "READ": 0.15, "A1T1": 0.1}, base=False, adapter=True),
    2: Phase({"T1T2": 0.5, "A1T2": 0.2, "A1T1": 0.1, "SAY": 0.2}, base=True, adapter=False),
    3: Phase(
        {"SAY": 0.22, "A1A2": 0.3, "T1A2": 0.06, "A1T2": 0.18, "T1T2": 0.12, "A1T1": 0.12},
        base=True,
        adapter=True,
    ),
}


@dataclass(frozen=True)
class Plan:
    """How a phase is run."""

    columns: int = 3000  # of a batch, padding included
    heard: int = 0  # further columns of a batch that are heard and nothing more
    corrupt: float = 0.3  # mean share of fed-back audio ids that are replaced at random
    from_scratch: bool = True  # phase 1 trains the base too
    tasks: dict[str, float] | None = None  # other shares than the phase's own
    layers: int | None = None  # blocks, where the base shall get more


def freeze(model: Omni, phase: Phase, everything: bool) -> None:
    """Sets what learns. The embeddings (and the tied head) hold the new ids: they always learn."""
    model.requires_grad_(phase.base or everything)
    model.whisper_adapter.requires_grad_(phase.adapter or everything)
    model.transformer["wte"].requires_grad_(True)
    model.lm_head.requires_grad_(True)


def corrupt(config: Config, batch: Batch, mean: float) -> Tensor:
    """Replaces a random share (0..2 x mean a row) of the audio codes that are fed back, so that
    speech must be read off the text and not continued."""
    audio = batch.ids[:, :AUDIO_STREAMS]
    share = torch.rand(len(audio), 1, 1) * 2 * mean
    codes = audio < config.audio_id("eoa")
    hit = codes & (torch.rand(audio.shape) < share)
    ids = batch.ids.clone()
    noise = torch.randint(config.audio_id("eoa"), audio.shape)
    ids[:, :AUDIO_STREAMS] = torch.where(hit, noise, audio)
    return ids


def losses(model: Omni, batch: Batch, ids: Tensor, starts: Tensor) -> tuple[Tensor, Losses]:
    """Mean cross-entropies: text plus the weighted mean of the audio streams, and `heard_loss`.
    `starts`: see `tokenizer.word_starts`."""
    with torch.autocast(ids.device.type, torch.bfloat16):
        blocks = model.blocks(ids, batch.features, batch.heard)
        x = blocks[-1]
        text_at = batch.labels[:, AUDIO_STREAMS] != IGNORE
        text_logits = model.text_logits(x[text_at])
        audio_at = batch.labels[:, 0] != IGNORE
        audio_logits = model.audio_logits(x[audio_at]) if audio_at.any() else None
    text = torch.zeros((), device=ids.device)
    if text_at.any():
        wanted = batch.labels[:, AUDIO_STREAMS][text_at]
        text = text_loss(text_logits.float(), wanted, starts)
    named = {"text": float(text.detach())}
    if batch.heard is not None:
        heard = heard_loss(model, batch, blocks[words_known_in(model)])
        named["heard"] = float(heard.detach())
        text = text + HEARD_WEIGHT * heard
    if audio_logits is None:
        return text, named
    wanted = batch.labels[:, :AUDIO_STREAMS].transpose(1, 2)[audio_at]
    each = torch.stack(
        [F.cross_entropy(audio_logits[:, j].float(), wanted[:, j]) for j in range(AUDIO_STREAMS)]
    )
    weights = torch.tensor(LEVEL_WEIGHTS, device=each.device)
    audio = (each * weights).sum() / weights.sum()
    levels = {"level0": each[0], "level1": each[[1, 4]].mean(), "level2": each[[2, 3, 5, 6]].mean()}
    named |= {k: float(v.detach()) for k, v in levels.items()}
    return text + AUDIO_WEIGHT * audio, named


def words_known_in(model: Omni) -> int:
    """The block in which the words of what is heard are known."""
    return int(HEARD_BY * len(model.transformer["h"]))


def heard_loss(model: Omni, batch: Batch, x: Tensor) -> Tensor:
    """Connectionist temporal classification of the words of what is heard, by an early block's
    output x [b, s, e] and the text head; `pad_t` is its blank. Per word id.

    An answer must know both numbers of a question before its first word. Later blocks can compute
    it as from a written question only if the earlier ones leave words and not sounds."""
    rows = batch.heard.any(1)
    words, lengths = batch.words[rows], batch.heard[rows].sum(1)
    longest = int(lengths.max())
    with torch.autocast(x.device.type, torch.bfloat16):
        normed = model.transformer["ln_f"](x[rows, 1 : longest + 1])
        logits = model.text_logits(normed)
    return F.ctc_loss(
        logits.float().log_softmax(-1).transpose(0, 1),
        words,
        lengths,
        (words >= 0).sum(1),
        blank=model.config.text_id("pad_t"),
        zero_infinity=True,  # of a clip with fewer features than words
    )


def heard_alone(model: Omni, batch: Batch) -> Tensor:
    """`heard_loss` of a batch by the blocks up to the one in which words are known, which costs a
    third of the whole: hearing needs more examples than answering."""
    n = int(batch.heard.sum(1).max()) + 1
    ids, features, heard = batch.ids[..., :n], batch.features[:, :n], batch.heard[:, :n]
    depth = words_known_in(model) + 1
    with torch.autocast(ids.device.type, torch.bfloat16):
        x = model.blocks(ids, features, heard, depth=depth)[-1]
    return heard_loss(model, replace(batch, heard=heard), x)


def text_loss(logits: Tensor, wanted: Tensor, starts: Tensor) -> Tensor:
    """Mean cross-entropy of logits [n, vocabulary]; for ANY_WORD, of its being one of `starts`."""
    logs = logits.log_softmax(-1)
    known = logs.gather(1, wanted.clamp(min=0)[:, None])[:, 0]
    begins = wanted == ANY_WORD
    known[begins] = logs[begins][:, starts].logsumexp(-1)
    return -known.mean()


def train(
    work: Path, number: int, config: Config, schedule: Schedule, plan: Plan, base: Path | None
) -> Omni:
    """Runs a phase from `base` (a published layout, or an earlier phase's folder)."""
    phase = PHASES[number]
    phase = replace(phase, tasks=plan.tasks or phase.tasks)
    model = Omni.load(base) if base else Omni(config)
    if plan.layers:
        model = model.deepened(plan.layers)
    freeze(model, phase, everything=number == 1 and plan.from_scratch)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    tokenizer = tokenizers.load(work / "tokenizer.json")
    items = Items(work, model.config, tokenizer)
    starts = items.starts.to(device)
    folder = work / f"phase{number}"
    missing = [name for name in phase.tasks if not items.has(name)]
    if missing:
        tqdm.write(f"left out, since nothing is prepared for them: {', '.join(missing)}")
        kept = {name: share for name, share in phase.tasks.items() if name not in missing}
        phase = replace(phase, tasks=kept)

    def step(_: int, rng: random.Random) -> tuple[Tensor, Losses]:
        batch = collate(model.config, items.draw(rng, phase.tasks, plan.columns))
        ids = corrupt(model.config, batch, plan.corrupt)  # drawn alike on every device
        loss, named = losses(model, batch.to(device), ids.to(device), starts)
        if plan.heard and items.has("A1T1"):
            further = collate(model.config, items.draw(rng, {"A1T1": 1.0}, plan.heard))
            alone = heard_alone(model, further.to(device))
            loss, named["alone"] = loss + ALONE_WEIGHT * alone, float(alone.detach())
        return loss, named

    trainer = Trainer(folder, model, schedule, model.matrices())
    trainer.run(step, lambda: held_out(model, items, phase))
    model.save(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    draw_curves(folder)
    return model


@torch.inference_mode()
def held_out(model: Omni, items: Items, phase: Phase) -> Losses:
    """Cross-entropy on unseen sentences and questions, nothing corrupted; for speech also with
    another row's text in the text stream, which must cost more if the text is read at all."""
    found: Losses = {}
    device = model.lm_head.weight.device
    starts = items.starts.to(device)
    for task in phase.tasks:
        rows = items.unseen(task, 32)
        if not rows:
            continue
        batch = collate(model.config, rows).to(device)
        _, named = losses(model, batch, batch.ids, starts)
        found |= {f"{task}/{k}": v for k, v in named.items()}
        if task == "SAY":
            wrong = batch.ids.clone()
            wrong[:, AUDIO_STREAMS] = wrong[:, AUDIO_STREAMS].roll(1, dims=0)
            found["SAY/level0_wrong_text"] = losses(model, batch, wrong, starts)[1]["level0"]
    return found

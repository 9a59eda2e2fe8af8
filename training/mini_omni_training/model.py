"""The language model for training, with the published parameter names (lit-gpt's).

    ids [b, 8, s] --8 tables, summed / 8--> x [b, s, e] --n_layer blocks--> heads: text and 7 audio

`state_dict()` is the published `lit_model.pth`.
"""

import os
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import AUDIO_STREAMS, STREAMS, Config


class SwiGlu(nn.Module):
    """proj(silu(fc_1 x) * fc_2 x); also the audio adapter."""

    def __init__(self, into: int, hidden: int, out: int) -> None:
        super().__init__()
        self.fc_1 = nn.Linear(into, hidden, bias=False)
        self.fc_2 = nn.Linear(into, hidden, bias=False)
        self.proj = nn.Linear(hidden, out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(F.silu(self.fc_1(x)) * self.fc_2(x))


class Attention(nn.Module):
    """Causal, rotary, grouped queries; the rows of `attn` are interleaved by query group."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        rows = (config.n_head + 2 * config.n_query_groups) * config.head_size
        self.attn = nn.Linear(config.n_embd, rows, bias=config.add_qkv_bias)
        self.proj = nn.Linear(config.n_head * config.head_size, config.n_embd, bias=False)

    def forward(
        self,
        x: Tensor,
        turn: tuple[Tensor, Tensor],
        past: "Past | None",
        mask: Tensor | None = None,
    ) -> Tensor:
        """x [b, s, e]; turn: cos and sin [s, head_size]; mask: see `Omni.blocks` -> [b, s, e]."""
        groups, size = self.config.n_query_groups, self.config.head_size
        per_group = self.config.n_head // groups
        qkv = self.attn(x).unflatten(-1, (groups, per_group + 2, size)).permute(0, 2, 3, 1, 4)
        q, k, v = qkv.split([per_group, 1, 1], dim=2)  # [b, groups, heads, s, size]
        q, k, v = _rotate(q, turn), _rotate(k, turn)[:, :, 0], v[:, :, 0]
        if past is not None:
            k, v = past.extend(self, k, v)
        k, v = (t.repeat_interleave(per_group, dim=1) for t in (k, v))
        out = _attend(q.flatten(1, 2), k, v, mask)
        return self.proj(out.transpose(1, 2).flatten(2))

    @torch.no_grad()
    def look_back(self, columns: list[int]) -> None:
        """Starts each head with a look at about the column so far back, by its biases alone: turned
        against each other, they meet best at that distance. Training may undo it."""
        groups, size = self.config.n_query_groups, self.config.head_size
        bias = self.attn.bias.view(groups, -1, size)
        pairs = size // 2
        theta = self.config.rope_base ** -(torch.arange(pairs) / pairs)
        near = theta > 0.04  # slower pairs do not tell near columns apart
        strength = (3.5 * size**0.5 / near.sum()) ** 0.5 * near
        bias[:, -2, :pairs] = strength
        for head, back in enumerate(columns):
            query = bias[head // (len(columns) // groups), head % (len(columns) // groups)]
            query[:pairs] = strength * torch.cos(back * theta)
            query[pairs:] = -strength * torch.sin(back * theta)


class Past:
    """Keys and values of earlier columns; prefill in one piece, then one column a call."""

    def __init__(self) -> None:
        self.length = 0
        self.keys: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def extend(self, layer: nn.Module, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Appends to a layer's keys and values [b, groups, s, size] and returns them whole."""
        if layer in self.keys:
            before = self.keys[layer]
            k, v = torch.cat([before[0], k], dim=2), torch.cat([before[1], v], dim=2)
        self.keys[layer] = (k, v)
        return k, v


class Block(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.norm_1 = nn.RMSNorm(config.n_embd, eps=config.norm_eps)
        self.attn = Attention(config)
        self.norm_2 = nn.RMSNorm(config.n_embd, eps=config.norm_eps)
        self.mlp = SwiGlu(config.n_embd, config.intermediate_size, config.n_embd)

    def forward(
        self,
        x: Tensor,
        turn: tuple[Tensor, Tensor],
        past: Past | None,
        mask: Tensor | None = None,
    ) -> Tensor:
        x = x + self.attn(self.norm_1(x), turn, past, mask)
        return x + self.mlp(self.norm_2(x))


class Omni(nn.Module):
    """The decoder with its audio adapter."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        e = config.n_embd
        self.whisper_adapter = SwiGlu(config.whisper_adapter_dim, config.intermediate_size, e)
        self.lm_head = nn.Linear(e, config.padded_vocab_size, bias=False)
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(config.padded_vocab_size, e),
                "h": nn.ModuleList(Block(config) for _ in range(config.n_layer)),
                "ln_f": nn.RMSNorm(e, eps=config.norm_eps),
            }
        )
        self._start()
        if config.tie_word_embeddings:
            self.lm_head.weight = self.transformer["wte"].weight

    def _start(self) -> None:
        """Starts from nothing. What a column says must outweigh what the first blocks make of it,
        and its one text id must count as much as its seven audio ids, which drown it otherwise."""
        deep = (2 * self.config.n_layer) ** -0.5
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                continue
            nn.init.normal_(parameter, std=0.05 * (deep if name.endswith("proj.weight") else 1))
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        if self.config.add_qkv_bias:
            # Speech is read off text a few columns back, the later levels further back.
            for i, block in enumerate(self.transformer["h"][: self.config.n_layer // 2]):
                block.attn.look_back([i + 3 * head for head in range(self.config.n_head)])
        if not self.config.tie_word_embeddings:
            table, text = self.transformer["wte"].weight, self.config.text_vocab_size
            nn.init.normal_(table[:text], std=2.0)
            nn.init.normal_(table[text:], std=0.7)

    def matrices(self) -> list[Tensor]:
        """What maps one hidden vector to another: all two-dimensional but the tables."""
        tables = (self.transformer["wte"].weight, self.lm_head.weight)
        return [p for p in self.parameters() if p.dim() == 2 and all(p is not t for t in tables)]

    def embed(self, ids: Tensor, features: Tensor | None, heard: Tensor | None) -> Tensor:
        """ids [b, 8, s]; features [b, s, whisper] count where heard [b, s] is set."""
        text, audio = self.config.text_vocab_size, self.config.audio_vocab_size
        shift = text + audio * torch.arange(AUDIO_STREAMS, device=ids.device)[None, :, None]
        wte = self.transformer["wte"]
        streams = wte(ids[:, :AUDIO_STREAMS] + shift).sum(dim=1)
        if features is not None:
            adapted = AUDIO_STREAMS * self.whisper_adapter(features)
            streams = torch.where(heard[..., None], adapted.to(streams.dtype), streams)
        return (streams + wte(ids[:, AUDIO_STREAMS])) / STREAMS

    def forward(
        self,
        ids: Tensor,
        features: Tensor | None = None,
        heard: Tensor | None = None,
        past: Past | None = None,
    ) -> Tensor:
        """-> the last block's normed output [b, s, e]; see `text_logits` and `audio_logits`."""
        return self.blocks(ids, features, heard, past)[-1]

    def blocks(
        self,
        ids: Tensor,
        features: Tensor | None = None,
        heard: Tensor | None = None,
        past: Past | None = None,
        mask: Tensor | None = None,
        depth: int | None = None,
    ) -> list[Tensor]:
        """-> each block's output [b, s, e], of the first `depth` ones; the last block's normed.
        `mask` [b, 1, s, s] is added to the scores: who sees whom, where that is not all that came
        before."""
        x = self.embed(ids, features, heard)
        first = past.length if past is not None else 0
        turn = self._turn(first, ids.shape[-1], x.device)
        outputs = []
        for block in self.transformer["h"][:depth]:
            x = block(x, turn, past, mask)
            outputs.append(x)
        if past is not None:
            past.length += ids.shape[-1]
        if len(outputs) == len(self.transformer["h"]):
            outputs[-1] = self.transformer["ln_f"](x)
        return outputs

    def text_logits(self, x: Tensor) -> Tensor:
        """[…, e] -> […, text_vocab_size]."""
        return F.linear(x, self.lm_head.weight[: self.config.text_vocab_size])

    def audio_logits(self, x: Tensor) -> Tensor:
        """[…, e] -> […, 7, audio_vocab_size]."""
        logits = F.linear(x, self.lm_head.weight[self.config.text_vocab_size :])
        return logits.unflatten(-1, (AUDIO_STREAMS, self.config.audio_vocab_size))

    def _turn(self, first: int, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
        size = self.config.head_size
        theta = self.config.rope_base ** -(torch.arange(0, size, 2, device=device) / size)
        angles = torch.outer(torch.arange(first, first + n, device=device).float(), theta)
        angles = angles.repeat(1, 2)
        return angles.cos(), angles.sin()

    def save(self, folder: Path) -> None:
        """Writes the published layout: lit_model.pth, through a temporary name so that a kill
        leaves the old one whole, and model_config.yaml."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: tensor.cpu() for name, tensor in self.state_dict().items()}
        torch.save(state, folder / "lit_model.tmp")
        os.replace(folder / "lit_model.tmp", folder / "lit_model.pth")
        self.config.save(folder / "model_config.yaml")

    @classmethod
    def load(cls, folder: Path) -> "Omni":
        """Reads the published layout."""
        model = cls(Config.load(folder / "model_config.yaml"))
        model.load_state_dict(torch.load(folder / "lit_model.pth", weights_only=True))
        return model

    @torch.no_grad()
    def deepened(self, n_layer: int) -> "Omni":
        """The same function in more blocks: the new ones stand evenly among the old ones, each a
        copy of the one before it that adds nothing yet (LLaMA Pro, arXiv:2401.02415)."""
        old = self.transformer["h"]
        if n_layer < len(old):
            raise ValueError(f"{len(old)} blocks cannot become {n_layer}")
        model = Omni(replace(self.config, n_layer=n_layer))
        model.load_state_dict(self.state_dict(), strict=False)  # all but the blocks, which follow
        places = [i * len(old) // n_layer for i in range(n_layer)]
        blocks = model.transformer["h"]
        for i, (block, place) in enumerate(zip(blocks, places, strict=True)):
            block.load_state_dict(old[place].state_dict())
            if i and places[i - 1] == place:
                block.attn.proj.weight.zero_()
                block.mlp.proj.weight.zero_()
        return model


def average(checkpoints: dict[Path, float]) -> Omni:
    """The weighted mean of checkpoints of one run: what the last steps gained, and what they cost,
    in proportion."""
    models = [(Omni.load(folder), weight) for folder, weight in checkpoints.items()]
    states = [(model.state_dict(), weight) for model, weight in models]
    total = sum(checkpoints.values())
    mean = models[0][0]
    mean.load_state_dict(
        {k: sum(state[k] * (weight / total) for state, weight in states) for k in states[0][0]}
    )
    return mean


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Causal attention, [b, heads, s, size], or by a mask; rows are short, so that on a CPU the
    plain form is several times faster to train than torch's fused one."""
    if mask is not None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask.to(q.dtype))
    scores = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5
    before = k.shape[2] - q.shape[2]
    later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(before + 1)
    return scores.masked_fill(later, -torch.inf).softmax(-1).to(v.dtype) @ v


def _rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate-half over the whole head: x […, s, head_size]."""
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return (x * turn[0] + turned * turn[1]).to(x.dtype)

"""The language model: 8 streams of ids and audio features in, logits of all heads out.

Layout of the checkpoint: lit-gpt. The qkv rows lie by query group: its query heads, its key head,
its value head. fc_1 is the gate, fc_2 goes straight through. Rotary embedding rotates halves.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

STREAMS = 7
SPECIALS = 64
DEFAULTS = {
    "add_qkv_bias": False, "tie_word_embeddings": False, "norm_eps": 1e-5, "rope_base": 10000,
    "rope_condense_ratio": 1, "audio_vocab_size": 4160,
}


class Config:
    """`model_config.yaml` with what follows from it."""

    def __init__(self, path: Path) -> None:
        raw = DEFAULTS | yaml.safe_load(path.read_text())
        self.n_layer, self.n_embd, self.n_head = (
            int(raw[key]) for key in ("n_layer", "n_embd", "n_head")
        )
        self.n_groups = int(raw.get("n_query_groups") or self.n_head)
        self.head_size = int(raw.get("head_size") or self.n_embd // self.n_head)
        self.norm_eps = float(raw["norm_eps"])  # YAML reads 1e-06 as a string
        self.rope_base = float(raw["rope_base"])
        self.rope_condense_ratio = float(raw["rope_condense_ratio"])
        self.block_size = int(raw["block_size"])
        self.tied = bool(raw["tie_word_embeddings"])
        self.audio_vocab = int(raw["audio_vocab_size"])
        self.text_vocab = int(
            raw.get("text_vocab_size") or raw["padded_vocab_size"] - STREAMS * self.audio_vocab
        )
        self.eot = self.text_vocab - SPECIALS
        self.pad_t, self.input_t, self.answer_t, self.asr = range(self.eot + 1, self.eot + 5)
        self.eoa = self.audio_vocab - SPECIALS
        self.pad_a, self.input_a, self.answer_a = range(self.eoa + 1, self.eoa + 4)


class KvCache:
    """Keys and values so far, for each layer [rows, n_groups, positions, head_size]."""

    def __init__(self, n_layer: int) -> None:
        self.layers: list[tuple[Tensor, Tensor] | None] = [None] * n_layer

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Appends new positions; returns all of them."""
        if (past := self.layers[layer]) is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        self.layers[layer] = (k, v)
        return k, v

    def __len__(self) -> int:
        return 0 if self.layers[0] is None else self.layers[0][0].shape[2]


class Decoder:
    """The adapter and the transformer of a `lit_model.pth`."""

    def __init__(self, folder: Path) -> None:
        self.config = Config(folder / "model_config.yaml")
        file = folder / "lit_model.pth"
        self.weights = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        # A tied model stores its table twice and the original loads both into one: wte, the later.
        head = "transformer.wte" if self.config.tied else "lm_head"
        self.head = self.weights[f"{head}.weight"]

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def _norm(self, x: Tensor, name: str) -> Tensor:
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + self.config.norm_eps)
        return x * scale * self.weights[f"{name}.weight"]

    def _mlp(self, x: Tensor, name: str) -> Tensor:
        gate = F.silu(self._linear(x, f"{name}.fc_1"))
        return self._linear(gate * self._linear(x, f"{name}.fc_2"), f"{name}.proj")

    def adapt(self, features: Tensor) -> Tensor:
        """Whisper's features [n, n_audio_state] -> [n, n_embd]."""
        return self._mlp(features, "whisper_adapter")

    def embed(self, ids: Tensor, features: Tensor | None = None) -> Tensor:
        """ids [rows, 8, seq] unshifted -> [rows, seq, n_embd], the mean of eight rows of the table.

        `features` [n, n_embd] stand in for the seven audio rows from position 1 on.
        """
        table, c = self.weights["transformer.wte.weight"], self.config
        shift = c.text_vocab + c.audio_vocab * torch.arange(STREAMS)[:, None]
        audio = table[ids[:, :STREAMS] + shift]  # [rows, 7, seq, n_embd]
        if features is not None:
            audio[:, :, 1 : 1 + len(features)] = features
        return (audio.sum(1) + table[ids[:, STREAMS]]) / (STREAMS + 1)

    def _rotate(self, x: Tensor, start: int) -> Tensor:
        """Rotary embedding of x [rows, heads, seq, head_size] at positions from `start` on."""
        c, half = self.config, self.config.head_size // 2
        theta = c.rope_base ** (-torch.arange(half).float() / half)
        position = torch.arange(start, start + x.shape[2]).float() / c.rope_condense_ratio
        angle = torch.outer(position, theta).repeat(1, 2)
        turned = torch.cat([-x[..., half:], x[..., :half]], -1)
        return x * angle.cos() + turned * angle.sin()

    def _attention(self, x: Tensor, layer: int, cache: KvCache, start: int) -> Tensor:
        c, (rows, seq, _) = self.config, x.shape
        per_group = c.n_head // c.n_groups
        qkv = self._linear(x, f"transformer.h.{layer}.attn.attn")
        qkv = qkv.view(rows, seq, c.n_groups, per_group + 2, c.head_size).permute(0, 2, 3, 1, 4)
        q = self._rotate(qkv[:, :, :per_group].flatten(1, 2), start)
        k, v = cache.extend(layer, self._rotate(qkv[:, :, -2], start), qkv[:, :, -1])
        q = q.view(rows, c.n_groups, per_group, seq, c.head_size)
        scores = q @ k[:, :, None].transpose(-1, -2) / c.head_size**0.5
        future = torch.ones(seq, start + seq, dtype=torch.bool).triu(start + 1)
        mixed = scores.masked_fill(future, -torch.inf).softmax(-1) @ v[:, :, None]
        mixed = mixed.flatten(1, 2).transpose(1, 2).reshape(rows, seq, -1)
        return self._linear(mixed, f"transformer.h.{layer}.attn.proj")

    def __call__(self, x: Tensor, cache: KvCache) -> list[Tensor]:
        """x [rows, seq, n_embd] -> the last position's logits: 7 x [rows, audio], [rows, text]."""
        start = len(cache)
        for layer in range(self.config.n_layer):
            block = f"transformer.h.{layer}"
            x = x + self._attention(self._norm(x, f"{block}.norm_1"), layer, cache, start)
            x = x + self._mlp(self._norm(x, f"{block}.norm_2"), f"{block}.mlp")
        logits = F.linear(self._norm(x[:, -1], "transformer.ln_f"), self.head)
        text, audio = logits.split([self.config.text_vocab, STREAMS * self.config.audio_vocab], -1)
        return [*audio.chunk(STREAMS, -1), text]

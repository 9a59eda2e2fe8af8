"""The language model: embedded columns in, logits of the last column out, with a KV cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

AUDIO_STREAMS = 7
SPECIALS = 64


@dataclass(frozen=True)
class Ids:
    """Special ids and vocabularies, as the padded sizes give them."""

    text_vocab_size: int
    audio_vocab_size: int

    def __getattr__(self, name: str) -> int:
        text = ["eot", "pad_t", "input_t", "answer_t", "asr"]
        audio = ["eoa", "pad_a", "input_a", "answer_a", "split"]
        if name in text:
            return self.text_vocab_size - SPECIALS + text.index(name)
        if name in audio:
            return self.audio_vocab_size - SPECIALS + audio.index(name)
        raise AttributeError(name)


class Decoder:
    """Qwen2-like decoder from `lit_model.pth` and `model_config.yaml` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.config = yaml.safe_load((folder / "model_config.yaml").read_text())
        self.state = torch.load(folder / "lit_model.pth", weights_only=True, mmap=True)
        config = self.config
        self.ids = Ids(config["text_vocab_size"], config["audio_vocab_size"])
        self.eps = float(config["norm_eps"])  # "1e-06" is a string to YAML
        self.table = self.state["transformer.wte.weight"]
        tied = config["tie_word_embeddings"]
        self.head = self.table if tied else self.state["lm_head.weight"]
        self.groups = config["n_query_groups"]
        self.per_group = config["n_head"] // self.groups
        self.cos, self.sin = self._rotary()
        self.cache: list[Tensor] = []

    def start(self, rows: int, capacity: int) -> None:
        """Empties the cache: one tensor [2, rows, groups, capacity, head_size] a layer."""
        shape = (2, rows, self.groups, capacity, self.config["head_size"])
        self.cache = [torch.zeros(shape) for _ in range(self.config["n_layer"])]

    def embed(self, ids: Tensor, features: Tensor | None = None) -> Tensor:
        """ids [rows, 8, n] -> [rows, n, n_embd]; `features` [f, n_embd] replace the seven audio
        rows of columns 1..f."""
        text, audio = self.ids.text_vocab_size, self.ids.audio_vocab_size
        shift = text + audio * torch.arange(AUDIO_STREAMS)[None, :, None]
        shifted = torch.cat([ids[:, :AUDIO_STREAMS] + shift, ids[:, AUDIO_STREAMS:]], dim=1)
        vectors = F.embedding(shifted, self.table)
        if features is not None:
            vectors[:, :AUDIO_STREAMS, 1 : 1 + len(features)] = features
        return vectors.sum(dim=1) / (AUDIO_STREAMS + 1)

    @torch.inference_mode()
    def forward(self, x: Tensor, position: int) -> Tensor:
        """x [rows, n, n_embd] at columns `position`.. -> logits [rows, vocab] of the last."""
        for layer in range(self.config["n_layer"]):
            name = f"transformer.h.{layer}"
            x = x + self._attention(layer, self._norm(f"{name}.norm_1", x), position)
            x = x + self._mlp(f"{name}.mlp", self._norm(f"{name}.norm_2", x))
        return F.linear(self._norm("transformer.ln_f", x[:, -1]), self.head)

    def split(self, logits: Tensor) -> list[Tensor]:
        """[rows, vocab] -> 8 x [rows, its vocabulary], the seven audio streams first."""
        text, audio = self.ids.text_vocab_size, self.ids.audio_vocab_size
        streams = list(logits[:, text:].split(audio, dim=1))
        return [*streams, logits[:, :text]]

    def _attention(self, layer: int, x: Tensor, position: int) -> Tensor:
        size, n = self.config["head_size"], x.shape[1]
        behind = position + n
        qkv = self._linear(f"transformer.h.{layer}.attn.attn", x)
        # the rows are interleaved by group: its query heads, its key head, its value head
        qkv = qkv.unflatten(-1, (self.groups, self.per_group + 2, size)).permute(0, 2, 3, 1, 4)
        q, k, v = qkv.split([self.per_group, 1, 1], dim=2)  # [rows, groups, heads, n, size]
        cache = self.cache[layer]
        cache[0, :, :, position:behind] = self._rotate(k, position)[:, :, 0]
        cache[1, :, :, position:behind] = v[:, :, 0]
        keys, values = cache[:, :, :, None, :behind]
        scores = self._rotate(q, position) @ keys.transpose(-1, -2) / size**0.5
        columns = torch.arange(behind)
        future = columns[None, :] > columns[position:, None]
        weights = scores.masked_fill(future, -torch.inf).softmax(dim=-1)
        out = (weights @ values).permute(0, 3, 1, 2, 4).flatten(2)
        return self._linear(f"transformer.h.{layer}.attn.proj", out)

    def _mlp(self, name: str, x: Tensor) -> Tensor:
        gate = F.silu(self._linear(f"{name}.fc_1", x))
        return self._linear(f"{name}.proj", gate * self._linear(f"{name}.fc_2", x))

    def _norm(self, name: str, x: Tensor) -> Tensor:
        root = torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + self.eps)
        return x * root * self.state[f"{name}.weight"]

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"))

    def _rotary(self) -> tuple[Tensor, Tensor]:
        """cos and sin [block_size, head_size], both halves alike."""
        config = self.config
        size = config["head_size"]
        theta = 1.0 / config["rope_base"] ** (torch.arange(0, size, 2).float() / size)
        positions = torch.arange(config["block_size"]) / config.get("rope_condense_ratio", 1)
        angles = torch.outer(positions, theta).repeat(1, 2)
        return angles.cos(), angles.sin()

    def _rotate(self, x: Tensor, position: int) -> Tensor:
        """Rotate-half over the whole head: x [..., n, head_size]."""
        behind = position + x.shape[-2]
        first, second = x.chunk(2, dim=-1)
        turned = torch.cat([-second, first], dim=-1)
        return x * self.cos[position:behind] + turned * self.sin[position:behind]

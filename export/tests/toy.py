"""Toy checkpoints in the published formats, of any sizes, written without torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch_zip
import yaml

from mini_omni_export.config import AUDIO_STREAMS, DecoderConfig
from mini_omni_export.random_model import SIZES, RandomTensors, byte_tokenizer, head_scales
from mini_omni_export.shapes import codec_shapes, lm_shapes, whisper_shapes

LM, WHISPER, CODEC = SIZES["tiny"]
State = dict[str, Any]


def same(state: State) -> State:
    return state


@dataclass
class Toy:
    """What to write: the published formats at toy size, but for what is changed here."""

    lm: DecoderConfig = LM
    seed: int = 1
    config: dict[str, Any] = dataclasses.field(default_factory=dict)  # over model_config.yaml
    codec: dict[str, Any] = dataclasses.field(default_factory=dict)  # over SNAC's config.json
    edit_lm: Callable[[State], State] = same
    edit_whisper: Callable[[State], State] = same
    edit_snac: Callable[[State], State] = same

    def write(self, folder: Path) -> Files:
        """Writes the three checkpoints below `folder`."""
        files = Files(folder / "mini-omni", folder / "small.pt", folder / "snac")
        files.checkpoint.mkdir(parents=True)
        files.snac.mkdir()
        lm = draw(self.seed, lm_shapes(self.lm), head_scales(self.lm))
        torch_zip.save(files.checkpoint / "lit_model.pth", self.edit_lm(lm))
        config = yaml.safe_dump(self.model_config())
        (files.checkpoint / "model_config.yaml").write_text(config)
        (files.checkpoint / "tokenizer.json").write_text(byte_tokenizer(), encoding="utf-8")
        whisper = self.edit_whisper(half(draw(self.seed, whisper_shapes(WHISPER))))
        dims = dataclasses.asdict(WHISPER)
        torch_zip.save(files.whisper, {"dims": dims, "model_state_dict": whisper})
        snac = self.edit_snac(draw(self.seed, codec_shapes(CODEC)))
        torch_zip.save(files.snac / "pytorch_model.bin", snac)
        config = dataclasses.asdict(CODEC) | {"attn_window_size": None} | self.codec
        (files.snac / "config.json").write_text(json.dumps(config))
        return files

    def model_config(self) -> dict[str, Any]:
        """`model_config.yaml`, lit-gpt's names."""
        lm = self.lm
        named = ["n_layer", "n_embd", "n_head", "n_query_groups", "head_size", "norm_eps",
                 "intermediate_size", "rope_base", "rope_condense_ratio", "block_size",
                 "text_vocab_size", "audio_vocab_size", "whisper_adapter_dim"]
        config = {name: getattr(lm, name) for name in named} | {
            "padded_vocab_size": lm.text_vocab_size + AUDIO_STREAMS * lm.audio_vocab_size,
            "add_qkv_bias": lm.qkv_bias, "tie_word_embeddings": lm.tied, "bias": False,
            "norm_class_name": "RMSNorm", "mlp_class_name": "LLaMAMLP",
            "rotary_percentage": 1.0, "parallel_residual": False, "asr_adapter": "llamamlp",
            "post_adapter": False,
        } | self.config
        return {name: value for name, value in config.items() if value is not ...}


@dataclass
class Files:
    """Where the three checkpoints were written."""

    checkpoint: Path
    whisper: Path
    snac: Path

    @property
    def arguments(self) -> list[str]:
        """The command line that names them."""
        return ["--checkpoint", str(self.checkpoint), "--whisper", str(self.whisper),
                "--snac", str(self.snac), "--weights", "random"]


def draw(seed: int, shapes: dict, scales: dict | None = None) -> State:
    """All tensors at once."""
    tensors = RandomTensors(seed, shapes, scales)
    return {name: tensors(name) for name in shapes}


def half(state: State) -> State:
    """In fp16, as Whisper is published."""
    return {name: value.astype(np.float16) for name, value in state.items()}


def newer_weight_norm(state: State) -> State:
    """Weight norm in torch's newer naming."""
    newer = {"weight_g": "parametrizations.weight.original0",
             "weight_v": "parametrizations.weight.original1"}
    return {
        ".".join([*name.split(".")[:-1], newer.get(name.split(".")[-1], name.split(".")[-1])]): v
        for name, v in state.items()
    }

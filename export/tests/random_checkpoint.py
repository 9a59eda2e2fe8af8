"""Random checkpoints of any size in the published formats: three folders, as on the hub.

Seeded numpy draws, so the same sizes and seed give the same weights everywhere. The scales keep
activations near 1, so that greedy answers vary instead of repeating one id.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor

AUDIO_STREAMS = 7
SPECIALS = 64
VQ_STRIDES = [4, 2, 1]
KERNEL = 7
DILATIONS = 3


@dataclass(frozen=True)
class Sizes:
    """Everything that a checkpoint's config files say; defaults are the published values."""

    n_layer: int = 24
    n_embd: int = 896
    n_head: int = 14
    n_query_groups: int = 2
    head_size: int = 64
    intermediate_size: int = 4864
    block_size: int = 2048
    text_vocab_size: int = 152000
    audio_vocab_size: int = 4160
    tied: bool = True
    n_audio_state: int = 768
    n_audio_head: int = 12
    n_audio_layer: int = 12
    encoder_dim: int = 48
    encoder_rates: list[int] = field(default_factory=lambda: [2, 4, 8, 8])
    decoder_dim: int = 1024
    decoder_rates: list[int] = field(default_factory=lambda: [8, 8, 4, 2])
    codebook_dim: int = 8

    @property
    def vocab_size(self) -> int:
        return self.text_vocab_size + AUDIO_STREAMS * self.audio_vocab_size

    @property
    def codebook_size(self) -> int:
        return self.audio_vocab_size - SPECIALS


class Draw:
    """Random tensors by shape."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.Generator(np.random.PCG64(seed))

    def normal(self, *shape: int, std: float = 1.0, mean: float = 0.0) -> Tensor:
        values = self.rng.standard_normal(shape, dtype=np.float32)
        values *= np.float32(std)
        values += np.float32(mean)
        return torch.from_numpy(values)

    def linear(self, out: int, into: int, gain: float = 1.0) -> Tensor:
        """[out, into], such that outputs are `gain` times as large as inputs."""
        return self.normal(out, into, std=gain * into**-0.5)


def write_checkpoint(folder: Path, sizes: Sizes, seed: int, head_gains: list | None = None) -> None:
    """Writes mini-omni/, whisper/small.pt and snac_24khz/ into `folder`.

    `head_gains`: factors for rows of the head (of the table, if tied), [(rows, factor)].
    """
    draw = Draw(seed)
    for name in ("mini-omni", "whisper", "snac_24khz"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    lm = dict(lm_tensors(draw, sizes))
    for name in ["lm_head.weight"] + ["transformer.wte.weight"] * sizes.tied:
        for rows, factor in head_gains or []:
            lm[name][rows] *= factor
    torch.save(lm, folder / "mini-omni" / "lit_model.pth")
    config = yaml.safe_dump(lm_config(sizes))
    (folder / "mini-omni" / "model_config.yaml").write_text(config)
    torch.save(whisper_file(draw, sizes), folder / "whisper" / "small.pt")
    torch.save(dict(snac_tensors(draw, sizes)), folder / "snac_24khz" / "pytorch_model.bin")
    (folder / "snac_24khz" / "config.json").write_text(json.dumps(snac_config(sizes), indent=2))


def quiet_specials(sizes: Sizes, gain: float = 0.1) -> list[tuple[slice, float]]:
    """Head gains that make special ids unlikely, so that frames hold codes only; text last."""
    audio, codes = sizes.audio_vocab_size, sizes.codebook_size
    starts = [sizes.text_vocab_size + audio * stream + codes for stream in range(AUDIO_STREAMS)]
    starts.append(sizes.text_vocab_size - SPECIALS)
    return [(slice(start, start + SPECIALS), gain) for start in starts]


def lm_config(sizes: Sizes) -> dict:
    """`model_config.yaml`, lit-gpt's names."""
    named = ["n_layer", "n_embd", "n_head", "n_query_groups", "head_size", "intermediate_size",
             "block_size", "text_vocab_size", "audio_vocab_size"]
    return {name: getattr(sizes, name) for name in named} | {
        "name": "random", "padded_vocab_size": sizes.vocab_size,
        "norm_class_name": "RMSNorm", "norm_eps": "1e-06", "mlp_class_name": "LLaMAMLP",
        "rope_base": 1000000, "rope_condense_ratio": 1, "rotary_percentage": 1.0,
        "add_qkv_bias": True, "bias": False, "lm_head_bias": False, "parallel_residual": False,
        "shared_attention_norm": False, "scale_embeddings": False,
        "asr_adapter": "llamamlp", "post_adapter": False,
        "tie_word_embeddings": sizes.tied, "whisper_adapter_dim": sizes.n_audio_state,
    }


def lm_tensors(draw: Draw, sizes: Sizes) -> Iterator[tuple[str, Tensor]]:
    """`lit_model.pth`. A tied model's table is stored twice, as published."""
    n_embd, wide = sizes.n_embd, sizes.intermediate_size
    heads = sizes.n_head * sizes.head_size
    qkv = heads + 2 * sizes.n_query_groups * sizes.head_size
    yield "whisper_adapter.fc_1.weight", draw.linear(wide, sizes.n_audio_state)
    yield "whisper_adapter.fc_2.weight", draw.linear(wide, sizes.n_audio_state)
    yield "whisper_adapter.proj.weight", draw.linear(n_embd, wide, 2)
    # a tied table of std 1 would let every id call for itself again
    table = draw.normal(sizes.vocab_size, n_embd, std=0.1 if sizes.tied else 1.0)
    yield "transformer.wte.weight", table
    yield "lm_head.weight", table.clone() if sizes.tied else draw.linear(*table.shape, 3)
    # attention averages the prompt: full strength in many layers makes all columns alike
    mild = min(1.0, 7 / sizes.n_layer)
    for layer in range(sizes.n_layer):
        name = f"transformer.h.{layer}"
        yield f"{name}.norm_1.weight", draw.normal(n_embd, std=0.1, mean=1)
        yield f"{name}.attn.attn.weight", draw.linear(qkv, n_embd, 2)
        yield f"{name}.attn.attn.bias", draw.normal(qkv, std=0.1)
        yield f"{name}.attn.proj.weight", draw.linear(n_embd, heads, mild)
        yield f"{name}.norm_2.weight", draw.normal(n_embd, std=0.1, mean=1)
        yield f"{name}.mlp.fc_1.weight", draw.linear(wide, n_embd)
        yield f"{name}.mlp.fc_2.weight", draw.linear(wide, n_embd)
        yield f"{name}.mlp.proj.weight", draw.linear(n_embd, wide)
    yield "transformer.ln_f.weight", draw.normal(n_embd, std=0.1, mean=1)


def whisper_file(draw: Draw, sizes: Sizes) -> dict:
    """An OpenAI Whisper file, fp16, without its text decoder."""
    state, wide = sizes.n_audio_state, 4 * sizes.n_audio_state
    dims = {
        "n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": state,
        "n_audio_head": sizes.n_audio_head, "n_audio_layer": sizes.n_audio_layer,
        "n_vocab": 51865, "n_text_ctx": 448, "n_text_state": state,
        "n_text_head": sizes.n_audio_head, "n_text_layer": 0,
    }
    tensors = {
        "positional_embedding": sinusoids(1500, state),
        "conv1.weight": draw.normal(state, 80, 3, std=240**-0.5),
        "conv2.weight": draw.normal(state, state, 3, std=(3 * state) ** -0.5),
    } | {f"conv{i}.bias": draw.normal(state, std=0.1) for i in (1, 2)}
    for layer in range(sizes.n_audio_layer):
        name = f"blocks.{layer}"
        for part in ("query", "key", "value", "out"):
            tensors[f"{name}.attn.{part}.weight"] = draw.linear(state, state)
            if part != "key":
                tensors[f"{name}.attn.{part}.bias"] = draw.normal(state, std=0.1)
        tensors[f"{name}.mlp.0.weight"] = draw.linear(wide, state)
        tensors[f"{name}.mlp.0.bias"] = draw.normal(wide, std=0.1)
        tensors[f"{name}.mlp.2.weight"] = draw.linear(state, wide, 0.5)
        tensors[f"{name}.mlp.2.bias"] = draw.normal(state, std=0.1)
        for norm in ("attn_ln", "mlp_ln"):
            tensors |= _layer_norm(draw, f"{name}.{norm}", state)
    tensors |= _layer_norm(draw, "ln_post", state)
    state_dict = {f"encoder.{name}": tensor.half() for name, tensor in tensors.items()}
    return {"dims": dims, "model_state_dict": state_dict}


def sinusoids(length: int, channels: int) -> Tensor:
    """Whisper's positions [length, channels]."""
    inverse = torch.exp(-np.log(10000) / (channels // 2 - 1) * torch.arange(channels // 2))
    angles = torch.arange(length)[:, None] * inverse[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _layer_norm(draw: Draw, name: str, width: int) -> dict[str, Tensor]:
    return {
        f"{name}.weight": draw.normal(width, std=0.1, mean=1),
        f"{name}.bias": draw.normal(width, std=0.1),
    }


def snac_config(sizes: Sizes) -> dict:
    """SNAC's `config.json`."""
    named = ["encoder_dim", "encoder_rates", "decoder_dim", "decoder_rates", "codebook_size",
             "codebook_dim"]
    return {name: getattr(sizes, name) for name in named} | {
        "sampling_rate": 24000, "attn_window_size": None, "vq_strides": VQ_STRIDES,
        "noise": True, "depthwise": True,
    }


def snac_tensors(draw: Draw, sizes: Sizes) -> Iterator[tuple[str, Tensor]]:
    """SNAC's `pytorch_model.bin`, weight norm in torch's newer naming."""
    yield from _snac_encoder(draw, sizes)
    latent = sizes.encoder_dim * 2 ** len(sizes.encoder_rates)
    for level in range(len(VQ_STRIDES)):
        name = f"quantizer.quantizers.{level}"
        yield from _conv(draw, f"{name}.in_proj", sizes.codebook_dim, latent, 1)
        yield from _conv(draw, f"{name}.out_proj", latent, sizes.codebook_dim, 1)
        yield f"{name}.codebook.weight", draw.normal(sizes.codebook_size, sizes.codebook_dim)
    yield from _conv(draw, "decoder.model.0", latent, 1, KERNEL)
    yield from _conv(draw, "decoder.model.1", sizes.decoder_dim, latent, 1)
    width = sizes.decoder_dim
    for block, stride in enumerate(sizes.decoder_rates):
        name = f"decoder.model.{block + 2}.block"
        yield f"{name}.0.alpha", _alpha(draw, width)
        yield from _conv(
            draw, f"{name}.1", width, width // 2, 2 * stride, (stride / 2) ** 0.5, biases=width // 2
        )
        width //= 2
        yield from _conv(draw, f"{name}.2.linear", width, width, 1, 0.1, biases=0)
        for i in range(DILATIONS):
            yield from _residual(draw, f"{name}.{3 + i}.block", width)
    last = len(sizes.decoder_rates) + 2
    yield f"decoder.model.{last}.alpha", _alpha(draw, width)
    yield from _conv(draw, f"decoder.model.{last + 1}", 1, width, KERNEL, 0.3)


def _snac_encoder(draw: Draw, sizes: Sizes) -> Iterator[tuple[str, Tensor]]:
    width = sizes.encoder_dim
    yield from _conv(draw, "encoder.block.0", width, 1, KERNEL)
    for block, stride in enumerate(sizes.encoder_rates):
        name = f"encoder.block.{block + 1}.block"
        for i in range(DILATIONS):
            yield from _residual(draw, f"{name}.{i}.block", width)
        yield f"{name}.3.alpha", _alpha(draw, width)
        yield from _conv(draw, f"{name}.4", 2 * width, width, 2 * stride)
        width *= 2
    yield from _conv(draw, f"encoder.block.{len(sizes.encoder_rates) + 1}", width, 1, KERNEL)


def _residual(draw: Draw, name: str, width: int) -> Iterator[tuple[str, Tensor]]:
    yield f"{name}.0.alpha", _alpha(draw, width)
    yield from _conv(draw, f"{name}.1", width, 1, KERNEL)
    yield f"{name}.2.alpha", _alpha(draw, width)
    yield from _conv(draw, f"{name}.3", width, width, 1, 0.3)


def _conv(draw, name, first, second, kernel, gain=1.0, biases=None):
    """A weight-normed convolution [first, second, kernel] whose rows are `gain` long."""
    weight = f"{name}.parametrizations.weight"
    biases = first if biases is None else biases
    if biases:
        yield f"{name}.bias", draw.normal(biases, std=0.05)
    yield f"{weight}.original0", draw.normal(first, 1, 1, std=0.1 * gain, mean=gain)
    yield f"{weight}.original1", draw.normal(first, second, kernel)


def _alpha(draw: Draw, width: int) -> Tensor:
    return draw.normal(1, width, 1, std=0.3, mean=1).abs() + 0.1

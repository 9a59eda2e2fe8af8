"""Models of random weights: of full size for benchmarks, tiny for tests.

Time does not depend on the values, so anyone can measure the published sizes without the published
weights. Tensors are drawn when asked for, from (seed, name), so a full-size model needs no memory
and the same seed gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np

from .checkpoint import Tensors
from .config import AUDIO_STREAMS, SPECIALS, CodecConfig, DecoderConfig, WhisperConfig
from .errors import ExportError
from .model import Source
from .shapes import Shapes, codec_shapes, lm_shapes, whisper_shapes

SIZES = {
    "full": (
        DecoderConfig(
            n_layer=24, n_embd=896, n_head=14, n_query_groups=2, head_size=64,
            intermediate_size=4864, norm_eps=1e-6, rope_base=1e6, rope_condense_ratio=1.0,
            qkv_bias=True, block_size=2048, text_vocab_size=152000, audio_vocab_size=4160,
            whisper_adapter_dim=768, tied=True,
        ),
        WhisperConfig(80, 1500, 768, 12, 12),
        CodecConfig(24000, 48, [2, 4, 8, 8], 1024, [8, 8, 4, 2], 4096, 8, [4, 2, 1], True, True),
    ),
    "tiny": (
        DecoderConfig(
            n_layer=2, n_embd=80, n_head=5, n_query_groups=5, head_size=16,
            intermediate_size=96, norm_eps=1e-6, rope_base=1e6, rope_condense_ratio=1.0,
            qkv_bias=True, block_size=2048, text_vocab_size=256 + SPECIALS,
            audio_vocab_size=128 + SPECIALS, whisper_adapter_dim=32, tied=False,
        ),
        WhisperConfig(80, 1500, 32, 2, 2),
        CodecConfig(24000, 4, [2, 4, 8, 8], 32, [8, 8, 4, 2], 128, 8, [4, 2, 1], True, True),
    ),
}

QUIET = 0.1  # scale of the head's rows of special ids: they are never said
END = 1.5  # scale of its two rows that end an answer: so that a random answer ends
BIAS = 0.05  # standard deviation
GAINS = [  # by name; these keep the sound between silence and clipping, and the ids from repeating
    (re.compile(r"attn\.attn\.weight"), 3.0),
    (re.compile(r"linear\.weight_g"), 0.1),  # the codec's noise
    (re.compile(r"block\.\d\.block\.3\.weight_g"), 0.3),  # what a residual unit adds
    (re.compile(r"decoder\.model\.\d\.weight_g"), 0.3),  # its first and last layers
]
NORM = re.compile(r"norm.*weight|_ln\.weight|ln_post\.weight|ln_f\.weight")

RowScales = dict[str, np.ndarray]


class RandomTensors(Tensors):
    """Tensors of the declared names and shapes, drawn from (seed, name) each time they are asked
    for: nothing is kept, and the order of asking does not matter."""

    def __init__(self, seed: int, shapes: Shapes, row_scales: RowScales | None = None) -> None:
        super().__init__(shapes, Path("the random model"))
        self.seed = seed
        self.row_scales = row_scales or {}

    def __call__(self, name: str, *shape: int) -> np.ndarray:
        if name not in self.state:
            raise ExportError(f"{self.path} has no tensor {name}")
        size = self.state[name]
        if shape and shape != size:
            raise ExportError(f"{self.path}: {name} is {list(size)}, not {list(shape)}")
        values = draw(self.seed, name, size)
        if name in self.row_scales:
            values *= self.row_scales[name][:, None]
        return values


def draw(seed: int, name: str, size: tuple[int, ...]) -> np.ndarray:
    """A matrix keeps the variance of what it is given, but for `GAINS`; embeddings have 1."""
    gain = next((gain for pattern, gain in GAINS if pattern.search(name)), 1.0)
    if name.endswith((".alpha", ".weight_g")) or (len(size) == 1 and NORM.search(name)):
        return np.full(size, gain, np.float32)
    key = hashlib.sha256(f"{seed} {name}".encode()).digest()
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(key[:16], "little")))
    scale = BIAS if len(size) == 1 else int(np.prod(size[1:])) ** -0.5
    scale = 1.0 if "wte" in name else scale
    values = rng.standard_normal(size, np.float32)
    values *= np.float32(gain * scale)
    return values


def random_source(size: str, seed: int) -> Source:
    """A source with the shapes of `size` ("full" or "tiny") and random tensors."""
    return make_source(f"random-{size}", seed, *SIZES[size])


def make_source(
    name: str, seed: int, lm: DecoderConfig, whisper: WhisperConfig, codec: CodecConfig
) -> Source:
    """A source of any sizes."""
    return Source(
        name, "random",
        RandomTensors(seed, lm_shapes(lm), head_scales(lm)), lm,
        RandomTensors(seed, whisper_shapes(whisper)), whisper,
        RandomTensors(seed, codec_shapes(codec)), codec,
        byte_tokenizer(), [],
    )


def head_scales(c: DecoderConfig) -> RowScales:
    """Keeps special ids out of a random answer, so that it is speech that the codec can decode.

    The ids that end an answer are left in, where the head is not the embedding as well.
    """
    scales = np.ones(c.vocab_size, np.float32)
    text, audio = scales[: c.text_vocab_size], scales[c.text_vocab_size :]
    audio = audio.reshape(AUDIO_STREAMS, c.audio_vocab_size)
    text[-SPECIALS:] = audio[:, -SPECIALS:] = QUIET
    if c.tied:
        return {"transformer.wte.weight": scales}
    text[c.special_ids["eot"]] = audio[-1, c.special_ids["eoa"]] = END
    return {"lm_head.weight": scales}


def byte_tokenizer() -> str:
    """A tokenizer.json in which every byte is an id: valid for any text vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    # Byte-level BPE writes bytes as visible characters: GPT-2's table.
    alphabet = {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
                  "use_regex": False}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": {"type": "NFC"}, "pre_tokenizer": byte_level,
        "post_processor": byte_level, "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False,
            "vocab": {alphabet[b]: b for b in range(256)}, "merges": [],
        },
    }
    return json.dumps(tokenizer, ensure_ascii=False) + "\n"

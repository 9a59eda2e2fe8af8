"""Random data and small sizes that several tests train on."""

from pathlib import Path

import numpy as np
import torch

from mini_omni_training.config import Config
from mini_omni_training.domain import Question
from mini_omni_training.store import codes_store

TOY = Config(
    n_layer=2, n_embd=32, n_head=2, n_query_groups=1, head_size=16, intermediate_size=48,
    text_vocab_size=384, audio_vocab_size=96, whisper_adapter_dim=24,
)  # fmt: skip
HEADS = 6  # of `random_whisper`


def random_whisper(path: Path, layers: int = 1, width: int = 384, scale: float = 1 / 50) -> None:
    """An encoder of random layers, in OpenAI's file."""
    shapes = {
        "conv1.weight": (width, 80, 3), "conv1.bias": (width,),
        "conv2.weight": (width, width, 3), "conv2.bias": (width,),
        "positional_embedding": (1500, width),
        "ln_post.weight": (width,), "ln_post.bias": (width,),
    }  # fmt: skip
    for layer in (f"blocks.{i}" for i in range(layers)):
        for part in ("query", "key", "value", "out"):
            shapes[f"{layer}.attn.{part}.weight"] = (width, width)
            if part != "key":
                shapes[f"{layer}.attn.{part}.bias"] = (width,)
        for part, (out, into) in {"0": (4 * width, width), "2": (width, 4 * width)}.items():
            weight, bias = f"{layer}.mlp.{part}.weight", f"{layer}.mlp.{part}.bias"
            shapes |= {weight: (out, into), bias: (out,)}
        for norm in (f"{layer}.attn_ln", f"{layer}.mlp_ln"):
            shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    torch.manual_seed(0)
    state = {f"encoder.{name}": torch.randn(shape) * scale for name, shape in shapes.items()}
    dims = {
        "n_mels": 80, "n_vocab": 51865, "n_audio_ctx": 1500, "n_audio_state": width,
        "n_audio_head": HEADS, "n_audio_layer": layers, "n_text_ctx": 448, "n_text_state": width,
        "n_text_head": HEADS, "n_text_layer": layers,
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"dims": dims, "model_state_dict": state}, path)


def speak(work: Path, asked: list[Question], draw: np.random.Generator) -> None:
    """Codes of the questions' answers, to read aloud and to test with."""
    for name in ("reading", "unseen"):
        store = codes_store(work, name)
        for q in asked:
            words = list(range(len(q.answer.split())))
            store.append(draw.integers(0, 32, (9, 7)), text=q.answer, words=words)

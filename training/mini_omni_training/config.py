"""The language model's sizes: `model_config.yaml` in lit-gpt's names, as published."""

from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

AUDIO_STREAMS = 7
STREAMS = AUDIO_STREAMS + 1
SPECIALS = 64  # rows kept free for special ids above each vocabulary's own
TEXT_SPECIALS = ("eot", "pad_t", "input_t", "answer_t", "asr")
AUDIO_SPECIALS = ("eoa", "pad_a", "input_a", "answer_a", "split")


@dataclass(frozen=True)
class Config:
    """Any Qwen2- or LLaMA-style base: RMSNorm, SwiGLU, rotary positions, grouped queries.

    The defaults are the bundled model's. LLaMA, Vicuna and Baichuan differ in sizes,
    `add_qkv_bias` and `tie_word_embeddings` only.
    """

    n_layer: int = 6
    n_embd: int = 256
    n_head: int = 4
    n_query_groups: int = 2
    head_size: int = 64
    intermediate_size: int = 768
    norm_eps: float = 1e-6
    rope_base: int = 10_000
    add_qkv_bias: bool = True
    tie_word_embeddings: bool = False
    block_size: int = 2048
    text_vocab_size: int = 2048
    audio_vocab_size: int = 1088
    whisper_adapter_dim: int = 384

    @property
    def padded_vocab_size(self) -> int:
        return self.text_vocab_size + AUDIO_STREAMS * self.audio_vocab_size

    def text_id(self, name: str) -> int:
        """The id of a text special."""
        return self.text_vocab_size - SPECIALS + TEXT_SPECIALS.index(name)

    def audio_id(self, name: str) -> int:
        """The id of an audio special, the same in each of the seven streams."""
        return self.audio_vocab_size - SPECIALS + AUDIO_SPECIALS.index(name)

    def save(self, path: Path) -> None:
        """Writes the published file, with the settings that are always so."""
        fixed = {
            "name": "mini-omni-small",
            "padded_vocab_size": self.padded_vocab_size,
            "cat_audio_vocab_size": AUDIO_STREAMS * self.audio_vocab_size,
            "mlp_class_name": "LLaMAMLP",
            "norm_class_name": "RMSNorm",
            "asr_adapter": "llamamlp",
            "post_adapter": False,
            "parallel_residual": False,
            "bias": False,
            "lm_head_bias": False,
            "rotary_percentage": 1.0,
        }
        path.write_text(yaml.safe_dump(asdict(self) | fixed))

    @classmethod
    def load(cls, path: Path) -> "Config":
        """Reads a published file; what it leaves out has this class's default."""
        raw = yaml.safe_load(path.read_text())
        kept = {k: raw[k] for k in cls.__dataclass_fields__ if k in raw}
        kept["norm_eps"] = float(kept.get("norm_eps", 1e-6))  # "1e-06" is a string to YAML
        return cls(**kept)

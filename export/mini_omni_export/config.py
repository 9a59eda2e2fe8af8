"""The sizes of a model, read from the checkpoints' own config files and checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .errors import ExportError

AUDIO_STREAMS = 7
LARGEST_SIZE = 10**7  # of any size in a config
SPECIALS = 64  # rows kept free for special ids above each vocabulary's own
LEVELS = [0, 1, 2, 2, 1, 2, 2]  # the codec level of each audio stream


@dataclass(frozen=True)
class DecoderConfig:
    """The language model (`model_config.yaml`, lit-gpt's names)."""

    n_layer: int
    n_embd: int
    n_head: int
    n_query_groups: int
    head_size: int
    intermediate_size: int
    norm_eps: float
    rope_base: float
    rope_condense_ratio: float
    qkv_bias: bool
    block_size: int
    text_vocab_size: int
    audio_vocab_size: int
    whisper_adapter_dim: int
    tied: bool

    @property
    def vocab_size(self) -> int:
        return self.text_vocab_size + AUDIO_STREAMS * self.audio_vocab_size

    @property
    def special_ids(self) -> dict[str, int]:
        """Ids with a meaning of their own: the first ones above each vocabulary."""
        text = self.text_vocab_size - SPECIALS
        audio = self.audio_vocab_size - SPECIALS
        text_names = ["eot", "pad_t", "input_t", "answer_t", "asr"]
        audio_names = ["eoa", "pad_a", "input_a", "answer_a", "split"]
        return {name: text + i for i, name in enumerate(text_names)} | {
            name: audio + i for i, name in enumerate(audio_names)
        }


REFUSED = {  # settings that change the network in ways these graphs do not have
    "rotary_percentage": (1, 1.0, None),
    "parallel_residual": (False, None),
    "shared_attention_norm": (False, None),
    "scale_embeddings": (False, None),
    "n_expert": (0, None),
    "mlp_class_name": ("LLaMAMLP", None),
    "norm_class_name": ("RMSNorm", None),
    "asr_adapter": ("llamamlp", None),
    "post_adapter": (False, None),
    "bias": (False, None),
    "lm_head_bias": (False, None),
}


def read_decoder_config(path: Path) -> DecoderConfig:
    """Reads `model_config.yaml`; refuses what the graphs cannot express."""
    raw = _read(path, yaml.safe_load)
    for key, allowed in REFUSED.items():
        if raw.get(key) not in allowed:
            raise ExportError(f"{path}: {key} {raw[key]!r} is not supported, only {allowed[0]!r}")
    get = _getter(raw, path)
    n_embd, n_head = get("n_embd", positive_number), get("n_head", positive_number)
    audio = get("audio_vocab_size", positive_number, 4160)
    padded = get("padded_vocab_size", positive_number)
    config = DecoderConfig(
        n_layer=get("n_layer", positive_number),
        n_embd=n_embd,
        n_head=n_head,
        n_query_groups=get("n_query_groups", positive_number, n_head),
        head_size=get("head_size", positive_number, n_embd // n_head),
        intermediate_size=get("intermediate_size", positive_number),
        norm_eps=get("norm_eps", float, 1e-5),  # "1e-06" is a string to YAML
        rope_base=get("rope_base", float, 10000.0),
        rope_condense_ratio=get("rope_condense_ratio", float, 1.0),
        qkv_bias=get("add_qkv_bias", bool, False),
        block_size=get("block_size", positive_number),
        text_vocab_size=get("text_vocab_size", positive_number, padded - AUDIO_STREAMS * audio),
        audio_vocab_size=audio,
        whisper_adapter_dim=get("whisper_adapter_dim", positive_number, 768),
        tied=get("tie_word_embeddings", bool, False),
    )
    _check_decoder(config, padded, path)
    return config


def _check_decoder(config: DecoderConfig, padded: int, path: Path) -> None:
    if padded != config.vocab_size:
        raise ExportError(
            f"{path}: padded_vocab_size {padded} is not text {config.text_vocab_size} "
            f"+ {AUDIO_STREAMS} x audio {config.audio_vocab_size}"
        )
    if config.n_head % config.n_query_groups:
        raise ExportError(
            f"{path}: {config.n_head} heads do not divide by {config.n_query_groups} query groups"
        )
    if config.head_size % 2:
        raise ExportError(f"{path}: head_size {config.head_size} is odd; positions rotate pairs")
    if config.text_vocab_size <= SPECIALS or config.audio_vocab_size <= SPECIALS:
        raise ExportError(f"{path}: a vocabulary leaves no room above its {SPECIALS} special ids")


@dataclass(frozen=True)
class WhisperConfig:
    """The encoder's sizes, from the `dims` that its file carries."""

    n_mels: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int


def read_whisper_config(dims: Any, path: Path) -> WhisperConfig:
    """Checks the `dims` table of an OpenAI Whisper file."""
    if not isinstance(dims, dict):
        raise ExportError(f"{path} has no dims; it is no OpenAI Whisper checkpoint")
    get = _getter(dims, path)
    sizes = (get(name, positive_number) for name in WhisperConfig.__dataclass_fields__)
    return WhisperConfig(*sizes)


CODEC_ENCODERS = ("snac", "mel")  # SNAC's own, and what `training/` makes


@dataclass(frozen=True)
class CodecConfig:
    """SNAC's `config.json`."""

    sampling_rate: int
    encoder_dim: int
    encoder_rates: list[int]
    decoder_dim: int
    decoder_rates: list[int]
    codebook_size: int
    codebook_dim: int
    vq_strides: list[int]
    noise: bool
    depthwise: bool
    encoder: str = "snac"

    @property
    def latent_dim(self) -> int:
        return self.encoder_dim * 2 ** len(self.encoder_rates)

    @property
    def samples_per_frame(self) -> int:
        samples = self.vq_strides[0]
        for rate in self.decoder_rates:
            samples *= rate
        return samples


def read_codec_config(path: Path) -> CodecConfig:
    """Reads SNAC's config; refuses attention, which the 24 kHz model does not have."""
    raw = _read(path, json.loads)
    if raw.get("attn_window_size") is not None:
        raise ExportError(
            f"{path}: attn_window_size {raw['attn_window_size']} is not supported; "
            "only SNAC models without attention (as the 24 kHz one) can be decoded in pieces"
        )
    get = _getter(raw, path)
    config = CodecConfig(
        sampling_rate=get("sampling_rate", int),
        encoder_dim=get("encoder_dim", int),
        encoder_rates=get("encoder_rates", list),
        decoder_dim=get("decoder_dim", int),
        decoder_rates=get("decoder_rates", list),
        codebook_size=get("codebook_size", int),
        codebook_dim=get("codebook_dim", int),
        vq_strides=get("vq_strides", list),
        noise=get("noise", bool, True),
        depthwise=get("depthwise", bool, True),
        encoder=get("encoder", str, "snac"),
    )
    if config.encoder not in CODEC_ENCODERS:
        raise ExportError(
            f"{path}: encoder {config.encoder!r} is none of {', '.join(CODEC_ENCODERS)}"
        )
    codes = [config.vq_strides[0] // stride for stride in config.vq_strides]
    if codes != [LEVELS.count(level) for level in range(max(LEVELS) + 1)]:
        raise ExportError(f"{path}: vq_strides {config.vq_strides} do not make 7 codes a frame")
    return config


def _read(path: Path, parse) -> dict[str, Any]:
    try:
        raw = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ExportError(f"{path} is missing; it is one of the published files") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())  # YAML's has several lines
        raise ExportError(f"{path} cannot be read: {reason}") from error
    if not isinstance(raw, dict):
        raise ExportError(f"{path} holds no settings")
    return raw


def positive_number(value: Any) -> int:
    """A size: a whole number from 1 to a bound that no model reaches."""
    number = int(value)
    if not 1 <= number <= LARGEST_SIZE:
        raise ValueError(value)
    return number


def _getter(raw: dict[str, Any], path: Path):
    def get(key: str, kind: type, default: Any = None) -> Any:
        value = raw.get(key)
        value = default if value is None else value
        if value is None:
            raise ExportError(f"{path} does not say {key}")
        try:
            return kind(value)
        except (TypeError, ValueError):
            wanted = kind.__name__.replace("_", " ")
            raise ExportError(f"{path}: {key} {value!r} is not a {wanted}") from None

    return get

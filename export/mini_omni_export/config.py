"""The sizes of a model, read from the checkpoints' own config files and checked.

What a file leaves out has the original's default (lit-gpt's for the language model, SNAC's for the
codec). Where the graphs do not compute that, the file is refused: a default of ours would be
another model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ExportError, shown
from .settings import Settings, read_json, read_yaml

AUDIO_STREAMS = 7
SPECIALS = 64  # rows kept free for special ids above each vocabulary's own
LEVELS = [0, 1, 2, 2, 1, 2, 2]  # the codec level of each audio stream

# The largest sizes that are believed; several times those of any model of this kind.
MOST_LAYERS = 1 << 10
MOST_HEADS = 1 << 10
MOST_WIDTH = 1 << 18
MOST_IDS = 1 << 22
MOST_POSITIONS = 1 << 17
MOST_RATES = 16
MOST_RATE = 64
MOST_HERTZ = 1_000_000


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


FIXED = {  # settings that change the network: (what the graphs compute, lit-gpt's default)
    "rotary_percentage": (1.0, 0.25),
    "parallel_residual": (False, True),
    "bias": (False, True),
    "norm_class_name": ("RMSNorm", "LayerNorm"),
    "mlp_class_name": ("LLaMAMLP", "GptNeoxMLP"),
    "asr_adapter": ("llamamlp", "llamamlp"),
    "pos_type": ("rope", "rope"),
    "shared_attention_norm": (False, False),
    "scale_embeddings": (False, False),
    "lm_head_bias": (False, False),
    "post_adapter": (False, False),
    "force_align": (False, False),
    "use_pretrain_phoneme_emb": (False, False),
    "n_expert": (0, 0),
    "n_expert_per_token": (0, 0),
    "prompt_vocab_size": (None, None),
}
UNUSED = (  # settings that change nothing in this network, whatever they say
    "name", "hf_config", "vocab_size", "padding_multiple", "cat_audio_vocab_size",
    "gelu_approximate", "post_adapter_layers", "attn_dropout",
)
OTHER_RMS_NORM = "Gemma"  # in a model's name: lit-gpt then adds 1 to every norm's weight


def read_decoder_config(path: Path) -> DecoderConfig:
    """Reads `model_config.yaml`; refuses what the graphs cannot express."""
    settings = read_yaml(path)
    own = {*DecoderConfig.__dataclass_fields__, "add_qkv_bias", "tie_word_embeddings",
           "padded_vocab_size"} - {"qkv_bias", "tied"}
    settings.refuse_unknown({*own, *FIXED, *UNUSED})
    for key in FIXED:
        _check_fixed(settings, key)
    _check_name(settings)
    n_embd, n_head = settings.size("n_embd", MOST_WIDTH), settings.size("n_head", MOST_HEADS)
    config = DecoderConfig(
        n_layer=settings.size("n_layer", MOST_LAYERS),
        n_embd=n_embd,
        n_head=n_head,
        n_query_groups=settings.optional_size("n_query_groups", MOST_HEADS) or n_head,
        head_size=settings.optional_size("head_size", MOST_WIDTH) or _divide(n_embd, n_head, path),
        intermediate_size=settings.size("intermediate_size", MOST_WIDTH),
        norm_eps=settings.number("norm_eps", 1e-30, 1, 1e-5),
        rope_base=settings.number("rope_base", 1, 1e12, 10000),
        rope_condense_ratio=settings.number("rope_condense_ratio", 1e-6, 1e6, 1),
        qkv_bias=_qkv_bias(settings),
        block_size=settings.size("block_size", MOST_POSITIONS, 4096),
        text_vocab_size=settings.size("text_vocab_size", MOST_IDS, 152000),
        audio_vocab_size=settings.size("audio_vocab_size", MOST_IDS, 4160),
        whisper_adapter_dim=settings.size("whisper_adapter_dim", MOST_WIDTH, 768),
        tied=settings.flag("tie_word_embeddings", False),
    )
    _check_decoder(config, settings.size("padded_vocab_size", 8 * MOST_IDS), path)
    return config


def _check_fixed(settings: Settings, key: str) -> None:
    computed, default = FIXED[key]
    value = settings.raw.get(key, default)
    kinds = (int, float) if type(computed) is float else (type(computed),)
    if type(value) in kinds and value == computed:
        return
    said = f"{key} {shown(value)}" if key in settings else (
        f"it does not say {key}, and lit-gpt's default {default!r}"
    )
    raise ExportError(f"{settings.path}: {said} is not supported, only {computed!r}")


def _check_name(settings: Settings) -> None:
    original = settings.raw.get("hf_config")
    name = settings.raw.get("name") or (original.get("name") if isinstance(original, dict) else "")
    if OTHER_RMS_NORM in str(name):
        raise ExportError(
            f"{settings.path}: name {shown(name)} is not supported: lit-gpt adds 1 to the norms of "
            f"a {OTHER_RMS_NORM}, and the graphs do not"
        )


def _qkv_bias(settings: Settings) -> bool:
    """lit-gpt takes `bias` where nothing is said, and that is False here."""
    unset = settings.raw.get("add_qkv_bias") is None
    return False if unset else settings.flag("add_qkv_bias", False)


def _divide(n_embd: int, n_head: int, path: Path) -> int:
    if n_embd % n_head:
        raise ExportError(f"{path}: n_embd {n_embd} does not divide by n_head {n_head}")
    return n_embd // n_head


def _check_decoder(config: DecoderConfig, padded: int, path: Path) -> None:
    if padded != config.vocab_size:
        raise ExportError(
            f"{path}: padded_vocab_size {padded} is not text_vocab_size {config.text_vocab_size} "
            f"+ {AUDIO_STREAMS} x audio_vocab_size {config.audio_vocab_size}"
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


TEXT_DIMS = ("n_vocab", "n_text_ctx", "n_text_state", "n_text_head", "n_text_layer")


def read_whisper_config(dims: Any, path: Path) -> WhisperConfig:
    """Checks the `dims` table of an OpenAI Whisper file."""
    if not isinstance(dims, dict):
        raise ExportError(f"{path} has no dims; it is no OpenAI Whisper checkpoint")
    settings = Settings(dims, path)
    settings.refuse_unknown({*WhisperConfig.__dataclass_fields__, *TEXT_DIMS})
    config = WhisperConfig(
        settings.size("n_mels", MOST_HEADS), settings.size("n_audio_ctx", MOST_POSITIONS),
        settings.size("n_audio_state", MOST_WIDTH), settings.size("n_audio_head", MOST_HEADS),
        settings.size("n_audio_layer", MOST_LAYERS),
    )
    if config.n_audio_state % config.n_audio_head:
        raise ExportError(
            f"{path}: n_audio_state {config.n_audio_state} does not divide by n_audio_head "
            f"{config.n_audio_head}"
        )
    return config


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


ATTENTION = "attn_window_size"
SNAC_ATTENTION = 32  # SNAC's default


def read_codec_config(path: Path) -> CodecConfig:
    """Reads SNAC's config; refuses attention, which the 24 kHz model does not have."""
    settings = read_json(path)
    settings.refuse_unknown({*CodecConfig.__dataclass_fields__, ATTENTION, "latent_dim"})
    window = settings.raw.get(ATTENTION, SNAC_ATTENTION)
    if window is not None:
        said = f"{ATTENTION} {shown(window)}" if ATTENTION in settings else (
            f"it does not say {ATTENTION}, and SNAC's default {SNAC_ATTENTION}"
        )
        raise ExportError(
            f"{path}: {said} is not supported; "
            "only SNAC models without attention (as the 24 kHz one) can be decoded in pieces"
        )
    config = CodecConfig(
        sampling_rate=settings.size("sampling_rate", MOST_HERTZ),
        encoder_dim=settings.size("encoder_dim", MOST_WIDTH),
        encoder_rates=settings.sizes("encoder_rates", MOST_RATE, MOST_RATES),
        decoder_dim=settings.size("decoder_dim", MOST_WIDTH),
        decoder_rates=settings.sizes("decoder_rates", MOST_RATE, MOST_RATES),
        codebook_size=settings.size("codebook_size", MOST_IDS),
        codebook_dim=settings.size("codebook_dim", MOST_WIDTH),
        vq_strides=settings.sizes("vq_strides", MOST_RATE, MOST_RATES),
        noise=settings.flag("noise", True),
        depthwise=settings.flag("depthwise", True),
        encoder=settings.word("encoder", "snac"),
    )
    _check_codec(config, settings)
    return config


def _check_codec(config: CodecConfig, settings: Settings) -> None:
    path = settings.path
    if config.encoder not in CODEC_ENCODERS:
        kinds = ", ".join(CODEC_ENCODERS)
        raise ExportError(f"{path}: encoder {shown(config.encoder)} is none of {kinds}")
    codes = [config.vq_strides[0] / stride for stride in config.vq_strides]
    if codes != [LEVELS.count(level) for level in range(max(LEVELS) + 1)]:
        raise ExportError(f"{path}: vq_strides {config.vq_strides} do not make 7 codes a frame")
    if config.decoder_dim % 2 ** len(config.decoder_rates):
        raise ExportError(
            f"{path}: decoder_dim {config.decoder_dim} does not halve "
            f"{len(config.decoder_rates)} times, once for each of decoder_rates"
        )
    if (settings.optional_size("latent_dim", MOST_WIDTH) or config.latent_dim) != config.latent_dim:
        raise settings.wrong("latent_dim", settings.raw["latent_dim"], f"{config.latent_dim}, "
                             "encoder_dim doubled once for each of encoder_rates")

"""The names and shapes of all tensors of a checkpoint, as its config implies them.

A checkpoint is held against them before anything is written; a random one is drawn from them.
"""

from __future__ import annotations

from itertools import count

from .checkpoint import Tensors
from .config import CodecConfig, DecoderConfig, WhisperConfig
from .errors import ExportError, shown

Shapes = dict[str, tuple[int, ...]]


def lm_shapes(c: DecoderConfig) -> Shapes:
    """Names and shapes of `lit_model.pth`."""
    qkv, wide = (c.n_head + 2 * c.n_query_groups) * c.head_size, c.intermediate_size
    shapes: Shapes = {
        "whisper_adapter.fc_1.weight": (wide, c.whisper_adapter_dim),
        "whisper_adapter.fc_2.weight": (wide, c.whisper_adapter_dim),
        "whisper_adapter.proj.weight": (c.n_embd, wide),
        "transformer.wte.weight": (c.vocab_size, c.n_embd),
        "transformer.ln_f.weight": (c.n_embd,),
    }
    if not c.tied:
        shapes["lm_head.weight"] = (c.vocab_size, c.n_embd)
    for layer in range(c.n_layer):
        block = {
            "norm_1.weight": (c.n_embd,), "norm_2.weight": (c.n_embd,),
            "attn.attn.weight": (qkv, c.n_embd),
            "attn.proj.weight": (c.n_embd, c.n_head * c.head_size),
            "mlp.fc_1.weight": (wide, c.n_embd), "mlp.fc_2.weight": (wide, c.n_embd),
            "mlp.proj.weight": (c.n_embd, wide),
        }
        if c.qkv_bias:
            block["attn.attn.bias"] = (qkv,)
        shapes |= {f"transformer.h.{layer}.{name}": shape for name, shape in block.items()}
    return shapes


def whisper_shapes(c: WhisperConfig) -> Shapes:
    """Names and shapes of the encoder in Whisper's file."""
    d = c.n_audio_state
    shapes: Shapes = {
        "encoder.conv1.weight": (d, c.n_mels, 3), "encoder.conv1.bias": (d,),
        "encoder.conv2.weight": (d, d, 3), "encoder.conv2.bias": (d,),
        "encoder.positional_embedding": (c.n_audio_ctx, d),
        "encoder.ln_post.weight": (d,), "encoder.ln_post.bias": (d,),
    }
    for layer in range(c.n_audio_layer):
        block: Shapes = {f"attn.{p}.weight": (d, d) for p in ("query", "key", "value", "out")}
        block |= {f"attn.{p}.bias": (d,) for p in ("query", "value", "out")}
        block |= {f"{ln}.{p}": (d,) for ln in ("attn_ln", "mlp_ln") for p in ("weight", "bias")}
        block |= {"mlp.0.weight": (4 * d, d), "mlp.0.bias": (4 * d,),
                  "mlp.2.weight": (d, 4 * d), "mlp.2.bias": (d,)}
        shapes |= {f"encoder.blocks.{layer}.{name}": shape for name, shape in block.items()}
    return shapes


def codec_shapes(c: CodecConfig) -> Shapes:
    """Names and shapes of SNAC's file, weight norm as `weight_g` and `weight_v`."""
    codec = _Codec(c)
    codec.encoder()
    codec.quantizer()
    codec.decoder()
    return codec.shapes


class _Codec:
    def __init__(self, config: CodecConfig) -> None:
        self.config = config
        self.shapes: Shapes = {}

    def encoder(self) -> None:
        c, width = self.config, self.config.encoder_dim
        if c.encoder == "mel":  # of any depth and width
            return
        self._conv("encoder.block.0", width, 1, 7)
        for i, stride in enumerate(c.encoder_rates):
            name = f"encoder.block.{i + 1}.block"
            self._residuals(name, 0, width)
            self.shapes[f"{name}.3.alpha"] = (1, width, 1)
            self._conv(f"{name}.4", 2 * width, width, 2 * stride)
            width *= 2
        self._conv(f"encoder.block.{len(c.encoder_rates) + 1}", width, self._each(width), 7)

    def quantizer(self) -> None:
        c = self.config
        for level in range(len(c.vq_strides)):
            name = f"quantizer.quantizers.{level}"
            self._conv(f"{name}.in_proj", c.codebook_dim, c.latent_dim, 1)
            self._conv(f"{name}.out_proj", c.latent_dim, c.codebook_dim, 1)
            self.shapes[f"{name}.codebook.weight"] = (c.codebook_size, c.codebook_dim)

    def decoder(self) -> None:
        c, width = self.config, self.config.decoder_dim
        stem = [(c.latent_dim, 1, 7), (width, c.latent_dim, 1)]
        if not c.depthwise:
            stem = [(width, c.latent_dim, 7)]
        for i, sizes in enumerate(stem):
            self._conv(f"decoder.model.{i}", *sizes)
        for i, stride in enumerate(c.decoder_rates):
            name = f"decoder.model.{len(stem) + i}.block"
            self.shapes[f"{name}.0.alpha"] = (1, width, 1)
            self._conv(f"{name}.1", width, width // 2, 2 * stride, bias=width // 2)
            width //= 2
            if c.noise:
                self._conv(f"{name}.2.linear", width, width, 1, bias=0)
            self._residuals(name, 3 if c.noise else 2, width)
        last = len(stem) + len(c.decoder_rates)
        self.shapes[f"decoder.model.{last}.alpha"] = (1, width, 1)
        self._conv(f"decoder.model.{last + 1}", 1, width, 7)

    def _conv(self, name: str, rows: int, columns: int, kernel: int, bias: int = -1) -> None:
        """`bias`: its length, `rows` if not given, 0 for none."""
        self.shapes[f"{name}.weight_g"] = (rows, 1, 1)
        self.shapes[f"{name}.weight_v"] = (rows, columns, kernel)
        if bias:
            self.shapes[f"{name}.bias"] = (rows if bias < 0 else bias,)

    def _residuals(self, prefix: str, first: int, width: int) -> None:
        for i in range(first, first + 3):
            name = f"{prefix}.{i}.block"
            self.shapes[f"{name}.0.alpha"] = self.shapes[f"{name}.2.alpha"] = (1, width, 1)
            self._conv(f"{name}.1", width, self._each(width), 7)
            self._conv(f"{name}.3", width, width, 1)

    def _each(self, width: int) -> int:
        """Inputs of one output."""
        return 1 if self.config.depthwise else width


MOST_TAPS = 63  # of a convolution of the encoder that reads mels
MEL_BINS = 513  # of the spectrum that its filters read


def mel_encoder_shapes(tensors: Tensors, c: CodecConfig) -> Shapes:
    """Names and shapes of the encoder that reads mels; its depth and widths are the file's."""
    filters, start = tensors.stored("encoder.filters"), tensors.stored("encoder.start.weight")
    if filters.ndim != 2 or start.ndim != 3:
        raise ExportError(f"{tensors.path}: encoder.filters or encoder.start is of no known shape")
    mels, width = len(filters), len(start)
    shapes: Shapes = {
        "encoder.filters": (mels, MEL_BINS),
        **_plain_conv(tensors, "encoder.start", width, 2 * mels),
        **_plain_conv(tensors, "encoder.end", c.latent_dim, width),
    }
    for i in range(mel_units(tensors)):
        name = f"encoder.units.{i}"
        shapes |= {f"{name}.norm.weight": (width,), f"{name}.norm.bias": (width,)}
        shapes |= _plain_conv(tensors, f"{name}.conv", 2 * width, width)
        shapes |= _plain_conv(tensors, f"{name}.out", width, width)
    return shapes


def mel_units(tensors: Tensors) -> int:
    """How many residual units the encoder that reads mels has."""
    return next(i for i in count() if f"encoder.units.{i}.norm.weight" not in tensors)


def _plain_conv(tensors: Tensors, name: str, rows: int, columns: int) -> Shapes:
    """A convolution without weight norm, of an odd number of taps."""
    weight = tensors.stored(f"{name}.weight")
    taps = weight.shape[-1] if weight.ndim == 3 else 1
    if taps % 2 == 0 or taps > MOST_TAPS:
        raise ExportError(f"{tensors.path}: {name}.weight has {taps} taps; an odd few are expected")
    return {f"{name}.weight": (rows, columns, taps), f"{name}.bias": (rows,)}


NEWER = {  # torch's newer naming of weight norm
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
}


def check(tensors: Tensors, shapes: Shapes, unused: str | None = None) -> None:
    """Raises ExportError for the first tensor that is missing, of another shape, or not of this
    model: loading is strict, as the original's is. Names that begin with `unused` may be there.
    """
    read = {_check_one(tensors, name, shape) for name, shape in shapes.items()}
    for name in tensors.state:
        if name not in read and not (unused and str(name).startswith(unused)):
            raise ExportError(
                f"{tensors.path} holds {shown(name)}, which is no part of the model that its "
                "config describes: the export would leave it out and answer otherwise"
            )


def _check_one(tensors: Tensors, name: str, shape: tuple[int, ...]) -> str | None:
    """Checks one tensor; returns the name that the file has for it."""
    stem, _, last = name.rpartition(".")
    if f"{stem}.{NEWER.get(last)}" in tensors:
        name = f"{stem}.{NEWER[last]}"
    elif last in NEWER and name not in tensors and f"{stem}.weight" in tensors:
        if last == "weight_g":  # a convolution without weight norm has one tensor
            return None
        name = f"{stem}.weight"
    tensors.stored(name, *shape)
    return name

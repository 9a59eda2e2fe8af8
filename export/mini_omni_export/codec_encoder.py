"""The codec's encoder graph: SNAC's encoder, or one that reads log-mels as `training/` makes it,
and SNAC's quantiser; a whole clip at once, for tools.

Signals are [1, channels, n], as torch has them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .checkpoint import Tensors
from .codec import KERNEL, RESIDUAL_DILATIONS, projected_codebook, snake_weights, weight_norm
from .config import CodecConfig
from .graph import Graph
from .shapes import mel_units

MEL_WINDOW = 1024  # samples
MEL_HOP = 256
MEL_FLOOR = 1e-5


@dataclass
class _Codec:
    """What every layer needs."""

    graph: Graph
    tensors: Tensors
    config: CodecConfig

    def weights(self, name: str) -> list[str]:
        """Weight and bias of a convolution."""
        return [
            self.graph.weight(weight_norm(self.tensors, name), f"{name}.weight"),
            self.graph.weight(self.tensors(f"{name}.bias"), f"{name}.bias"),
        ]

    def plain(self, name: str) -> list[str]:
        """Weight and bias as they are."""
        parts = (f"{name}.weight", f"{name}.bias")
        return [self.graph.weight(self.tensors(part), part) for part in parts]

    def snake(self, name: str, x: str) -> str:
        """x + sin(alpha x)^2 / alpha."""
        graph, (alpha, inverse) = self.graph, snake_weights(self.tensors, name)
        sine = graph.node("Sin", graph.node("Mul", x, graph.weight(alpha, f"{name}.alpha")))
        square = graph.node("Mul", sine, sine)
        wave = graph.node("Mul", square, graph.weight(inverse, f"{name}.inverse"))
        return graph.node("Add", x, wave)


def build_codec_encoder(graph: Graph, tensors: Tensors, config: CodecConfig) -> None:
    """Adds encoder and quantiser: pcm [1, 1, samples] -> codes of each level."""
    codec = _Codec(graph, tensors, config)
    graph.input("pcm", "float32", [1, 1, "samples"])
    encode = _mel_encoder if config.encoder == "mel" else _snac_encoder
    _quantize(codec, encode(codec, "pcm"))


def _snac_encoder(codec: _Codec, pcm: str) -> str:
    graph, config = codec.graph, codec.config
    x, channels = _plain_conv(codec, pcm, "encoder.block.0"), config.encoder_dim
    for block, stride in enumerate(config.encoder_rates):
        name = f"encoder.block.{block + 1}.block"
        for i, dilation in enumerate(RESIDUAL_DILATIONS):
            x = _plain_residual(codec, x, f"{name}.{i}.block", dilation, channels)
        x = codec.snake(f"{name}.3", x)
        pad = (stride + 1) // 2
        x = graph.node(
            "Conv", x, *codec.weights(f"{name}.4"),
            kernel_shape=[2 * stride], strides=[stride], pads=[pad, pad],
        )
        channels *= 2
    last = f"encoder.block.{len(config.encoder_rates) + 1}"
    return _plain_conv(codec, x, last, groups=channels if config.depthwise else 1)


def _mel_encoder(codec: _Codec, pcm: str) -> str:
    """Log-mels, two of which make a latent, and convolutions normed position by position."""
    graph = codec.graph
    filters = codec.tensors("encoder.filters")
    x = _pairs(graph, _log_mel(graph, pcm, filters), len(filters))
    x = _conv(codec, x, "encoder.start")
    for i in range(mel_units(codec.tensors)):
        name = f"encoder.units.{i}"
        h = graph.node("Transpose", x, perm=[0, 2, 1])
        h = graph.node("LayerNormalization", h, *codec.plain(f"{name}.norm"), axis=-1)
        h = _conv(codec, graph.node("Transpose", h, perm=[0, 2, 1]), f"{name}.conv")
        a, b = graph.node("Split", h, outputs=2, axis=1, num_outputs=2)
        h = graph.node("Mul", a, graph.node("Sigmoid", b))
        x = graph.node("Add", x, _conv(codec, h, f"{name}.out"))
    return _conv(codec, x, "encoder.end")


def _log_mel(graph: Graph, pcm: str, filters: np.ndarray) -> str:
    """pcm [1, 1, n] -> natural logarithms [1, n / 256, mels], the ends of the sound reflected."""
    side = MEL_WINDOW // 2
    pads = graph.const([0, 0, side, 0, 0, side])
    signal = graph.node("Pad", pcm, pads, mode="reflect")
    signal = graph.node("Transpose", signal, perm=[0, 2, 1])
    turn = 2 * np.pi * np.arange(MEL_WINDOW) / MEL_WINDOW
    window = graph.weight((0.5 - 0.5 * np.cos(turn)).astype(np.float32), "encoder.window")
    spectra = graph.node("STFT", signal, graph.const(MEL_HOP), window, graph.const(MEL_WINDOW))
    spectra = graph.slice(spectra, 0, -1, 1)  # the one that is centred on the end
    power = graph.node("ReduceSumSquare", spectra, graph.const([3]), keepdims=0)
    mels = graph.node("MatMul", graph.node("Sqrt", power), graph.weight(filters.T, "encoder.mels"))
    return graph.node("Log", graph.node("Max", mels, graph.floats(MEL_FLOOR)))


def _pairs(graph: Graph, logs: str, mels: int) -> str:
    """[1, 2n, mels] -> [1, 2 mels, n], scaled as it was for training."""
    x = graph.node("Div", graph.node("Add", logs, graph.floats(4)), graph.floats(3))
    x = graph.node("Transpose", graph.reshape(x, [1, -1, 2, mels]), perm=[0, 3, 2, 1])
    return graph.reshape(x, [1, 2 * mels, -1])


def _conv(codec: _Codec, x: str, name: str) -> str:
    """A convolution without weight norm that keeps the length."""
    weight, bias = codec.plain(name)
    kernel = codec.graph.tensors[weight].dims[2]
    pad = kernel // 2
    return codec.graph.node("Conv", x, weight, bias, kernel_shape=[kernel], pads=[pad, pad])


def _plain_conv(codec: _Codec, x: str, name: str, dilation: int = 1, groups: int = 1) -> str:
    pad = (KERNEL - 1) * dilation // 2
    return codec.graph.node(
        "Conv", x, *codec.weights(name), kernel_shape=[KERNEL],
        dilations=[dilation], pads=[pad, pad], group=groups,
    )


def _plain_residual(codec: _Codec, x: str, name: str, dilation: int, channels: int) -> str:
    groups = channels if codec.config.depthwise else 1
    h = _plain_conv(codec, codec.snake(f"{name}.0", x), f"{name}.1", dilation, groups)
    h = codec.graph.node(
        "Conv", codec.snake(f"{name}.2", h), *codec.weights(f"{name}.3"), kernel_shape=[1]
    )
    return codec.graph.node("Add", x, h)


def _quantize(codec: _Codec, residual: str) -> None:
    """Residual vector quantisation, coarse level first; the nearest code by direction."""
    graph, config = codec.graph, codec.config
    for level, stride in enumerate(config.vq_strides):
        name = f"quantizer.quantizers.{level}"
        z = residual
        if stride > 1:
            z = graph.node("AveragePool", z, kernel_shape=[stride], strides=[stride])
        z = graph.node("Conv", z, *codec.weights(f"{name}.in_proj"), kernel_shape=[1])
        z = graph.node("Transpose", z, perm=[0, 2, 1])
        codebook = codec.tensors(f"{name}.codebook.weight")
        # Both sides are normalised, so the nearest is the one with the largest product; the
        # length of z changes nothing about which.
        norms = np.maximum(np.linalg.norm(codebook, axis=1, keepdims=True), 1e-12)
        directions = graph.weight((codebook / norms).T, f"{name}.directions")
        ids = graph.node("ArgMax", graph.node("MatMul", z, directions), axis=2, keepdims=0)
        finest = config.vq_strides[0] // stride
        graph.output(ids, f"codes_{level}", "int64", [1, f"frames_x{finest}"])
        if level + 1 < len(config.vq_strides):
            residual = graph.node("Sub", residual, _chosen(codec, name, ids, stride))


def _chosen(codec: _Codec, name: str, ids: str, stride: int) -> str:
    graph = codec.graph
    table = projected_codebook(codec.tensors, name)
    rows = graph.node("Gather", graph.weight(table, f"{name}.table"), ids, axis=0)
    x = graph.node("Transpose", rows, perm=[0, 2, 1])
    if stride == 1:
        return x
    x = graph.node("Unsqueeze", x, graph.const([3]))
    x = graph.node("Expand", x, graph.const([1, 1, 1, stride]))
    return graph.reshape(x, [1, table.shape[1], -1])

"""The codec graphs: SNAC's decoder in a streaming form, and its encoder.

The decoder looks 10 latents ahead. Instead of looking ahead, every convolution here remembers its
last inputs and answers late; so each frame is computed once, in chunks of any size, with the same
samples as the whole clip at once. Offline decoding zero-pads every layer at the clip's ends; here
the remembered inputs start as zeros, and what lies outside the clip is masked to zero after every
layer (biases would make it something else).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .checkpoint import Tensors
from .config import CodecConfig
from .errors import ExportError
from .graph import Graph

SNAKE_EPS = 1e-9
RESIDUAL_DILATIONS = [1, 3, 9]
KERNEL = 7


def weight_norm(tensors: Tensors, name: str) -> np.ndarray:
    """The weight g * v / |v| of a layer, in either of torch's two namings."""
    parametrized = f"{name}.parametrizations.weight.original"
    if f"{parametrized}0" in tensors:
        g, v = tensors(f"{parametrized}0"), tensors(f"{parametrized}1")
    elif f"{name}.weight_g" in tensors:
        g, v = tensors(f"{name}.weight_g"), tensors(f"{name}.weight_v")
    elif f"{name}.weight" in tensors:
        return tensors(f"{name}.weight")
    else:
        raise ExportError(f"{tensors.path} has no weight for {name}; it is not the codec expected")
    norm = np.sqrt(np.sum(v.astype(np.float64) ** 2, axis=tuple(range(1, v.ndim)), keepdims=True))
    return (v * (g / norm)).astype(np.float32)


@dataclass
class _Codec:
    """What every layer needs."""

    graph: Graph
    tensors: Tensors
    config: CodecConfig
    states: int = 0
    masks: dict[tuple[int, int], str] = field(default_factory=dict)

    def weights(self, name: str, bias: bool = True) -> list[str]:
        out = [self.graph.weight(weight_norm(self.tensors, name), f"{name}.weight")]
        if bias:
            out.append(self.graph.weight(self.tensors(f"{name}.bias"), f"{name}.bias"))
        return out

    def pointwise(self, x: str, name: str, bias: bool = True) -> str:
        """A convolution of kernel 1, [1, channels, n]: as one, or as a product of rows."""
        if not self.graph.format.rows:
            return self.graph.node("Conv", x, *self.weights(name, bias), kernel_shape=[1])
        weight = weight_norm(self.tensors, name)[:, :, 0]
        added = self.tensors(f"{name}.bias") if bias else None
        y = self.graph.linear(self.turned(x), weight, name, added)
        return self.turned(y)

    def turned(self, x: str) -> str:
        """[1, channels, n] to rows [1, n, channels], or back."""
        return self.graph.node("Transpose", x, perm=[0, 2, 1])

    def snake(self, name: str, x: str) -> str:
        """x + sin(alpha x)^2 / alpha."""
        graph, alpha = self.graph, self.tensors(f"{name}.alpha")
        sine = graph.node("Sin", graph.node("Mul", x, graph.weight(alpha, f"{name}.alpha")))
        inverse = graph.weight((1 / (alpha + np.float32(SNAKE_EPS))), f"{name}.inverse")
        return graph.node("Add", x, graph.node("Mul", graph.node("Mul", sine, sine), inverse))


@dataclass
class _Signal:
    """A value in the stream: [1, channels, n x rate], late by `delay` of its own positions."""

    value: str
    channels: int
    rate: int  # positions a frame
    delay: int


def build_codec_decoder(graph: Graph, tensors: Tensors, config: CodecConfig) -> dict:
    """Adds the streaming decoder to `graph`; returns delay_samples and noise for the manifest."""
    codec = _Codec(graph, tensors, config)
    finest = config.vq_strides[0]
    codes = [
        graph.input(f"codes_{i}", "int64", [1, f"frames_x{finest // stride}"])
        for i, stride in enumerate(config.vq_strides)
    ]
    graph.input("frames_before", "int64", [1])
    graph.input("clip_frames", "int64", [1])
    x = _masked(codec, _Signal(_latents(codec, codes), config.latent_dim, finest, 0))
    x = _stem(codec, x)
    noise = []
    for block, stride in enumerate(config.decoder_rates):
        x, drawn = _decoder_block(codec, x, block, stride)
        noise += drawn
    last = len(config.decoder_rates) + 2 if config.depthwise else len(config.decoder_rates) + 1
    value = codec.snake(f"decoder.model.{last}", x.value)
    x = _conv(codec, _Signal(value, x.channels, x.rate, x.delay), f"decoder.model.{last + 1}", 1)
    pcm = graph.reshape(graph.node("Tanh", x.value), [1, -1])
    graph.output(pcm, "pcm", "float32", [1, "samples"])
    return {"delay_samples": x.delay, "noise": noise}


def _latents(codec: _Codec, codes: list[str]) -> str:
    """Codes of all levels to latents [1, latent_dim, n x finest stride]."""
    graph, total = codec.graph, None
    for level, (ids, stride) in enumerate(zip(codes, codec.config.vq_strides)):
        name = f"quantizer.quantizers.{level}"
        codebook = codec.tensors(f"{name}.codebook.weight")
        projection = weight_norm(codec.tensors, f"{name}.out_proj")[:, :, 0]
        # The projection of each code is computed here once, not at every frame.
        table = codebook @ projection.T + codec.tensors(f"{name}.out_proj.bias")
        rows = graph.node("Gather", graph.weight(table, f"{name}.table"), ids, axis=0)
        rows = graph.node("Transpose", rows, perm=[0, 2, 1])
        rows = _repeat(graph, rows, table.shape[1], stride)
        total = graph.node("Add", total, rows) if total else rows
    return total


def _repeat(graph: Graph, x: str, channels: int, times: int) -> str:
    """Each position of [1, channels, n] `times` times in a row."""
    if times == 1:
        return x
    x = graph.node("Unsqueeze", x, graph.const([3]))
    x = graph.node("Expand", x, graph.const([1, 1, 1, times]))
    return graph.reshape(x, [1, channels, -1])


def _stem(codec: _Codec, x: _Signal) -> _Signal:
    if not codec.config.depthwise:
        return _masked(codec, _conv(codec, x, "decoder.model.0", codec.config.decoder_dim))
    x = _conv(codec, x, "decoder.model.0", x.channels, groups=x.channels)
    value = codec.pointwise(x.value, "decoder.model.1")
    return _masked(codec, _Signal(value, codec.config.decoder_dim, x.rate, x.delay))


def _decoder_block(codec: _Codec, x: _Signal, block: int, stride: int) -> tuple[_Signal, list]:
    config, graph = codec.config, codec.graph
    name = f"decoder.model.{block + (2 if config.depthwise else 1)}.block"
    value = codec.snake(f"{name}.0", x.value)
    x = _upsample(codec, _Signal(value, x.channels, x.rate, x.delay), f"{name}.1", stride)
    noise, at = [], 2
    if config.noise:
        noise.append({"per_frame": x.rate, "delay": x.delay})
        drawn = graph.input(f"noise_{block}", "float32", [1, 1, f"frames_x{x.rate}"])
        gain = codec.pointwise(x.value, f"{name}.2.linear", bias=False)
        value = graph.node("Add", x.value, graph.node("Mul", drawn, gain))
        x, at = _Signal(value, x.channels, x.rate, x.delay), 3
    for i, dilation in enumerate(RESIDUAL_DILATIONS):
        x = _residual(codec, x, f"{name}.{at + i}.block", dilation)
    return x, noise


def _residual(codec: _Codec, x: _Signal, name: str, dilation: int) -> _Signal:
    """x + conv1(snake(conv7(snake(x)))), x as late as the convolution makes its branch."""
    graph, reach = codec.graph, (KERNEL - 1) * dilation
    groups = x.channels if codec.config.depthwise else 1
    buffered = _remember(codec, x, reach)
    h = graph.node(
        "Conv", codec.snake(f"{name}.0", buffered), *codec.weights(f"{name}.1"),
        kernel_shape=[KERNEL], dilations=[dilation], group=groups,
    )
    h = codec.snake(f"{name}.2", h)
    h = codec.pointwise(h, f"{name}.3")
    straight = graph.slice(buffered, reach // 2, -(reach // 2), axis=2)
    value = graph.node("Add", straight, h)
    return _masked(codec, _Signal(value, x.channels, x.rate, x.delay + reach // 2))


def _conv(codec: _Codec, x: _Signal, name: str, channels: int, groups: int = 1) -> _Signal:
    reach = KERNEL - 1
    value = codec.graph.node(
        "Conv", _remember(codec, x, reach), *codec.weights(name),
        kernel_shape=[KERNEL], group=groups,
    )
    return _Signal(value, channels, x.rate, x.delay + reach // 2)


def _upsample(codec: _Codec, x: _Signal, name: str, stride: int) -> _Signal:
    """Transposed convolution of kernel 2 x stride: the first half of an input's reach meets the
    second half of the input's before. So it is one product of rows and one addition, which is
    several times faster than ONNX Runtime's ConvTranspose; one input is remembered."""
    graph, channels = codec.graph, x.channels // 2
    weight = weight_norm(codec.tensors, name)  # [in, out, 2 x stride]
    weight = np.ascontiguousarray(weight.transpose(2, 1, 0)).reshape(-1, x.channels)
    reach = graph.linear(codec.turned(_remember(codec, x, 1)), weight, name)
    half = stride * channels
    first = graph.slice(graph.slice(reach, 1, np.iinfo(np.int64).max, axis=1), 0, half, axis=2)
    second = graph.slice(graph.slice(reach, 0, -1, axis=1), half, 2 * half, axis=2)
    value = graph.reshape(graph.node("Add", first, second), [1, -1, channels])
    bias = graph.weight(codec.tensors(f"{name}.bias"), f"{name}.bias")
    value = codec.turned(graph.node("Add", value, bias))
    padding = (stride + 1) // 2
    return _masked(
        codec, _Signal(value, channels, x.rate * stride, x.delay * stride + padding)
    )


def _remember(codec: _Codec, x: _Signal, reach: int) -> str:
    """x with the last `reach` positions of the call before in front of it."""
    graph, index = codec.graph, codec.states
    codec.states += 1
    shape = [1, x.channels, reach]
    past = graph.input(f"past_state.{index}", "float32", shape)
    buffered = graph.node("Concat", past, x.value, axis=2)
    kept = graph.slice(buffered, -reach, np.iinfo(np.int64).max, axis=2)
    graph.output(kept, f"present_state.{index}", "float32", shape)
    return buffered


def _masked(codec: _Codec, x: _Signal) -> _Signal:
    """Zero at positions outside the clip."""
    key = (x.rate, x.delay)
    if key not in codec.masks:
        codec.masks[key] = _mask(codec, *key)
    return _Signal(codec.graph.node("Mul", x.value, codec.masks[key]), x.channels, *key)


def _mask(codec: _Codec, rate: int, delay: int) -> str:
    """[positions]: 1 where 0 <= frames_before * rate + k - delay < clip_frames * rate."""
    graph = codec.graph
    scalar = lambda name: graph.node("Squeeze", name)  # noqa: E731
    times = lambda value: graph.node("Mul", value, graph.const(rate))  # noqa: E731
    frames = scalar(graph.node("Shape", "codes_0", start=1, end=2))
    first = graph.node("Sub", times(scalar("frames_before")), graph.const(delay))
    behind = graph.node("Add", first, times(frames))
    positions = graph.node("Range", first, behind, graph.const(1))
    begun = graph.node("GreaterOrEqual", positions, graph.const(0))
    going = graph.node("Less", positions, times(scalar("clip_frames")))
    return graph.node("Cast", graph.node("And", begun, going), to=1)


def build_codec_encoder(graph: Graph, tensors: Tensors, config: CodecConfig) -> None:
    """Adds SNAC's encoder and quantiser: pcm [1, 1, samples] -> codes of each level."""
    codec = _Codec(graph, tensors, config)
    graph.input("pcm", "float32", [1, 1, "samples"])
    x, channels = _plain_conv(codec, "pcm", "encoder.block.0"), config.encoder_dim
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
    x = _plain_conv(codec, x, last, groups=channels if config.depthwise else 1)
    _quantize(codec, x)


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
            residual = graph.node("Sub", residual, _chosen(codec, name, ids, codebook, stride))


def _chosen(codec: _Codec, name: str, ids: str, codebook: np.ndarray, stride: int) -> str:
    graph = codec.graph
    projection = weight_norm(codec.tensors, f"{name}.out_proj")[:, :, 0]
    table = codebook @ projection.T + codec.tensors(f"{name}.out_proj.bias")
    rows = graph.node("Gather", graph.weight(table, f"{name}.table"), ids, axis=0)
    rows = graph.node("Transpose", rows, perm=[0, 2, 1])
    return _repeat(graph, rows, table.shape[1], stride)

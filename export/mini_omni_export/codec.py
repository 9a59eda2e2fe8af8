"""The codec's decoder graph: SNAC's decoder in a streaming form.

It looks 10 latents ahead. Instead of looking ahead, every convolution here remembers its
last inputs and answers late; so each frame is computed once, in chunks of any size, with the same
samples as the whole clip at once. Offline decoding zero-pads every layer at the clip's ends; here
the remembered inputs start as zeros, and what lies outside the clip is masked to zero after every
layer (biases would make it something else).

Signals are rows, [1, n, channels]: remembering and cutting copy whole pieces of memory, pointwise
and transposed convolutions are products of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .checkpoint import Tensors
from .config import CodecConfig
from .errors import ExportError
from .functions import NOISE8, RESIDUAL_UNIT8, SNAKE, SNAKE_CONV, UPSAMPLE8
from .graph import END, Graph

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
    if not norm.all():
        raise ExportError(f"{tensors.path}: {name} has a row of zeros; weight norm divides by it")
    return (v * (g / norm)).astype(np.float32)


def snake_weights(tensors: Tensors, name: str) -> list[np.ndarray]:
    """alpha and 1 / alpha of the activation x + sin(alpha x)^2 / alpha, [1, channels, 1]."""
    alpha = tensors(f"{name}.alpha")
    return [alpha, 1 / (alpha + np.float32(SNAKE_EPS))]


@dataclass
class _Codec:
    """What every layer needs."""

    graph: Graph
    tensors: Tensors
    config: CodecConfig
    states: int = 0
    masks: dict[tuple[int, int], str] = field(default_factory=dict)

    def linear(self, x: str, name: str) -> str:
        """A convolution of kernel 1 on rows."""
        weight = weight_norm(self.tensors, name)[:, :, 0]
        return self.graph.linear(x, weight, name, self.tensors(f"{name}.bias"))

    def conv(self, x: str, name: str, dilation: int, groups: int) -> str:
        """Any convolution of rows, without padding."""
        graph = self.graph
        weights = [
            graph.weight(weight_norm(self.tensors, name), f"{name}.weight"),
            graph.weight(self.tensors(f"{name}.bias"), f"{name}.bias"),
        ]
        turned = graph.node("Transpose", x, perm=[0, 2, 1])
        y = graph.node(
            "Conv", turned, *weights, kernel_shape=[KERNEL], dilations=[dilation], group=groups
        )
        return graph.node("Transpose", y, perm=[0, 2, 1])

    def ends(self, name: str) -> list[str]:
        """alpha and inverse of a Snake, [channels]."""
        found = zip(("alpha", "inverse"), snake_weights(self.tensors, name))
        return [self.graph.weight(w.reshape(-1), f"{name}.{key}") for key, w in found]

    def snake(self, name: str, x: str) -> str:
        """The activation."""
        return self.graph.call(SNAKE, x, *self.ends(name))

    def snake_conv(self, name: str) -> list[str]:
        """Weights of a residual unit's first three layers, the convolution a depthwise one."""
        conv = f"{name}.1"
        taps = np.ascontiguousarray(weight_norm(self.tensors, conv)[:, 0].T)
        return [
            *self.ends(f"{name}.0"), self.graph.weight(taps, f"{conv}.weight"),
            self.graph.weight(self.tensors(f"{conv}.bias"), f"{conv}.bias"),
            *self.ends(f"{name}.2"),
        ]


@dataclass
class _Signal:
    """A value in the stream: [1, n x rate, channels], late by `delay` of its own positions."""

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
    """Codes of all levels to latents [1, n x finest stride, latent_dim]."""
    graph, total = codec.graph, None
    for level, (ids, stride) in enumerate(zip(codes, codec.config.vq_strides)):
        # The projection of each code is computed here once, not at every frame.
        name = f"quantizer.quantizers.{level}"
        table = projected_codebook(codec.tensors, name)
        rows = graph.node("Gather", graph.weight(table, f"{name}.table"), ids, axis=0)
        if stride > 1:  # each position `stride` times in a row
            rows = graph.node("Unsqueeze", rows, graph.const([2]))
            rows = graph.node("Expand", rows, graph.const([1, 1, stride, 1]))
            rows = graph.reshape(rows, [1, -1, table.shape[1]])
        total = graph.node("Add", total, rows) if total else rows
    return total


def projected_codebook(tensors: Tensors, name: str) -> np.ndarray:
    """The latents of every code of a level, [codes, latent_dim]."""
    projection = weight_norm(tensors, f"{name}.out_proj")[:, :, 0]
    codebook = tensors(f"{name}.codebook.weight")
    return codebook @ projection.T + tensors(f"{name}.out_proj.bias")


def _stem(codec: _Codec, x: _Signal) -> _Signal:
    if not codec.config.depthwise:
        return _masked(codec, _conv(codec, x, "decoder.model.0", codec.config.decoder_dim))
    x = _conv(codec, x, "decoder.model.0", x.channels, groups=x.channels)
    value = codec.linear(x.value, "decoder.model.1")
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
        x, at = _noise(codec, x, f"{name}.2.linear", drawn), 3
    for i, dilation in enumerate(RESIDUAL_DILATIONS):
        x = _residual(codec, x, f"{name}.{at + i}.block", dilation)
    return x, noise


def _noise(codec: _Codec, x: _Signal, name: str, drawn: str) -> _Signal:
    """x and a product of it, times the draws [1, 1, n]."""
    graph, weight = codec.graph, weight_norm(codec.tensors, name)[:, :, 0]
    if packed := graph.packed8(weight, name):
        value = graph.call(NOISE8, x.value, drawn, *packed)
    else:
        gain = graph.linear(x.value, weight, name)
        drawn = graph.node("Mul", graph.reshape(drawn, [1, -1, 1]), gain)
        value = graph.node("Add", x.value, drawn)
    return _Signal(value, x.channels, x.rate, x.delay)


def _residual(codec: _Codec, x: _Signal, name: str, dilation: int) -> _Signal:
    """x + conv1(snake(conv7(snake(x)))), x as late as the convolution makes its branch."""
    graph, reach = codec.graph, (KERNEL - 1) * dilation
    late = _Signal(x.value, x.channels, x.rate, x.delay + reach // 2)
    attributes = {"dilations": [dilation], "group": x.channels}
    weights = codec.snake_conv(name) if codec.config.depthwise else []
    weight = weight_norm(codec.tensors, f"{name}.3")[:, :, 0]
    bias = codec.tensors(f"{name}.3.bias")
    if weights and (packed := graph.packed8(weight, f"{name}.3", bias)):
        past, keep = _memory(codec, x, reach)
        late.value, present = graph.call(
            RESIDUAL_UNIT8, past, x.value, "frames_before", "clip_frames", *weights, *packed,
            outputs=2, rate=x.rate, delay=late.delay, **attributes,
        )  # fmt: skip
        keep(present)
        return late
    buffered = _remember(codec, x, reach)
    if weights:
        h = graph.call(SNAKE_CONV, buffered, *weights, **attributes)
    else:
        h = codec.conv(codec.snake(f"{name}.0", buffered), f"{name}.1", dilation, 1)
        h = codec.snake(f"{name}.2", h)
    h = graph.linear(h, weight, f"{name}.3", bias)
    straight = graph.slice(buffered, reach // 2, -(reach // 2), axis=1)
    late.value = graph.node("Add", straight, h)
    return _masked(codec, late)


def _conv(codec: _Codec, x: _Signal, name: str, channels: int, groups: int = 1) -> _Signal:
    reach = KERNEL - 1
    value = codec.conv(_remember(codec, x, reach), name, 1, groups)
    return _Signal(value, channels, x.rate, x.delay + reach // 2)


def _upsample(codec: _Codec, x: _Signal, name: str, stride: int) -> _Signal:
    """Transposed convolution of kernel 2 x stride: the first half of an input's reach meets the
    second half of the input's before. So it is one product of rows and one addition, which is
    several times faster than ONNX Runtime's ConvTranspose; one input is remembered."""
    graph, channels = codec.graph, x.channels // 2
    weight = weight_norm(codec.tensors, name)  # [in, out, 2 x stride]
    weight = np.ascontiguousarray(weight.transpose(2, 1, 0)).reshape(-1, x.channels)
    padding = (stride + 1) // 2
    up = _Signal("", channels, x.rate * stride, x.delay * stride + padding)
    if packed := graph.packed8(weight, name):
        past, keep = _memory(codec, x, 1)
        bias = graph.weight(codec.tensors(f"{name}.bias"), f"{name}.bias")
        up.value, present = graph.call(
            UPSAMPLE8, past, x.value, "frames_before", "clip_frames", *packed, bias,
            outputs=2, rate=up.rate, delay=up.delay,
        )  # fmt: skip
        keep(present)
        return up
    reach = graph.linear(_remember(codec, x, 1), weight, name)
    half = stride * channels
    first = graph.slice(reach, [1, 0], [END, half], axis=[1, 2])
    second = graph.slice(reach, [0, half], [-1, END], axis=[1, 2])
    value = graph.reshape(graph.node("Add", first, second), [1, -1, channels])
    bias = graph.weight(codec.tensors(f"{name}.bias"), f"{name}.bias")
    up.value = graph.node("Add", value, bias)
    return _masked(codec, up)


def _memory(codec: _Codec, x: _Signal, reach: int) -> tuple[str, Callable[[str], None]]:
    """The last `reach` positions of x in the call before, and what keeps this call's."""
    graph, index = codec.graph, codec.states
    codec.states += 1
    shape = [1, reach, x.channels]
    past = graph.input(f"past_state.{index}", "float32", shape)
    return past, lambda kept: graph.output(kept, f"present_state.{index}", "float32", shape)


def _remember(codec: _Codec, x: _Signal, reach: int) -> str:
    """x with the last `reach` positions of the call before in front of it."""
    past, keep = _memory(codec, x, reach)
    buffered = codec.graph.node("Concat", past, x.value, axis=1)
    keep(codec.graph.slice(buffered, -reach, END, axis=1))
    return buffered


def _masked(codec: _Codec, x: _Signal) -> _Signal:
    """Zero at positions outside the clip."""
    key = (x.rate, x.delay)
    if key not in codec.masks:
        codec.masks[key] = _mask(codec, *key)
    return _Signal(codec.graph.node("Mul", x.value, codec.masks[key]), x.channels, *key)


def _mask(codec: _Codec, rate: int, delay: int) -> str:
    """[positions, 1]: 1 where 0 <= frames_before * rate + k - delay < clip_frames * rate."""
    graph = codec.graph
    scalar = lambda name: graph.node("Squeeze", name)  # noqa: E731
    times = lambda value: graph.node("Mul", value, graph.const(rate))  # noqa: E731
    frames = scalar(graph.node("Shape", "codes_0", start=1, end=2))
    first = graph.node("Sub", times(scalar("frames_before")), graph.const(delay))
    behind = graph.node("Add", first, times(frames))
    positions = graph.node("Range", first, behind, graph.const(1))
    begun = graph.node("GreaterOrEqual", positions, graph.const(0))
    going = graph.node("Less", positions, times(scalar("clip_frames")))
    inside = graph.node("Cast", graph.node("And", begun, going), to=1)
    return graph.reshape(inside, [-1, 1])

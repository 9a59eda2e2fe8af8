"""The encoder graph: mel [1, n_mels, frames] -> audio features [n_features, n_embd].

Whisper's audio encoder with Mini-Omni's adapter behind it. `frames` varies: 3000 is the published
behaviour. Only the first n_features rows are wanted, so the last block computes queries and
feed-forward for these alone (keys and values need all rows), and the adapter sees no others.
"""

from __future__ import annotations

import numpy as np

from .checkpoint import Tensors
from .config import DecoderConfig, WhisperConfig
from .functions import ATTENTION8, ATTENTION8_HEAD
from .graph import MICROSOFT, Graph

LAYER_NORM_EPS = 1e-5


def build_encoder(
    graph: Graph,
    whisper: Tensors,
    config: WhisperConfig,
    lm: Tensors,
    lm_config: DecoderConfig,
    fused: bool,
) -> None:
    """Adds the whole graph to `graph`; `whisper` are the encoder's tensors, `lm` the adapter's.

    `fused` uses ONNX Runtime's own attention, which never holds all scores (0.4 GB at full size).
    """
    graph.input("mel", "float32", [1, config.n_mels, "frames"])
    graph.input("n_features", "int64", [1])
    x = _stem(graph, whisper, config)
    for layer in range(config.n_audio_layer):
        keep = "n_features" if layer == config.n_audio_layer - 1 else None
        x = _block(graph, whisper, config, layer, x, keep, fused)
    if config.n_audio_layer == 0:
        x = graph.slice(x, 0, "n_features", axis=1)
    x = _layer_norm(graph, whisper, "encoder.ln_post", x)
    features = _adapter(graph, lm, lm_config, x)
    features = graph.reshape(features, [-1, lm_config.n_embd])
    graph.output(features, "audio_features", "float32", ["n_features", lm_config.n_embd])


def _stem(graph: Graph, tensors: Tensors, config: WhisperConfig) -> str:
    """Two convolutions, the second of stride 2, and the positions: [1, frames / 2, state]."""
    x = graph.node("Gelu", _conv(graph, tensors, "conv1", "mel", stride=1))
    if graph.format.eight_bits:
        x = _conv2_by_rows(graph, tensors, graph.node("Transpose", x, perm=[0, 2, 1]))
    else:
        x = graph.node("Gelu", _conv(graph, tensors, "conv2", x, stride=2))
        x = graph.node("Transpose", x, perm=[0, 2, 1])
    positions = tensors("encoder.positional_embedding", config.n_audio_ctx, config.n_audio_state)
    table = graph.weight(positions, "positional_embedding")
    length = graph.node("Shape", x, start=1, end=2)
    return graph.node("Add", x, graph.slice(table, 0, length, axis=0))


def _conv(graph: Graph, tensors: Tensors, name: str, x: str, stride: int) -> str:
    weight = graph.weight(tensors(f"encoder.{name}.weight"), f"{name}.weight")
    bias = graph.weight(tensors(f"encoder.{name}.bias"), f"{name}.bias")
    return graph.node("Conv", x, weight, bias, kernel_shape=[3], pads=[1, 1], strides=[stride])


def _conv2_by_rows(graph: Graph, tensors: Tensors, x: str) -> str:
    """The second convolution with its activation as one product: x [1, 2 n, state], of which row i
    of the result sees rows 2 i - 1 to 2 i + 1."""
    weight = tensors("encoder.conv2.weight")  # [state, state, 3]
    state = len(weight)
    before = graph.node("Pad", x, graph.const([0, 1, 0, 0, 0, 0]))
    pairs = graph.reshape(graph.slice(before, 0, -1, axis=1), [0, -1, 2 * state])
    last = graph.node("Slice", x, *(graph.const([v]) for v in (1, 2**31 - 1, 1, 2)))
    x = graph.node("Concat", pairs, last, axis=2)
    weight = np.ascontiguousarray(weight.transpose(0, 2, 1).reshape(state, -1))
    return graph.linear_gelu(x, weight, "conv2", tensors("encoder.conv2.bias"))


def _block(graph, tensors, config, layer: int, x: str, keep: str | None, fused: bool) -> str:
    """One pre-norm block; with `keep`, for the first `keep` rows only."""
    name = f"encoder.blocks.{layer}"
    normed = _layer_norm(graph, tensors, f"{name}.attn_ln", x)
    queries = normed
    if keep:
        x = graph.slice(x, 0, keep, axis=1)
        queries = graph.slice(normed, 0, keep, axis=1)
    heard = _attention(graph, tensors, config, f"{name}.attn", queries, normed, fused)
    x = graph.node("Add", x, heard)
    h = _layer_norm(graph, tensors, f"{name}.mlp_ln", x)
    mlp, bias = tensors(f"{name}.mlp.0.weight"), tensors(f"{name}.mlp.0.bias")
    h = graph.linear_gelu(h, mlp, f"{name}.mlp.0", bias)
    return graph.node("Add", x, _linear(graph, tensors, f"{name}.mlp.2", h))


def _attention(graph, tensors, config, name: str, queries: str, rows: str, fused: bool) -> str:
    """Every query row attends to all rows."""
    head = config.n_audio_state // config.n_audio_head
    split = [0, 0, config.n_audio_head, head]
    q = _linear(graph, tensors, f"{name}.query", queries, scale=head**-0.5)
    k = _linear(graph, tensors, f"{name}.key", rows, bias=False)
    v = _linear(graph, tensors, f"{name}.value", rows)
    if fused and graph.format.eight_bits and head == ATTENTION8_HEAD:
        out = graph.call(ATTENTION8, q, k, v, num_heads=config.n_audio_head)
        return _linear(graph, tensors, f"{name}.out", out)
    if fused:
        out = graph.node(
            "MultiHeadAttention", q, k, v, domain=MICROSOFT, num_heads=config.n_audio_head,
            scale=1.0,
        )
        return _linear(graph, tensors, f"{name}.out", out)
    q = graph.node("Transpose", graph.reshape(q, split), perm=[0, 2, 1, 3])
    k = graph.node("Transpose", graph.reshape(k, split), perm=[0, 2, 3, 1])
    v = graph.node("Transpose", graph.reshape(v, split), perm=[0, 2, 1, 3])
    weights = graph.node("Softmax", graph.node("MatMul", q, k), axis=-1)
    out = graph.node("Transpose", graph.node("MatMul", weights, v), perm=[0, 2, 1, 3])
    return _linear(graph, tensors, f"{name}.out", graph.reshape(out, [0, 0, config.n_audio_state]))


def _adapter(graph: Graph, lm: Tensors, config: DecoderConfig, x: str) -> str:
    """proj(silu(fc_1 x) * fc_2 x): from the encoder's width to the language model's."""
    gate = graph.linear(x, lm("whisper_adapter.fc_1.weight"), "adapter.fc_1")
    up = graph.linear(x, lm("whisper_adapter.fc_2.weight"), "adapter.fc_2")
    h = graph.node("Mul", graph.node("Mul", gate, graph.node("Sigmoid", gate)), up)
    return graph.linear(h, lm("whisper_adapter.proj.weight"), "adapter.proj")


def _layer_norm(graph: Graph, tensors: Tensors, name: str, x: str) -> str:
    weight = graph.weight(tensors(f"{name}.weight"), f"{name}.weight.{graph.count}")
    bias = graph.weight(tensors(f"{name}.bias"), f"{name}.bias.{graph.count}")
    return graph.node("LayerNormalization", x, weight, bias, axis=-1, epsilon=LAYER_NORM_EPS)


def _linear(graph, tensors, name: str, x: str, bias: bool = True, scale: float = 1.0) -> str:
    """x W^T + b; `scale` is folded into the weights."""
    b = tensors(f"{name}.bias") * np.float32(scale) if bias else None
    return graph.linear(x, tensors(f"{name}.weight") * np.float32(scale), name, b)

"""The encoder graph: mel [1, n_mels, frames] -> audio features [n_features, n_embd].

Whisper's audio encoder with Mini-Omni's adapter behind it. `frames` varies: 3000 is the published
behaviour. Only the first n_features rows are wanted, so the last block computes queries and
feed-forward for these alone (keys and values need all rows), and the adapter sees no others.

A graph for the merged window has three more inputs. `rows` [positions] says which row of the
convolutions each position has: behind a clip all are the same silence, and the mel ends early.
`kept` [kept] are the positions that go on behind the first block, the first n_features among them.
`log_counts` [kept] says how many positions each of them stands for. The first block hears all
positions: there a position attends to its neighbours, and without them it would be another one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .checkpoint import Tensors
from .config import DecoderConfig, WhisperConfig
from .functions import ATTENTION8, ATTENTION8_HEAD, COUNTED_ATTENTION8
from .graph import MICROSOFT, Graph

LAYER_NORM_EPS = 1e-5


def build_encoder(
    graph: Graph,
    whisper: Tensors,
    config: WhisperConfig,
    lm: Tensors,
    lm_config: DecoderConfig,
    fused: bool,
    merged: bool = False,
) -> None:
    """Adds the whole graph to `graph`; `whisper` are the encoder's tensors, `lm` the adapter's.

    `fused` uses ONNX Runtime's own attention, which never holds all scores (0.4 GB at full size).
    `merged` adds the inputs of the merged window.
    """
    graph.input("mel", "float32", [1, config.n_mels, "frames"])
    graph.input("n_features", "int64", [1])
    if merged:
        graph.input("rows", "int64", ["positions"])
        graph.input("kept", "int64", ["kept"])
        graph.input("log_counts", "float32", ["kept"])
    x = _stem(graph, whisper, config, merged)
    for layer in range(config.n_audio_layer):
        block = Block(layer, fused)
        if merged and layer == 0:
            block.keep = lambda rows: graph.node("Gather", rows, "kept", axis=1)
        elif merged:
            block.log_counts = "log_counts"
        if layer == config.n_audio_layer - 1:
            block.keep = lambda rows: graph.slice(rows, 0, "n_features", axis=1)
        x = _block(graph, whisper, config, block, x)
    if config.n_audio_layer == 0:
        x = graph.slice(x, 0, "n_features", axis=1)
    x = _layer_norm(graph, whisper, "encoder.ln_post", x)
    features = _adapter(graph, lm, lm_config, x)
    features = graph.reshape(features, [-1, lm_config.n_embd])
    graph.output(features, "audio_features", "float32", ["n_features", lm_config.n_embd])


@dataclass
class Block:
    """One block of the encoder and what it attends to."""

    layer: int
    fused: bool
    log_counts: str = ""  # of the keys; none: each stands for itself
    keep: Callable[[str], str] | None = None  # the rows that it computes; none: all


def _stem(graph: Graph, tensors: Tensors, config: WhisperConfig, merged: bool) -> str:
    """Two convolutions, the second of stride 2, and the positions: [1, positions, state]."""
    x = graph.node("Gelu", _conv(graph, tensors, "conv1", "mel", stride=1))
    if graph.format.eight_bits:
        x = _conv2_by_rows(graph, tensors, graph.node("Transpose", x, perm=[0, 2, 1]))
    else:
        x = graph.node("Gelu", _conv(graph, tensors, "conv2", x, stride=2))
        x = graph.node("Transpose", x, perm=[0, 2, 1])
    positions = tensors("encoder.positional_embedding", config.n_audio_ctx, config.n_audio_state)
    if merged:
        x = graph.node("Gather", x, "rows", axis=1)
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


def _block(graph: Graph, tensors: Tensors, config: WhisperConfig, block: Block, x: str) -> str:
    """One pre-norm block."""
    name = f"encoder.blocks.{block.layer}"
    normed = _layer_norm(graph, tensors, f"{name}.attn_ln", x)
    queries = normed
    if block.keep:
        x, queries = block.keep(x), block.keep(normed)
    heard = _attention(graph, tensors, config, block, queries, normed)
    x = graph.node("Add", x, heard)
    h = _layer_norm(graph, tensors, f"{name}.mlp_ln", x)
    mlp, bias = tensors(f"{name}.mlp.0.weight"), tensors(f"{name}.mlp.0.bias")
    h = graph.linear_gelu(h, mlp, f"{name}.mlp.0", bias)
    return graph.node("Add", x, _linear(graph, tensors, f"{name}.mlp.2", h))


def _attention(graph, tensors, config, block: Block, queries: str, rows: str) -> str:
    """Every query row attends to all rows."""
    name = f"encoder.blocks.{block.layer}.attn"
    head = config.n_audio_state // config.n_audio_head
    split = [0, 0, config.n_audio_head, head]
    q = _linear(graph, tensors, f"{name}.query", queries, scale=head**-0.5)
    k = _linear(graph, tensors, f"{name}.key", rows, bias=False)
    v = _linear(graph, tensors, f"{name}.value", rows)
    if block.fused:
        eight_bits = graph.format.eight_bits and head == ATTENTION8_HEAD
        out = _fused_attention(graph, (q, k, v), block.log_counts, config.n_audio_head, eight_bits)
        return _linear(graph, tensors, f"{name}.out", out)
    q = graph.node("Transpose", graph.reshape(q, split), perm=[0, 2, 1, 3])
    k = graph.node("Transpose", graph.reshape(k, split), perm=[0, 2, 3, 1])
    v = graph.node("Transpose", graph.reshape(v, split), perm=[0, 2, 1, 3])
    scores = graph.node("MatMul", q, k)
    if block.log_counts:
        scores = graph.node("Add", scores, block.log_counts)
    weights = graph.node("Softmax", scores, axis=-1)
    out = graph.node("Transpose", graph.node("MatMul", weights, v), perm=[0, 2, 1, 3])
    return _linear(graph, tensors, f"{name}.out", graph.reshape(out, [0, 0, config.n_audio_state]))


def _fused_attention(
    graph: Graph, qkv: tuple[str, str, str], log_counts: str, heads: int, eight_bits: bool
) -> str:
    """The same as one operator."""
    if eight_bits and log_counts:
        return graph.call(COUNTED_ATTENTION8, *qkv, log_counts, num_heads=heads)
    if eight_bits:
        return graph.call(ATTENTION8, *qkv, num_heads=heads)
    inputs = list(qkv)
    if log_counts:
        rows = graph.node("Shape", qkv[0], start=1, end=2)
        keys = graph.node("Shape", log_counts)
        size = graph.node("Concat", graph.const([1, 1]), rows, keys, axis=0)
        inputs += ["", "", graph.node("Expand", log_counts, size)]
    return graph.node(
        "MultiHeadAttention", *inputs, domain=MICROSOFT, num_heads=heads, scale=1.0
    )


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

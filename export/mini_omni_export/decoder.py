"""The decoder graph: 8 streams of ids -> logits of the last position, with a key/value cache.

One graph for prefill and step and for every task. Three profiles: *fused* uses ONNX Runtime's own
operators and a cache that is written in place; *cuda* does so with what its CUDA provider has,
which is attention in fp16; *portable* uses standard operators only and appends to the cache. The
network is the one that the published checkpoint's config describes (lit-gpt).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper

from .checkpoint import Tensors
from .config import AUDIO_STREAMS, DecoderConfig
from .functions import CACHED_ATTENTION
from .graph import END, MICROSOFT, Graph, Table

STREAMS = AUDIO_STREAMS + 1
HEAD_MULTIPLE = 16  # of the head size, for GroupQueryAttention to rotate it
LARGEST_FUSED_HEAD = 256  # that the runtime's kernel for CachedAttention takes


@dataclass
class _Build:
    """What every part of the graph needs."""

    graph: Graph
    tensors: Tensors
    config: DecoderConfig
    profile: str

    @property
    def fused(self) -> bool:
        """Whether operators of ONNX Runtime's own may be used."""
        return self.profile != "portable"

    @property
    def head_size(self) -> int:
        """Of the graph and its cache."""
        return fused_head_size(self.config) if self.fused else self.config.head_size

    def linear(self, x: str, weight: np.ndarray, name: str, bias: np.ndarray | None = None) -> str:
        return self.graph.linear(x, weight, name, bias)


def build_decoder(graph: Graph, tensors: Tensors, config: DecoderConfig, profile: str) -> None:
    """Adds the whole graph to `graph`."""
    build = _Build(graph, tensors, config, profile)
    _declare_inputs(build)
    text_table, audio_table = _tables(build)
    x = _embed(build, text_table, audio_table)
    cache = ATTENTION[profile](build)
    skip = None
    for layer in range(config.n_layer):
        normed, x = _norm(build, f"transformer.h.{layer}.norm_1", x, skip)
        attended = cache.attend(layer, normed)
        normed, x = _norm(build, f"transformer.h.{layer}.norm_2", x, attended)
        skip = _mlp(build, layer, normed)
    hidden, _ = _norm(build, "transformer.ln_f", _last(build, x), _last(build, skip))
    _heads(build, hidden, text_table, audio_table)


def _declare_inputs(build: _Build) -> None:
    graph, config = build.graph, build.config
    graph.input("ids", "int64", ["batch", STREAMS, "seq"])
    graph.input("audio_features", "float32", ["batch", "seq", config.n_embd])
    graph.input("audio_feature_mask", "float32", ["batch", "seq", 1])
    if build.fused:
        graph.input("seqlens_k", "int32", ["batch"])
        graph.input("total_sequence_length", "int32", [])
    else:
        graph.input("position_ids", "int64", ["batch", "seq"])
        graph.input("attention_bias", "float32", ["batch", 1, "seq", "total"])
    graph.input("text_rows", "int64", ["n_text"])
    graph.input("audio_rows", "int64", ["n_audio"])


def _tables(build: _Build) -> tuple[Table, Table]:
    """The embedding, cut into the text rows and the audio rows [7 x audio_vocab, n_embd]."""
    config = build.config
    wte = build.tensors("transformer.wte.weight", config.vocab_size, config.n_embd)
    return _cut(build, wte, "embedding", config.tied)


def _cut(build: _Build, rows: np.ndarray, name: str, head: bool) -> tuple[Table, Table]:
    graph, text = build.graph, build.config.text_vocab_size
    return (
        graph.format.table(graph, rows[:text], f"{name}.text", head),
        graph.format.table(graph, rows[text:], f"{name}.audio", head),
    )


def _embed(build: _Build, text_table: Table, audio_table: Table) -> str:
    """(sum of the seven audio rows + text row) / 8, with audio features in place of the seven."""
    graph = build.graph
    offsets = np.arange(AUDIO_STREAMS).reshape(1, -1, 1) * build.config.audio_vocab_size
    ids = graph.slice("ids", 0, AUDIO_STREAMS, axis=1)
    ids = graph.node("Add", ids, graph.const(offsets))
    rows = audio_table.gather(ids)
    audio = _added(graph, rows)
    text_ids = graph.node("Gather", "ids", graph.const(AUDIO_STREAMS), axis=1)
    text = text_table.gather(text_ids)
    keep = graph.node("Sub", graph.floats(1.0), "audio_feature_mask")
    weight = graph.node("Mul", "audio_feature_mask", graph.floats(float(AUDIO_STREAMS)))
    audio = graph.node(
        "Add", graph.node("Mul", audio, keep), graph.node("Mul", "audio_features", weight)
    )
    return graph.node("Mul", graph.node("Add", audio, text), graph.floats(1 / STREAMS))


def _added(graph: Graph, rows: str) -> str:
    """The sum over axis 1, stream by stream. ReduceSum's order depends on the shape, so that a
    column might round otherwise beside others than alone."""
    first, *others = graph.node(
        "Split", rows, outputs=AUDIO_STREAMS, axis=1, num_outputs=AUDIO_STREAMS
    )
    total = first
    for other in others:
        total = graph.node("Add", total, other)
    return graph.node("Squeeze", total, graph.const([1]))


def _last(build: _Build, x: str) -> str:
    """The last column, [batch, n_embd]; CoreML has no Gather."""
    graph = build.graph
    if build.fused:
        return graph.node("Gather", x, graph.const(-1), axis=1)
    return graph.node("Squeeze", graph.slice(x, -1, END, axis=1), graph.const([1]))


def _norm(build: _Build, name: str, x: str, skip: str | None) -> tuple[str, str]:
    """RMSNorm of x + skip; returns (normed, x + skip)."""
    graph, eps = build.graph, build.config.norm_eps
    weight = graph.weight(build.tensors(f"{name}.weight", build.config.n_embd), f"{name}.weight")
    if build.fused and skip is None:
        normed = graph.node("SimplifiedLayerNormalization", x, weight, axis=-1, epsilon=eps)
        return normed, x
    if build.fused:
        names = [f"{name}.out", "", "", f"{name}.sum"]
        normed, _, _, total = graph.node(
            "SkipSimplifiedLayerNormalization", x, skip, weight,
            outputs=names, domain=MICROSOFT, epsilon=eps,
        )
        return normed, total
    total = graph.node("Add", x, skip) if skip else x
    square = graph.node("Mul", total, total)
    mean = graph.node("ReduceMean", square, graph.const([-1]), keepdims=1)
    root = graph.node("Sqrt", graph.node("Add", mean, graph.floats(eps)))
    return graph.node("Mul", graph.node("Div", total, root), weight), total


def _mlp(build: _Build, layer: int, x: str) -> str:
    """SwiGLU: proj(silu(fc_1 x) * fc_2 x)."""
    name, config = f"transformer.h.{layer}.mlp", build.config
    wide = (config.intermediate_size, config.n_embd)
    gate = build.linear(x, build.tensors(f"{name}.fc_1.weight", *wide), f"{name}.fc_1")
    up = build.linear(x, build.tensors(f"{name}.fc_2.weight", *wide), f"{name}.fc_2")
    silu = build.graph.node("Mul", gate, build.graph.node("Sigmoid", gate))
    h = build.graph.node("Mul", silu, up)
    return build.linear(h, build.tensors(f"{name}.proj.weight", *wide[::-1]), f"{name}.proj")


def split_qkv(rows: np.ndarray, config: DecoderConfig) -> np.ndarray:
    """The checkpoint's rows, interleaved by group [q.. k v], as [all q][all k][all v]."""
    groups, per = config.n_query_groups, config.n_head // config.n_query_groups
    grouped = rows.reshape(groups, per + 2, config.head_size, *rows.shape[1:])
    parts = [grouped[:, :per], grouped[:, per], grouped[:, per + 1]]
    return np.concatenate([part.reshape(-1, *rows.shape[1:]) for part in parts])


def fused_head_size(config: DecoderConfig) -> int:
    """The head size padded to what the fused operator takes."""
    return -(-config.head_size // HEAD_MULTIPLE) * HEAD_MULTIPLE


def pad_heads(rows: np.ndarray, head_size: int, to: int) -> np.ndarray:
    """[heads x head_size, ...] with zeros behind each half of a head: [heads x to, ...]. The halves
    still pair up under rotary positions, and zeros add nothing to any product."""
    if head_size == to:
        return rows
    halves = rows.reshape(-1, 2, head_size // 2, *rows.shape[1:])
    padded = np.zeros((len(halves), 2, to // 2, *rows.shape[1:]), rows.dtype)
    padded[:, :, : head_size // 2] = halves
    return padded.reshape(-1, *rows.shape[1:])


def _qkv(build: _Build, layer: int, x: str) -> str:
    config = build.config
    width = (config.n_head + 2 * config.n_query_groups) * config.head_size
    name = f"transformer.h.{layer}.attn.attn"
    parts = [build.tensors(f"{name}.weight", width, config.n_embd)]
    if config.qkv_bias:
        parts.append(build.tensors(f"{name}.bias", width))
    parts = [split_qkv(part, config) for part in parts]
    parts = [pad_heads(part, config.head_size, build.head_size) for part in parts]
    return build.linear(x, parts[0], name, *parts[1:])


def _proj(build: _Build, layer: int, x: str) -> str:
    config, name = build.config, f"transformer.h.{layer}.attn.proj"
    weight = build.tensors(f"{name}.weight", config.n_embd, config.n_head * config.head_size)
    weight = pad_heads(weight.T, config.head_size, build.head_size).T
    return build.linear(x, weight, name)


def rotary_tables(config: DecoderConfig) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin [block_size, head_size / 2], in float32 as the original computes them."""
    half = np.arange(0, config.head_size, 2, dtype=np.float32) / np.float32(config.head_size)
    theta = (1.0 / np.float32(config.rope_base) ** half).astype(np.float32)
    positions = np.arange(config.block_size, dtype=np.float32) / np.float32(
        config.rope_condense_ratio
    )
    angles = np.outer(positions, theta)
    return np.cos(angles), np.sin(angles)


class _FusedAttention:
    """ONNX Runtime's own attention over a cache that past and present share."""

    dtype = "float32"

    def __init__(self, build: _Build) -> None:
        self.build = build
        cos, sin = rotary_tables(build.config)
        padding = [(0, 0), (0, build.head_size // 2 - cos.shape[1])]
        cos, sin = np.pad(cos, padding, constant_values=1), np.pad(sin, padding)
        self.cos = build.graph.weight(cos.astype(self.dtype), "rotary.cos")
        self.sin = build.graph.weight(sin.astype(self.dtype), "rotary.sin")

    def attend(self, layer: int, x: str) -> str:
        build, config = self.build, self.build.config
        shape = ["batch", config.n_query_groups, "capacity", build.head_size]
        past = [
            build.graph.input(f"past_key_values.{layer}.{kind}", self.dtype, shape)
            for kind in ("key", "value")
        ]
        present = [f"present.{layer}.key", f"present.{layer}.value"]
        out, *_ = self._attention(
            _qkv(build, layer, x), *past, "seqlens_k", "total_sequence_length",
            self.cos, self.sin,
            outputs=[f"attention.{layer}", *present],
            num_heads=config.n_head, kv_num_heads=config.n_query_groups,
            scale=config.head_size**-0.5,
        )
        for name in present:
            build.graph.output(name, name, self.dtype, shape)
        return _proj(build, layer, out)

    def _attention(self, *inputs: str, **rest) -> list[str]:
        return self.build.graph.call(CACHED_ATTENTION, *inputs, **rest)


class _CudaAttention(_FusedAttention):
    """The same in fp16: ONNX Runtime's CUDA kernel takes nothing wider."""

    dtype = "float16"

    def _attention(self, qkv: str, *rest: str, **attributes) -> list[str]:
        graph = self.build.graph
        qkv = graph.node("Cast", qkv, to=TensorProto.FLOAT16)
        out, *present = graph.node(
            "GroupQueryAttention", qkv, "", "", *rest, domain=MICROSOFT, do_rotary=1, **attributes
        )
        return [graph.node("Cast", out, to=TensorProto.FLOAT), *present]


class _PortableAttention:
    """The same in standard operators; the new keys and values are appended to the past."""

    def __init__(self, build: _Build) -> None:
        self.build = build
        graph = build.graph
        tables = [graph.weight(t, n) for t, n in zip(rotary_tables(build.config), ("cos", "sin"))]
        # [batch, 1, seq, head_size / 2], so that they go over all heads
        self.cos, self.sin = (
            graph.node("Unsqueeze", graph.node("Gather", t, "position_ids"), graph.const([1]))
            for t in tables
        )
        self.bias = graph.node("Unsqueeze", "attention_bias", graph.const([1]))

    def attend(self, layer: int, x: str) -> str:
        graph, config = self.build.graph, self.build.config
        heads, groups = config.n_head, config.n_query_groups
        sizes = [n * config.head_size for n in (heads, groups, groups)]
        parts = graph.node("Split", _qkv(self.build, layer, x), graph.const(sizes),
                           outputs=3, axis=-1)
        q, k, v = (
            graph.node("Transpose", graph.reshape(part, [0, 0, n, config.head_size]),
                       perm=[0, 2, 1, 3])
            for part, n in zip(parts, (heads, groups, groups))
        )
        k = self._append(layer, "key", self._rotate(k))
        v = self._append(layer, "value", v)
        out = self._weigh(self._rotate(q), k, v)
        out = graph.node("Transpose", out, perm=[0, 2, 1, 3])
        return _proj(self.build, layer, graph.reshape(out, [0, 0, heads * config.head_size]))

    def _rotate(self, x: str) -> str:
        """Rotate-half over the full head."""
        graph, half = self.build.graph, self.build.config.head_size // 2
        a, b = graph.slice(x, 0, half, axis=3), graph.slice(x, half, 2 * half, axis=3)
        mul = lambda left, right: graph.node("Mul", left, right)  # noqa: E731
        first = graph.node("Sub", mul(a, self.cos), mul(b, self.sin))
        second = graph.node("Add", mul(b, self.cos), mul(a, self.sin))
        return graph.node("Concat", first, second, axis=3)

    def _append(self, layer: int, kind: str, new: str) -> str:
        graph, config = self.build.graph, self.build.config
        shape = ["batch", config.n_query_groups, "past", config.head_size]
        past = graph.input(f"past_key_values.{layer}.{kind}", "float32", shape)
        name = f"present.{layer}.{kind}"
        graph.node("Concat", past, new, outputs=[name], axis=2)
        graph.output(name, name, "float32", [*shape[:2], "total", config.head_size])
        return name

    def _weigh(self, q: str, k: str, v: str) -> str:
        """Heads of one group share its keys: [batch, groups, heads per group, seq, head_size]."""
        graph, config = self.build.graph, self.build.config
        groups, per = config.n_query_groups, config.n_head // config.n_query_groups
        q = graph.node("Mul", q, graph.floats(config.head_size**-0.5))
        q = graph.reshape(q, [0, groups, per, -1, config.head_size])
        k = graph.node("Unsqueeze", k, graph.const([2]))
        v = graph.node("Unsqueeze", v, graph.const([2]))
        scores = graph.node("MatMul", q, graph.node("Transpose", k, perm=[0, 1, 2, 4, 3]))
        weights = graph.node("Softmax", graph.node("Add", scores, self.bias), axis=-1)
        out = graph.node("MatMul", weights, v)
        return graph.reshape(out, [0, config.n_head, -1, config.head_size])


ATTENTION = {"fused": _FusedAttention, "cuda": _CudaAttention, "portable": _PortableAttention}


def _heads(build: _Build, hidden: str, text_table: Table, audio_table: Table) -> None:
    """Logits of the rows that need them: text [n_text, vocab], audio [n_audio, 7, vocab]."""
    graph, config = build.graph, build.config
    text_head, audio_head = text_table, audio_table
    if not config.tied:
        head = build.tensors("lm_head.weight", config.vocab_size, config.n_embd)
        text_head, audio_head = _cut(build, head, "head", True)
    text = _head(build, hidden, "text_rows", text_head, [config.text_vocab_size])
    audio = _head(
        build, hidden, "audio_rows", audio_head, [AUDIO_STREAMS, config.audio_vocab_size]
    )
    graph.output(text, "text_logits", "float32", ["n_text", config.text_vocab_size])
    graph.output(
        audio, "audio_logits", "float32", ["n_audio", AUDIO_STREAMS, config.audio_vocab_size]
    )


def _head(build: _Build, hidden: str, rows: str, table: Table, width: list[int]) -> str:
    """The head over the chosen rows, under an If that skips it when there are none; a CUDA graph
    has no If, and there the runtime always asks for some."""
    graph = build.graph
    if build.profile == "cuda":
        flat = table.head(graph.node("Gather", hidden, rows, axis=0))
        return graph.reshape(flat, [-1, *width])
    n = graph.node("Shape", rows)
    some = graph.node("Greater", graph.node("Squeeze", n), graph.const(0))
    out = f"{rows}_logits"
    info = helper.make_tensor_value_info
    with graph.branch() as branch:
        flat = table.head(graph.node("Gather", hidden, rows, axis=0))
        graph.node("Reshape", flat, graph.const([-1, *width]), outputs=[f"{out}_some"])
    then = branch.graph(f"{rows}_then", info(f"{out}_some", TensorProto.FLOAT, ["rows", *width]))
    empty = helper.make_tensor(f"{out}_none_value", TensorProto.FLOAT, [0, *width], [])
    otherwise = helper.make_graph(
        [helper.make_node("Constant", [], [f"{out}_none"], value=empty)], f"{rows}_else", [],
        [info(f"{out}_none", TensorProto.FLOAT, [0, *width])],
    )
    return graph.node("If", some, then_branch=then, else_branch=otherwise)

"""Functions of plain operators that the graphs call; the runtime may have one kernel for each.

Any ONNX Runtime can run them; `src/graph/operators/` has the kernels and says the shapes.
"""

from __future__ import annotations

import onnx
from onnx import helper

from .graph import END, FUNCTIONS, MICROSOFT, OWN, opsets

ACCURACY_INT8 = 4  # activations are quantised to 8 bits on the way; several times faster
LINEAR4_BLOCK = 128  # weights that share a scale


def _function(
    name: str,
    inputs: str,
    nodes: list[onnx.NodeProto],
    attributes: tuple[str, ...] = (),
    outputs: str = "y",
) -> onnx.FunctionProto:
    """Its nodes may call functions above it here."""
    FUNCTIONS[name] = helper.make_function(
        OWN, name, inputs.split(), outputs.split(), nodes, opsets(nodes), attributes
    )
    return FUNCTIONS[name]


def _given(node: onnx.NodeProto, **kinds: str) -> onnx.NodeProto:
    """Passes the function's attributes of those names on to a node."""
    for name, kind in kinds.items():
        kind = onnx.AttributeProto.AttributeType.Value(kind)
        node.attribute.add(name=name, ref_attr_name=name, type=kind)
    return node


def _whole(attribute: str, to: str) -> onnx.NodeProto:
    """The function's attribute, an integer, as a constant."""
    node = _node("Constant", "", to)
    kind = onnx.AttributeProto.AttributeType.INT
    node.attribute.add(name="value_int", ref_attr_name=attribute, type=kind)
    return node


def _node(op: str, inputs: str, outputs: str, domain: str = "", **attributes) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), domain=domain, **attributes)


def _inside(rows: str) -> list[onnx.NodeProto]:
    """[n, 1]: 1 for each of `rows` [1, n, channels] that lies inside the clip, else 0."""
    return [
        _whole("rate", "per_frame"),
        _whole("delay", "late"),
        _node("Mul", "frames_before per_frame", "before"),
        _node("Sub", "before late", "first"),
        _node("Shape", rows, "n", start=1, end=2),
        _node("Add", "first n", "behind"),
        _node("Constant", "", "step", value_int=1),
        _node("Squeeze", "first", "from"),
        _node("Squeeze", "behind", "to"),
        _node("Range", "from to step", "positions"),
        _node("Constant", "", "zero", value_int=0),
        _node("GreaterOrEqual", "positions zero", "begun"),
        _node("Mul", "clip_frames per_frame", "clip"),
        _node("Less", "positions clip", "going"),
        _node("And", "begun going", "both"),
        _node("Cast", "both", "flags", to=onnx.TensorProto.FLOAT),
        _node("Constant", "", "as_column", value_ints=[-1, 1]),
        _node("Reshape", "flags as_column", "inside"),
    ]


# x + sin(alpha x)^2 inverse: the codec's activation.
SNAKE = _function("Snake", "x alpha inverse", [
    _node("Mul", "x alpha", "angle"),
    _node("Sin", "angle", "sine"),
    _node("Mul", "sine sine", "square"),
    _node("Mul", "square inverse", "wave"),
    _node("Add", "x wave", "y"),
])  # fmt: skip

# The first half of the codec's residual unit, around a depthwise convolution.
SNAKE_CONV = _function("SnakeConv", "x alpha inverse weight bias alpha_after inverse_after", [
    _node("Snake", "x alpha inverse", "before", OWN),
    _node("Transpose", "before", "signal", perm=[0, 2, 1]),
    _node("Transpose", "weight", "taps_last", perm=[1, 0]),
    _node("Constant", "", "one", value_ints=[1]),
    _node("Unsqueeze", "taps_last one", "kernel"),
    _given(_node("Conv", "signal kernel bias", "convolved"), dilations="INTS", group="INT"),
    _node("Transpose", "convolved", "after", perm=[0, 2, 1]),
    _node("Snake", "after alpha_after inverse_after", "y", OWN),
], ("dilations", "group"))  # fmt: skip

# x W^T for 4-bit weights [N, K / 128, 64] and scales [N, K / 128].
LINEAR4 = _function("Linear4", "x packed scales", [
    _given(
        _node(
            "MatMulNBits", "x packed scales", "y", MICROSOFT,
            bits=4, block_size=LINEAR4_BLOCK, accuracy_level=ACCURACY_INT8,
        ),
        K="INT", N="INT",
    ),
], ("K", "N"))  # fmt: skip

_PRODUCT8 = [
    _node("DynamicQuantizeLinear", "x", "integers scale zero"),
    _node("Transpose", "packed", "columns", perm=[1, 3, 0, 2]),
    _node("Flatten", "columns", "weight", axis=2),
    _node("MatMulInteger", "integers weight zero", "sums"),
    _node("Cast", "sums", "product", to=onnx.TensorProto.FLOAT),
    _node("Mul", "scale scales", "both"),
    _node("Mul", "product both", "scaled"),
]
# x W^T + b for 8-bit weights [N / 16, K / 4, 16, 4] and scales [N], and GELU of that.
LINEAR8 = _function("Linear8", "x packed scales bias", [
    *_PRODUCT8, _node("Add", "scaled bias", "y"),
])  # fmt: skip
LINEAR8_GELU = _function("Linear8Gelu", "x packed scales bias", [
    *_PRODUCT8, _node("Add", "scaled bias", "sum"), _node("Gelu", "sum", "y"),
])  # fmt: skip
# A residual unit: x and what its two convolutions make of it, behind what is remembered of the call
# before; zero outside the clip.
RESIDUAL_UNIT8 = _function(
    "ResidualUnit8",
    "past x frames_before clip_frames alpha inverse weight bias alpha_after inverse_after"
    " packed scales bias_after",
    [
        _node("Concat", "past x", "signal", axis=1),
        _given(
            _node(
                "SnakeConv", "signal alpha inverse weight bias alpha_after inverse_after", "h", OWN
            ),
            dilations="INTS", group="INT",
        ),
        _node("Linear8", "h packed scales bias_after", "branch", OWN),
        _node("Constant", "", "rows", value_ints=[1]),
        _node("Constant", "", "two", value_ints=[2]),
        _node("Constant", "", "minus", value_ints=[-1]),
        _node("Constant", "", "end", value_ints=[int(END)]),
        _node("Shape", "past", "reach", start=1, end=2),
        _node("Mul", "reach minus", "last"),
        _node("Slice", "signal last end rows", "present"),
        _node("Div", "reach two", "half"),
        _node("Mul", "half minus", "minus_half"),
        _node("Slice", "signal half minus_half rows", "straight"),
        _node("Add", "straight branch", "sum"),
        *_inside("sum"),
        _node("Mul", "sum inside", "y"),
    ],
    ("dilations", "group", "rate", "delay"),
    "y present",
)  # fmt: skip
# A transposed convolution of kernel 2 x stride, behind the input remembered of the call before: the
# first half of a row's reach meets the second half of the row's before; zero outside the clip.
UPSAMPLE8 = _function(
    "Upsample8", "past x frames_before clip_frames packed scales no_bias bias",
    [
        _node("Concat", "past x", "signal", axis=1),
        _node("Constant", "", "rows", value_ints=[1]),
        _node("Constant", "", "last", value_ints=[-1]),
        _node("Constant", "", "end", value_ints=[END]),
        _node("Slice", "signal last end rows", "present"),
        _node("Linear8", "signal packed scales no_bias", "reach", OWN),
        _node("Split", "reach", "first_half second_half", axis=2, num_outputs=2),
        _node("Slice", "first_half rows end rows", "this_row"),
        _node("Constant", "", "begin", value_ints=[0]),
        _node("Slice", "second_half begin last rows", "row_before"),
        _node("Add", "this_row row_before", "strides"),
        _node("Shape", "bias", "channels"),
        _node("Concat", "rows last channels", "size", axis=0),
        _node("Reshape", "strides size", "signals"),
        _node("Add", "signals bias", "sum"),
        *_inside("sum"),
        _node("Mul", "sum inside", "y"),
    ],
    ("rate", "delay"),
    "y present",
)  # fmt: skip
# x and draws for each of its rows times a product.
NOISE8 = _function("Noise8", "x draws packed scales no_bias", [
    _node("Linear8", "x packed scales no_bias", "gain", OWN),
    _node("Transpose", "draws", "column", perm=[0, 2, 1]),
    _node("Mul", "column gain", "noise"),
    _node("Add", "x noise", "y"),
])  # fmt: skip
LINEAR8_TILE = (16, 4)  # columns and rows of a weight [K, N] that lie together

# What each query hears of all keys' values; the queries are scaled beforehand.
ATTENTION8 = _function("Attention8", "queries keys values", [
    _given(
        _node("MultiHeadAttention", "queries keys values", "y", MICROSOFT, scale=1.0),
        num_heads="INT",
    ),
], ("num_heads",))  # fmt: skip
ATTENTION8_HEAD = 64  # dimensions of its heads

# The same where each key counts as exp(log_counts) keys: log_counts [n].
COUNTED_ATTENTION8 = _function("CountedAttention8", "queries keys values log_counts", [
    _node("Shape", "queries", "m", start=1, end=2),
    _node("Shape", "log_counts", "n"),
    _node("Constant", "", "ones", value_ints=[1, 1]),
    _node("Concat", "ones m n", "size", axis=0),
    _node("Expand", "log_counts size", "bias"),
    _given(
        helper.make_node(
            "MultiHeadAttention", ["queries", "keys", "values", "", "", "bias"], ["y"],
            domain=MICROSOFT, scale=1.0,
        ),
        num_heads="INT",
    ),
], ("num_heads",))  # fmt: skip

# What each query hears of the cache, which past and present share, and of the columns with it.
CACHED_ATTENTION = _function(
    "CachedAttention", "qkv past_key past_value seqlens_k total cos sin",
    [
        _given(
            helper.make_node(
                "GroupQueryAttention",
                ["qkv", "", "", "past_key", "past_value", "seqlens_k", "total", "cos", "sin"],
                ["y", "present_key", "present_value"],
                domain=MICROSOFT, do_rotary=1, rotary_interleaved=0,
            ),
            num_heads="INT", kv_num_heads="INT", scale="FLOAT",
        )
    ],
    ("num_heads", "kv_num_heads", "scale"),
    "y present_key present_value",
)  # fmt: skip

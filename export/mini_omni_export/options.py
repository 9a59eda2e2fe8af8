"""What kind of export is wanted; light, so that the command line starts at once."""

from __future__ import annotations

from dataclasses import dataclass, field

PRECISIONS = {  # the encoder works on many rows, the decoder on one, and the codec convolves
    "fp32": {"encoder": "fp32", "decoder": "fp32", "codec": "fp32"},
    "fp16": {"encoder": "fp16", "decoder": "fp16", "codec": "fp32"},
    "int8": {"encoder": "int8", "decoder": "int8", "codec": "int8"},
    "int4": {"encoder": "int8", "decoder": "int4", "codec": "int8"},
}
# CUDA has no kernel that quantises activations: what would be int8 there is fp16.
CUDA_PRECISIONS = {
    precision: {"encoder": "fp16", "decoder": precision, "codec": "fp32"}
    for precision in ("fp16", "int8", "int4")
}


@dataclass
class Options:
    """What kind of export is wanted."""

    profile: str = "fused"
    precision: str = "fp32"
    overrides: dict[str, str] = field(default_factory=dict)  # by graph, over `precision`
    block: int = 128
    trim: bool = False  # what is not speech at both ends of a spoken question

    @property
    def precisions(self) -> dict[str, str]:
        """The precision of encoder, decoder and codec."""
        table = CUDA_PRECISIONS if self.profile == "cuda" else PRECISIONS
        return table[self.precision] | self.overrides

"""A random model of the decoder's shape for llama.cpp: python write_gguf.py OUT.gguf

Qwen2-0.5B: 24 layers, 896 wide, 14 heads, 2 key/value heads, MLP 4864, tied embeddings. Every
matrix is q4_0, the head too, which favours llama.cpp: its own quantiser keeps the head in 8 bits.
The vocabulary is Mini-Omni's text one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType
from numpy.typing import NDArray

LAYERS, WIDTH, HEADS, KV_HEADS, MLP, VOCAB = 24, 896, 14, 2, 4864, 152_000
HEAD_SIZE = WIDTH // HEADS
KV_WIDTH = KV_HEADS * HEAD_SIZE
CONTEXT = 2048
BLOCK = 32  # weights that share a scale
SCALE = 0.004  # keeps activations finite


def main(out: str) -> None:
    """Writes the file."""
    writer = GGUFWriter(out, "qwen2")
    header(writer)
    rng = np.random.default_rng(1)

    def matrix(name: str, rows: int, columns: int) -> None:
        writer.add_tensor(f"{name}.weight", q4_0(rng, rows, columns),
                          raw_dtype=GGMLQuantizationType.Q4_0)

    def vector(name: str, size: int, value: float) -> None:
        writer.add_tensor(name, np.full(size, value, np.float32))

    matrix("token_embd", VOCAB, WIDTH)
    vector("output_norm.weight", WIDTH, 1)
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        vector(f"{block}.attn_norm.weight", WIDTH, 1)
        for name, rows in [("attn_q", WIDTH), ("attn_k", KV_WIDTH), ("attn_v", KV_WIDTH)]:
            matrix(f"{block}.{name}", rows, WIDTH)
            vector(f"{block}.{name}.bias", rows, 0)
        matrix(f"{block}.attn_output", WIDTH, WIDTH)
        vector(f"{block}.ffn_norm.weight", WIDTH, 1)
        matrix(f"{block}.ffn_gate", MLP, WIDTH)
        matrix(f"{block}.ffn_up", MLP, WIDTH)
        matrix(f"{block}.ffn_down", WIDTH, MLP)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def header(writer: GGUFWriter) -> None:
    """Sizes, and a tokenizer of made-up words, which llama.cpp insists on."""
    writer.add_name(Path(__file__).stem)
    writer.add_file_type(LlamaFileType.MOSTLY_Q4_0)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([f"w{i}" for i in range(VOCAB)])
    writer.add_token_types([TokenType.NORMAL] * VOCAB)
    writer.add_token_merges(["w 1"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)


def q4_0(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.uint8]:
    """Random blocks [rows, columns / 32 * 18]: a half-precision scale, then 32 nibbles."""
    blocks = rng.integers(0, 256, (rows, columns // BLOCK, 2 + BLOCK // 2), np.uint8)
    blocks[:, :, :2] = np.array([SCALE], np.float16).view(np.uint8)
    return blocks.reshape(rows, -1)


if __name__ == "__main__":
    main(*sys.argv[1:])

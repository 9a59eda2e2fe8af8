"""An exported int8 model back into a checkpoint, to train on where its training state is gone.

Reads what `mini_omni_export` writes for the fused profile with the decoder and the adapter in int8;
each weight comes back as the graph computes with it. So does the codec.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from .codec import Codec
from .config import Config
from .model import Omni
from .snac import Decoder, Quantizer, SnacConfig

TABLES = {"transformer.wte.weight": "embedding", "lm_head.weight": "head"}


def is_restorable(folder: Path) -> bool:
    """Whether an exported folder has what `restore` and `restore_codec` can read."""
    manifest = _manifest(folder)
    fused = manifest["precision"]["decoder"] == "int8" and manifest["profile"] == "fused"
    encoder = folder / "codec_encoder.onnx"
    if not fused or not encoder.exists():
        return False
    tensors = onnx.load(encoder, load_external_data=False).graph.initializer
    return any(tensor.name == "encoder.start.weight" for tensor in tensors)


def _check(folder: Path) -> None:
    if not is_restorable(folder):
        raise SystemExit(
            f"{folder}: only a fused int8 model whose codec encoder reads mels can be restored"
        )


def restore(folder: Path) -> Omni:
    """The language model and its adapter from an exported folder."""
    _check(folder)
    manifest = _manifest(folder)
    decoder, adapter = _Weights(folder / "decoder.onnx"), _Weights(folder / "encoder.onnx")
    config = _config(manifest, decoder, adapter)
    model = Omni(config)
    state = {}
    for name, parameter in model.state_dict().items():
        found = _one(name, config, decoder, adapter)
        state[name] = torch.tensor(found).reshape(parameter.shape)
    model.load_state_dict(state)
    return model


def restore_codec(folder: Path) -> Codec:
    """The codec from an exported folder."""
    _check(folder)
    codec = Codec(SnacConfig())
    snac, weights = codec.snac, _Weights(folder / "codec_decoder.onnx")
    encoder = _Weights(folder / "codec_encoder.onnx")
    with torch.no_grad():
        for name, parameter in snac.encoder.named_parameters():
            parameter.copy_(torch.tensor(encoder.plain(f"encoder.{name}")))
        _restore_quantizer(snac.quantizer, encoder, weights)
        _restore_codec_decoder(snac.decoder, weights)
    return codec


def _restore_quantizer(quantizer: Quantizer, encoder: "_Weights", decoder: "_Weights") -> None:
    """The encoder's graph has the rows' directions, the decoder's what out_proj makes of them."""
    for i, level in enumerate(quantizer.quantizers):
        name = f"quantizer.quantizers.{i}"
        level.in_proj.weight = torch.tensor(encoder.plain(f"{name}.in_proj.weight"))
        level.in_proj.bias.copy_(torch.tensor(encoder.plain(f"{name}.in_proj.bias")))
        rows = encoder.plain(f"{name}.directions").T
        with_one = np.concatenate([rows, np.ones((len(rows), 1), np.float32)], axis=1)
        solved, *_ = np.linalg.lstsq(with_one, decoder.plain(f"{name}.table"), rcond=None)
        level.codebook.weight.copy_(torch.tensor(rows))
        level.out_proj.weight = torch.tensor(solved[:-1].T[..., None])
        level.out_proj.bias.copy_(torch.tensor(solved[-1]))


def _restore_codec_decoder(decoder: Decoder, weights: "_Weights") -> None:
    for name, module in decoder.named_modules():
        key = f"decoder.{name}"
        if isinstance(module, nn.ConvTranspose1d):
            taps = torch.tensor(weights.channels(f"{key}.weight"))
            taps = taps.reshape(module.kernel_size[0], module.out_channels, -1)
            module.weight = taps.permute(2, 1, 0).contiguous()
        elif isinstance(module, nn.Conv1d):
            module.weight = _kernel(weights, f"{key}.weight", module.weight.shape)
        elif hasattr(module, "alpha"):
            module.alpha.copy_(torch.tensor(weights.plain(f"{key}.alpha")).reshape(1, -1, 1))
        if getattr(module, "bias", None) is not None:
            module.bias.copy_(torch.tensor(_bias(weights, key)))


def _kernel(weights: "_Weights", key: str, shape: torch.Size) -> torch.Tensor:
    if f"{key}.scale" in weights:
        return torch.tensor(weights.channels(key)).reshape(shape)
    kernel = weights.plain(key)
    # What runs on rows has its taps first: [taps, channels].
    kernel = kernel.T if kernel.ndim == 2 else kernel
    return torch.tensor(np.ascontiguousarray(kernel)).reshape(shape)


def _bias(weights: "_Weights", key: str) -> np.ndarray:
    name = f"{key}.bias"
    return weights.plain(name if name in weights else f"{key}.weight.linear_bias")


class _Weights:
    """The tensors of a graph, by name."""

    def __init__(self, path: Path) -> None:
        tensors = onnx.load(path, load_external_data=False).graph.initializer
        self.tensors = {t.name: _array(t, path.parent) for t in tensors}

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def plain(self, name: str) -> np.ndarray:
        return self.tensors[name]

    def blocks(self, name: str, width: int) -> np.ndarray:
        """MatMulNBits at 8 bits: bytes around 128 [rows, blocks, block] -> [rows, width]."""
        packed, scales = self.tensors[name], self.tensors[f"{name}.scale"]
        values = packed.reshape(*scales.shape, -1).astype(np.float32) - 128
        return (values * scales[..., None]).reshape(len(scales), -1)[:, :width]

    def channels(self, name: str) -> np.ndarray:
        """int8 and a scale for each output -> [out, in]; from Linear8's tiles [out / 16, in / 4,
        16, 4], or turned as MatMulInteger has it."""
        values, scales = self.tensors[name], self.tensors[f"{name}.scale"]
        turned = values.T if values.ndim == 2 else values.transpose(0, 2, 1, 3)
        values = turned.reshape(len(scales), -1)
        return values.astype(np.float32) * scales[:, None]


def _array(tensor: onnx.TensorProto, folder: Path) -> np.ndarray:
    """A tensor whose data may lie in a file beside the graph. onnx's own loading refuses links, and
    a folder in the hub's cache, from Nix or from DVC is made of them."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        place = {entry.key: entry.value for entry in tensor.external_data}
        data = np.memmap(folder / Path(place["location"]).name, np.uint8, "r")
        start, length = int(place["offset"]), int(place["length"])
        tensor.raw_data = data[start : start + length].tobytes()
        tensor.data_location = onnx.TensorProto.DEFAULT
    return numpy_helper.to_array(tensor)


def _manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def _config(manifest: dict, decoder: _Weights, adapter: _Weights) -> Config:
    sizes, ids = manifest["decoder"], manifest["ids"]
    return Config(
        n_layer=sizes["n_layer"],
        n_embd=sizes["n_embd"],
        n_head=sizes["n_head"],
        n_query_groups=sizes["n_kv_head"],
        head_size=sizes["head_size"],
        intermediate_size=decoder.plain("transformer.h.0.mlp.fc_1.weight").shape[0],
        add_qkv_bias="transformer.h.0.attn.attn.bias" in decoder,
        tie_word_embeddings="head.text" not in decoder,
        block_size=sizes["max_length"],
        text_vocab_size=ids["text_vocab_size"],
        audio_vocab_size=ids["audio_vocab_size"],
        whisper_adapter_dim=adapter.channels("adapter.fc_1.weight").shape[1],
    )


def _one(name: str, config: Config, decoder: _Weights, adapter: _Weights) -> np.ndarray:
    """The parameter of the published name `name`."""
    if name in TABLES:
        kind = "embedding" if config.tie_word_embeddings else TABLES[name]
        parts = [decoder.blocks(f"{kind}.{part}", config.n_embd) for part in ("text", "audio")]
        return np.concatenate(parts)
    if name.startswith("whisper_adapter."):
        return adapter.channels(name.removeprefix("whisper_"))
    if name.endswith(".bias") or "norm_" in name or "ln_f" in name:
        found = decoder.plain(name)
    else:
        heads = config.n_head * config.head_size
        width = {"mlp.proj": config.intermediate_size, "attn.proj": heads}
        part = ".".join(name.split(".")[3:5])
        found = decoder.blocks(name, width.get(part, config.n_embd))
    return _grouped(found, config) if ".attn.attn." in name else found


def _grouped(rows: np.ndarray, config: Config) -> np.ndarray:
    """[all q][all k][all v] -> [q.. k v] for each query group, as published."""
    groups = config.n_query_groups
    counts = [config.n_head, groups, groups]
    ends = np.cumsum(counts)[:-1] * config.head_size
    parts = [p.reshape(groups, -1, *rows.shape[1:]) for p in np.split(rows, ends)]
    return np.concatenate(parts, axis=1).reshape(rows.shape)

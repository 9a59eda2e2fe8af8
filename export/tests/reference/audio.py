"""Sound in: pcm -> log-mel -> Whisper's audio encoder -> Mini-Omni's adapter."""

from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SAMPLE_RATE = 16000
N_SAMPLES = 30 * SAMPLE_RATE
N_FFT = 400
HOP_LENGTH = 160
FEATURE_MS = 20


def read_wav(path: Path) -> Tensor:
    """A mono 16 kHz, 16 bit wav as float pcm [n]."""
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (SAMPLE_RATE, 1, 2):
            raise ValueError(f"{path} is not mono 16 kHz of 16 bits")
        data = file.readframes(file.getnframes())
    return torch.from_numpy(np.frombuffer(data, np.int16).astype(np.float32) / 32768)


def n_features(n_samples: int) -> int:
    """Encoder frames that a clip fills; a float expression, since its rounding counts."""
    return int(n_samples / SAMPLE_RATE * 1000 / FEATURE_MS) + 1


def _hz_to_mel(hz: float) -> float:
    """Slaney's scale: linear below 1 kHz, logarithmic above."""
    if hz < 1000:
        return hz * 3 / 200
    return 15 + math.log(hz / 1000) * 27 / math.log(6.4)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * math.log(6.4) / 27))


def mel_filters(n_mels: int) -> Tensor:
    """Triangles of equal area on Slaney's scale: [n_mels, n_fft / 2 + 1]."""
    bins = np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT
    edges = _mel_to_hz(np.linspace(0, _hz_to_mel(SAMPLE_RATE / 2), n_mels + 2))
    low, middle, high = (edges[i : n_mels + i, None] for i in range(3))
    rising = (bins - low) / (middle - low)
    falling = (high - bins) / (high - middle)
    triangles = np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
    return torch.from_numpy(triangles.astype(np.float32))


def log_mel(pcm: Tensor, n_mels: int = 80) -> Tensor:
    """Whisper's log-mel of a clip padded or cut to 30 s: [n] -> [n_mels, 3000]."""
    pcm = pcm[:N_SAMPLES]
    pcm = F.pad(pcm, (0, N_SAMPLES - len(pcm)))
    window = torch.hann_window(N_FFT)
    spectrum = torch.stft(pcm, N_FFT, HOP_LENGTH, window=window, return_complex=True)
    power = spectrum[:, :-1].abs() ** 2
    logs = (mel_filters(n_mels) @ power).clamp(min=1e-10).log10()
    return (torch.maximum(logs, logs.max() - 8) + 4) / 4


class AudioEncoder:
    """Whisper's encoder from an OpenAI file, with the adapter of a language model behind it."""

    def __init__(self, whisper_file: Path, lm_state: dict[str, Tensor]) -> None:
        published = torch.load(whisper_file, weights_only=True)
        self.dims = published["dims"]
        state = published["model_state_dict"]
        self.state = {k: v.float() for k, v in state.items() if k.startswith("encoder.")}
        self.adapter = [lm_state[f"whisper_adapter.{n}.weight"] for n in ("fc_1", "fc_2", "proj")]

    @torch.inference_mode()
    def __call__(self, pcm: Tensor) -> Tensor:
        """pcm [n] -> audio features [n_features, n_embd]."""
        mel = log_mel(pcm, self.dims["n_mels"])
        return self.adapt(self.encode(mel)[: n_features(len(pcm))])

    @torch.inference_mode()
    def encode(self, mel: Tensor) -> Tensor:
        """mel [n_mels, 3000] -> [1500, n_audio_state]."""
        state = self.state
        x = mel[None]
        for name, stride in (("conv1", 1), ("conv2", 2)):
            weight, bias = state[f"encoder.{name}.weight"], state[f"encoder.{name}.bias"]
            x = F.gelu(F.conv1d(x, weight, bias, stride=stride, padding=1))
        x = x[0].T + state["encoder.positional_embedding"]
        for layer in range(self.dims["n_audio_layer"]):
            name = f"encoder.blocks.{layer}"
            x = x + self._attention(f"{name}.attn", self._norm(f"{name}.attn_ln", x))
            h = F.gelu(self._linear(f"{name}.mlp.0", self._norm(f"{name}.mlp_ln", x)))
            x = x + self._linear(f"{name}.mlp.2", h)
        return self._norm("encoder.ln_post", x)

    def adapt(self, x: Tensor) -> Tensor:
        """[n, n_audio_state] -> [n, n_embd]."""
        fc_1, fc_2, proj = self.adapter
        return F.linear(F.silu(F.linear(x, fc_1)) * F.linear(x, fc_2), proj)

    def _attention(self, name: str, x: Tensor) -> Tensor:
        heads = self.dims["n_audio_head"]
        q, k, v = (
            self._linear(f"{name}.{part}", x).unflatten(-1, (heads, -1)).transpose(0, 1)[None]
            for part in ("query", "key", "value")
        )
        out = F.scaled_dot_product_attention(q, k, v)[0]
        return self._linear(f"{name}.out", out.transpose(0, 1).flatten(1))

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"))

    def _norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return F.layer_norm(x, x.shape[-1:], weight, bias)

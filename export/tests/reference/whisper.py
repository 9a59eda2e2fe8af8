"""Sound in: Whisper's log-mel spectrogram and encoder, in plain torch.

Source of the recipe: OpenAI Whisper (`audio.py`, `model.py`): slaney mel filters, periodic Hann
window, exact GELU, no bias on the keys, LayerNorm eps 1e-5.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

SAMPLE_RATE = 16000
N_FFT, HOP = 400, 160
CLIP = 30 * SAMPLE_RATE  # the encoder always hears 30 s


def n_features(n_samples: int) -> int:
    """Audio features that count, as the original's floating point has it."""
    return int(n_samples / SAMPLE_RATE * 1000 / 20) + 1


def mel_filters(n_mels: int) -> Tensor:
    """Slaney mel filters of area 1, [n_mels, N_FFT / 2 + 1], in float64."""
    step, corner, log_step = 200 / 3, 1000.0, torch.log(torch.tensor(6.4).double()) / 27

    def to_hz(mel: Tensor) -> Tensor:
        above = corner * torch.exp(log_step * (mel - corner / step))
        return torch.where(mel < corner / step, mel * step, above)

    top = corner / step + torch.log(torch.tensor(SAMPLE_RATE / 2 / corner).double()) / log_step
    edges = to_hz(torch.linspace(0, 1, n_mels + 2, dtype=torch.float64) * top)
    freqs = torch.arange(N_FFT // 2 + 1, dtype=torch.float64) * SAMPLE_RATE / N_FFT
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (freqs - low) / (mid - low), (high - freqs) / (high - mid)
    return torch.minimum(rising, falling).clamp(min=0) * 2 / (high - low)


def log_mel(pcm: Tensor, n_mels: int = 80) -> Tensor:
    """pcm [samples] at 16 kHz -> mel [n_mels, 3000]; padded with silence or cut to 30 s."""
    clip = F.pad(pcm[:CLIP], (0, max(0, CLIP - len(pcm))))
    spectrum = torch.stft(clip, N_FFT, HOP, window=torch.hann_window(N_FFT), return_complex=True)
    power = spectrum[:, :-1].abs() ** 2
    log = (mel_filters(n_mels).float() @ power).clamp(min=1e-10).log10()
    return (torch.maximum(log, log.max() - 8) + 4) / 4


class WhisperEncoder:
    """The encoder half of an OpenAI Whisper checkpoint."""

    def __init__(self, path: Path) -> None:
        file = torch.load(path, map_location="cpu", weights_only=True)
        self.dims = file["dims"]
        self.weights = {
            name.removeprefix("encoder."): tensor.float()
            for name, tensor in file["model_state_dict"].items()
            if name.startswith("encoder.")
        }

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.layer_norm(x, weight.shape, weight, bias)

    def _conv(self, x: Tensor, name: str, stride: int) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.gelu(F.conv1d(x, weight, bias, stride=stride, padding=1))

    def _attention(self, x: Tensor, name: str) -> Tensor:
        frames, state = x.shape
        heads = self.dims["n_audio_head"]
        q, k, v = (
            self._linear(x, f"{name}.{part}").view(frames, heads, -1).transpose(0, 1)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(1, 2) * (state // heads) ** -0.5
        mixed = (scores.softmax(-1) @ v).transpose(0, 1).reshape(frames, state)
        return self._linear(mixed, f"{name}.out")

    def __call__(self, mel: Tensor) -> Tensor:
        """mel [n_mels, frames] -> [frames / 2, n_audio_state]."""
        x = self._conv(self._conv(mel[None], "conv1", 1), "conv2", 2)[0].T
        x = x + self.weights["positional_embedding"][: len(x)]
        for layer in range(self.dims["n_audio_layer"]):
            block = f"blocks.{layer}"
            x = x + self._attention(self._norm(x, f"{block}.attn_ln"), f"{block}.attn")
            hidden = F.gelu(self._linear(self._norm(x, f"{block}.mlp_ln"), f"{block}.mlp.0"))
            x = x + self._linear(hidden, f"{block}.mlp.2")
        return self._norm(x, "ln_post")

"""Spectra: Whisper's log-mel for hearing, and multi-resolution losses for the codec."""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@lru_cache
def mel_filters(rate: int, n_fft: int, n_mels: int) -> Tensor:
    """Slaney filters [n_mels, n_fft / 2 + 1], area-normalised, as librosa's and Whisper's."""
    points = _mel_to_hz(np.linspace(0, _hz_to_mel(rate / 2), n_mels + 2))
    bins = np.linspace(0, rate / 2, n_fft // 2 + 1)
    slopes = (points[:, None] - bins) / np.diff(points, append=points[-1] + 1)[:, None]
    down = -slopes[:-2] * 1.0
    up = (points[2:, None] - bins) / (points[2:] - points[1:-1])[:, None]
    filters = np.maximum(0, np.minimum(down, up)) * (2 / (points[2:] - points[:-2]))[:, None]
    return torch.tensor(filters, dtype=torch.float32)


def _hz_to_mel(hz: float) -> float:
    return 3 * hz / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, 200 * mel / 3, 1000 * np.exp(np.log(6.4) / 27 * (mel - 15)))


def magnitude(pcm: Tensor, n_fft: int, hop: int) -> Tensor:
    """pcm [b, n] -> [b, n_fft / 2 + 1, n / hop + 1]."""
    window = torch.hann_window(n_fft, device=pcm.device)
    return torch.stft(pcm, n_fft, hop, window=window, return_complex=True).abs()


def whisper_mel(pcm: Tensor, n_mels: int = 80) -> Tensor:
    """16 kHz pcm [b, n], already padded -> Whisper's log-mel [b, n_mels, n / 160]."""
    power = magnitude(pcm, 400, 160)[..., :-1] ** 2
    log = (mel_filters(16_000, 400, n_mels).to(pcm.device) @ power).clamp(min=1e-10).log10()
    log = torch.maximum(log, log.amax(dim=(1, 2), keepdim=True) - 8)
    return (log + 4) / 4


def codec_mel(pcm: Tensor, hop: int = 256, n_mels: int = 80) -> Tensor:
    """24 kHz pcm [b, n] -> natural-log mel [b, n_mels, n / hop]."""
    power = magnitude(pcm, 1024, hop)[..., :-1]
    return (mel_filters(24_000, 1024, n_mels).to(pcm.device) @ power).clamp(min=1e-5).log()


def spectral_loss(said: Tensor, wanted: Tensor) -> Tensor:
    """Multi-resolution log-magnitude, magnitude and log-mel distance, pcm [b, n] each."""
    loss = torch.zeros(())
    for n_fft in (2048, 1024, 512, 256, 128):
        a, b = (magnitude(x, n_fft, n_fft // 4) for x in (said, wanted))
        loss = loss + F.l1_loss((a + 1e-4).log(), (b + 1e-4).log()) / 5
        loss = loss + (a - b).norm() / (b.norm() + 1e-3) / 5
    for n_fft, n_mels in ((2048, 100), (1024, 80), (512, 40)):
        filters = mel_filters(24_000, n_fft, n_mels).to(said.device)
        a, b = ((filters @ magnitude(x, n_fft, n_fft // 4) + 1e-4).log() for x in (said, wanted))
        loss = loss + F.l1_loss(a, b) / 3 * 2
    return loss

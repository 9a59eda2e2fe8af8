"""Augmentation of questions: level, noise, a small room; always a function of the rng alone."""

import random

import numpy as np
from scipy.signal import resample_poly


def augment(pcm: np.ndarray, rng: random.Random, rate: int) -> np.ndarray:
    """float32 [n] -> float32 [m], silence added: of the clips half get another throat, half another
    microphone, half a room and two thirds noise."""
    draw = np.random.default_rng(rng.randrange(2**31))
    if rng.random() < 0.5:  # longer or shorter throats: pitch and formants move together
        pcm = resample_poly(pcm, rng.randint(86, 116), 100).astype(np.float32)
    if rng.random() < 0.5:
        pcm = _microphone(pcm, draw)
    ends = [np.zeros(int(rate * rng.uniform(0.05, 0.4)), np.float32) for _ in range(2)]
    pcm = np.concatenate([ends[0], pcm, ends[1]])
    if rng.random() < 0.5:
        pcm = _room(pcm, rng.uniform(0.05, 0.25), rng.uniform(0.05, 0.4), draw, rate)
    pcm = pcm * (10 ** rng.uniform(-1.2, 0)) / max(1e-4, float(np.abs(pcm).max()))
    if rng.random() < 0.67:
        level = float(pcm.std()) * 10 ** (-rng.uniform(12, 40) / 20)
        pcm = pcm + draw.standard_normal(len(pcm)).astype(np.float32) * level
    return np.clip(pcm, -1, 1).astype(np.float32)


def _microphone(pcm: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Raises or lowers five places of the spectrum by up to about 10 dB, smoothly between them."""
    spectrum = np.fft.rfft(pcm)
    places = np.linspace(0, 1, 5)
    decibels = np.interp(np.linspace(0, 1, len(spectrum)) ** 0.5, places, draw.normal(0, 5, 5))
    return np.fft.irfft(spectrum * 10 ** (decibels / 20), len(pcm)).astype(np.float32)


def _room(
    pcm: np.ndarray, seconds: float, wet: float, draw: np.random.Generator, rate: int
) -> np.ndarray:
    n = int(seconds * rate)
    tail = draw.standard_normal(n) * np.exp(-5 * np.arange(n) / n)
    tail[0] = 0
    size = 1 << (len(pcm) + n - 1).bit_length()
    echo = np.fft.irfft(np.fft.rfft(pcm, size) * np.fft.rfft(tail, size), size)[: len(pcm)]
    scale = float(pcm.std()) / max(1e-6, float(echo.std()))
    return (pcm + wet * scale * echo).astype(np.float32)

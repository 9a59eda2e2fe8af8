"""What answers in an evaluation: the model in torch, or the exported folder in the Rust binary."""

import json
import subprocess
import tempfile
import wave
from pathlib import Path
from typing import Protocol

import numpy as np
from tokenizers import Tokenizer

from . import codec as codecs
from . import restore
from . import tokenizer as tokenizers
from .clips import SAMPLE_RATE
from .codec import Codec
from .generate import Forced, generate
from .layout import TASKS
from .model import Omni
from .voices import read_wav, resample
from .whisper import Encoder

NO_SPEECH = 3  # how the binary ends where it hears none
BATCH = {"A1A2": "a1a2-batch"}  # the default for speech to speech


class Runner(Protocol):
    """Answers one question, spoken (24 kHz) or written: the text, and speech where the task
    speaks."""

    def __call__(self, task: str, source: str | np.ndarray) -> tuple[str, np.ndarray | None]: ...


class Torch:
    """A checkpoint in fp32, or what is in an int8 export."""

    def __init__(
        self, model: Omni, tokenizer: Tokenizer, codec: Codec, encoder: Encoder | None
    ) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self.answers = tokenizers.for_answers(tokenizer)
        self.codec, self.encoder = codec.eval(), encoder
        self.starts = tokenizers.word_starts(tokenizer, model.config)

    @classmethod
    def of_checkpoint(cls, work: Path, folder: Path, whisper: Path) -> "Torch":
        """A phase's folder, with the codec of `work`."""
        tokenizer = tokenizers.load(work / "tokenizer.json")
        return cls(Omni.load(folder), tokenizer, codecs.load(work / "codec"), Encoder(whisper))

    @classmethod
    def of_export(cls, folder: Path) -> "Torch | None":
        """What `restore` finds in an exported folder, or nothing; it does not hear."""
        if not restore.is_restorable(folder):
            return None
        tokenizer = tokenizers.load(folder / "tokenizer.json")
        return cls(restore.restore(folder), tokenizer, restore.restore_codec(folder), None)

    def __call__(self, task: str, source: str | np.ndarray) -> tuple[str, np.ndarray | None]:
        if task == "SAY":
            text, eot = self.answers.encode(source).ids, self.model.config.text_id("eot")
            forced = Forced(text, eot, self.starts)
            ids, frames = generate(self.model, task, [], force=forced)
        elif isinstance(source, str):
            ids, frames = generate(self.model, task, self.tokenizer.encode(source).ids)
        else:
            features = self.encoder.hear(resample(source, SAMPLE_RATE, 16_000))
            ids, frames = generate(self.model, task, features)
        return self.tokenizer.decode(ids), self.codec.say(frames) if len(frames) else None


class Binary:
    """`mini-omni ask MODEL …` on an exported folder."""

    def __init__(self, program: Path, model: Path) -> None:
        self.program, self.model = program, model

    def __call__(self, task: str, source: str | np.ndarray) -> tuple[str, np.ndarray | None]:
        with tempfile.TemporaryDirectory() as folder:
            asked, said = Path(folder, "asked.wav"), Path(folder, "said.wav")
            words = ["--text", source] if isinstance(source, str) else [str(asked)]
            if not isinstance(source, str):
                _write_wav(asked, source)
            trace = Path(folder, "trace.json")
            how = ["--task", BATCH.get(task, task.lower()), "--trace", trace]
            how += ["--out", said] if TASKS[task].speaks else []
            command = [self.program, "ask", self.model, *words, *how]
            done = subprocess.run(list(map(str, command)), capture_output=True)
            if done.returncode == NO_SPEECH:
                return "", None
            done.check_returncode()
            text = json.loads(trace.read_text())["text"]
            return text, read_wav(said) if said.exists() else None


def _write_wav(path: Path, pcm: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(pcm, -1, 1) * 32767).astype(np.int16).tobytes())

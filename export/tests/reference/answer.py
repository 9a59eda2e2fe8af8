"""The six tasks: prompts, the greedy loop with its rules of feedback and stopping, the codec.

The rules, as the original has them: the prefill's own step is kept without a check; a later one in
which stream 6 says eoa (or, in a text task, the text says eot) ends the answer and is not kept;
after eot the text stream is pad_t.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from .decoder import STREAMS, Config, Decoder, KvCache
from .snac import Snac
from .whisper import SAMPLE_RATE, WhisperEncoder, log_mel, n_features

LEVELS = (0, 1, 2, 2, 1, 2, 2)  # the codec level of each audio stream


@dataclass(frozen=True)
class Task:
    """What tells one task from another."""

    source: str  # "audio" or "text"
    marks: tuple[tuple[str, str], ...]  # of each batch row: its last ids, audio and text
    text_row: int = 0
    speaks: bool = True  # the audio is always row 0's


SPEAK, WRITE, TRANSCRIBE = ("answer_a", "answer_t"), ("pad_a", "answer_t"), ("pad_a", "asr")
TASKS = {
    "a1a2": Task("audio", (SPEAK,)),
    "a1t2": Task("audio", (WRITE,), speaks=False),
    "a1t1": Task("audio", (TRANSCRIBE,), speaks=False),
    "t1a2": Task("text", (SPEAK,)),
    "t1t2": Task("text", (WRITE,), speaks=False),
    "a1a2-batch": Task("audio", (SPEAK, WRITE), text_row=1),
}


@dataclass
class Answer:
    """One answer and all that a test compares."""

    prompt: Tensor  # [rows, 8, columns], unshifted
    tokens: list[list[int]]  # kept ids by stream, unshifted, text last
    ended: str  # "eoa", "eot" or "limit"
    logits: list[Tensor]  # of the prefill: 7 x [rows, audio], [rows, text]
    margins: list[Tensor]  # of each pass: best minus second best logit, [8, rows]
    codes: list[Tensor] = field(default_factory=list)  # by level, up to the first id that is none
    bad_audio_id: bool = False  # a frame held an id that is no code: the sound ends before it

    @property
    def frames(self) -> int:
        return self.codes[0].shape[1] if self.codes else 0


def read_wav(path: Path) -> Tensor:
    """A 16-bit mono 16 kHz wav -> [samples]."""
    with wave.open(str(path)) as wav:
        kind = (wav.getframerate(), wav.getnchannels(), wav.getsampwidth())
        assert kind == (SAMPLE_RATE, 1, 2), f"{path} is {kind}"
        pcm = torch.frombuffer(bytearray(wav.readframes(wav.getnframes())), dtype=torch.int16)
    return pcm.float() / 32768


def audio_prompt(task: Task, c: Config, n: int) -> Tensor:
    """The prompt around n audio features, [rows, 8, n + 3]."""
    rows = []
    for mark_a, mark_t in task.marks:
        audio = [c.input_a, *[c.pad_a] * n, c.eoa, getattr(c, mark_a)]
        text = [c.input_t, *[c.pad_t] * n, c.eot, getattr(c, mark_t)]
        rows.append([audio] * STREAMS + [text])
    return torch.tensor(rows)


def text_prompt(task: Task, c: Config, ids: list[int]) -> Tensor:
    """The prompt around n text ids, [rows, 8, n + 3]."""
    rows = []
    for mark_a, mark_t in task.marks:
        audio = [*[c.pad_a] * (len(ids) + 2), getattr(c, mark_a)]
        text = [c.input_t, *ids, c.eot, getattr(c, mark_t)]
        rows.append([audio] * STREAMS + [text])
    return torch.tensor(rows)


def undo_delays(audio: list[list[int]], codebook: int) -> tuple[list[Tensor], bool]:
    """Kept audio ids by stream -> codes by level, and whether a bad id cut them short."""
    levels: list[list[int]] = [[] for _ in range(max(LEVELS) + 1)]
    bad = False
    for m in range(max(0, len(audio[0]) - STREAMS)):
        frame = [audio[j][m + j + 1] for j in range(STREAMS)]
        if bad := max(frame) >= codebook:
            break
        for level, code in zip(LEVELS, frame):
            levels[level].append(code)
    return [torch.tensor([codes], dtype=torch.int64) for codes in levels], bad


class Reference:
    """The three published checkpoints as one model."""

    def __init__(self, mini_omni: Path, whisper: Path, snac: Path) -> None:
        self.decoder = Decoder(mini_omni)
        self.whisper = WhisperEncoder(whisper)
        self.snac = Snac(snac)
        self.tokenizer = Tokenizer.from_file(str(mini_omni / "tokenizer.json"))

    @classmethod
    def load(cls, folder: Path) -> Reference:
        """From a folder that holds mini-omni/, whisper/small.pt and snac_24khz/."""
        return cls(folder / "mini-omni", folder / "whisper/small.pt", folder / "snac_24khz")

    def features(self, pcm: Tensor) -> Tensor:
        """pcm [samples] at 16 kHz -> adapted audio features [n, n_embd]."""
        heard = self.whisper(log_mel(pcm, self.whisper.dims["n_mels"]))[: n_features(len(pcm))]
        return self.decoder.adapt(heard)

    def text(self, ids: list[int]) -> str:
        """The words of text ids: up to eot, special ids left out."""
        eot = self.decoder.config.eot
        ids = ids[: ids.index(eot)] if eot in ids else ids
        return self.tokenizer.decode([i for i in ids if i < eot], skip_special_tokens=True)

    @torch.inference_mode()
    def answer(self, task_name: str, question: Tensor | str, max_steps: int) -> Answer:
        """The greedy answer to pcm [samples] at 16 kHz or to a text."""
        task, config, features = TASKS[task_name], self.decoder.config, None
        if task.source == "audio":
            features = self.features(question)
            prompt = audio_prompt(task, config, len(features))
        else:
            ids = self.tokenizer.encode(question, add_special_tokens=False).ids
            prompt = text_prompt(task, config, ids)
        answer = self._loop(task, prompt, features, max_steps)
        if task.speaks:
            codebook = self.snac.config["codebook_size"]
            answer.codes, answer.bad_audio_id = undo_delays(answer.tokens[:STREAMS], codebook)
        return answer

    def _loop(self, task: Task, prompt: Tensor, features: Tensor | None, max_steps: int) -> Answer:
        c, cache = self.decoder.config, KvCache(self.decoder.config.n_layer)
        logits = self.decoder(self.decoder.embed(prompt, features), cache)
        answer = Answer(prompt, [[] for _ in range(STREAMS + 1)], "limit", logits, [])
        text_ended = False
        while True:
            answer.margins.append(margins(logits))
            audio = [int(stream[0].argmax()) for stream in logits[:STREAMS]]
            text = c.pad_t if text_ended else int(logits[STREAMS][task.text_row].argmax())
            if answer.tokens[STREAMS]:  # the prefill's step is kept whatever it says
                if task.speaks and audio[-1] == c.eoa:
                    answer.ended = "eoa"
                    break
                if text == c.eot and not task.speaks:
                    answer.ended = "eot"
                    break
                text_ended |= text == c.eot
            for stream, token in zip(answer.tokens, [*audio, text]):
                stream.append(token)
            if len(answer.tokens[STREAMS]) == max_steps:
                break
            logits = self.decoder(self.decoder.embed(self._feedback(task, audio, text)), cache)
        if not task.speaks:
            answer.tokens[:STREAMS] = [[] for _ in range(STREAMS)]
        return answer

    def _feedback(self, task: Task, audio: list[int], text: int) -> Tensor:
        """The next column [rows, 8, 1]: the row that speaks hears itself, the others pad_a."""
        silent = [self.decoder.config.pad_a] * STREAMS
        rows = [audio if task.speaks and row == 0 else silent for row in range(len(task.marks))]
        return torch.tensor([[*row, text] for row in rows])[:, :, None]


def margins(logits: list[Tensor]) -> Tensor:
    """Best minus second best of each head and row, [8, rows]."""
    return torch.stack([(top := head.topk(2).values)[:, 0] - top[:, 1] for head in logits])

"""The six tasks, greedily: prompt, loop, feedback, and the delay pattern undone."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .model import AUDIO_STREAMS, Decoder, Ids


@dataclass(frozen=True)
class Task:
    """What varies between the tasks."""

    source: str  # "audio" or "text"
    marks: list[tuple[str, str]]  # (audio, text) at the prompt's last column, one a batch row
    text_row: int = 0
    audio_row: int | None = None  # None: nothing is spoken


SPEAK, WRITE, TRANSCRIBE = ("answer_a", "answer_t"), ("pad_a", "answer_t"), ("pad_a", "asr")
TASKS = {
    "a1a2-batch": Task("audio", [SPEAK, WRITE], text_row=1, audio_row=0),
    "a1a2": Task("audio", [SPEAK], audio_row=0),
    "a1t2": Task("audio", [WRITE]),
    "a1t1": Task("audio", [TRANSCRIBE]),
    "t1a2": Task("text", [SPEAK], audio_row=0),
    "t1t2": Task("text", [WRITE]),
}


@dataclass
class Question:
    """Audio features [f, n_embd], or text ids."""

    features: Tensor | None = None
    text_ids: list[int] | None = None


@dataclass
class Answer:
    """What was said. A text-only answer has seven empty audio lists."""

    tokens: list[list[int]]  # kept ids by stream, unshifted, text last
    ended: str  # "eoa", "eot" or "limit"
    prompt_length: int
    first_logits: list[Tensor]  # 8 x [rows, vocabulary], of the prompt's last column
    margins: list[list[float]] = field(default_factory=list)  # best minus second, [passes][streams]
    prefill_s: float = 0.0
    steps_s: list[float] = field(default_factory=list)


def prompt(task: Task, ids: Ids, question: Question) -> Tensor:
    """The ids of every row, unshifted: [rows, 8, columns]."""
    if task.source == "audio":
        pads = min(len(question.features), 1500)
        audio = [ids.input_a] + [ids.pad_a] * pads + [ids.eoa]
        text = [ids.input_t] + [ids.pad_t] * pads + [ids.eot]
    else:
        text = [ids.input_t, *question.text_ids, ids.eot]
        audio = [ids.pad_a] * len(text)
    return torch.tensor([
        [audio + [getattr(ids, a)]] * AUDIO_STREAMS + [text + [getattr(ids, t)]]
        for a, t in task.marks
    ])


def generate(decoder: Decoder, name: str, question: Question, max_steps: int) -> Answer:
    """The greedy answer, of at most `max_steps` steps."""
    task, ids = TASKS[name], decoder.ids
    columns = prompt(task, ids, question)
    rows, _, length = columns.shape
    decoder.start(rows, length + max_steps)
    began = time.perf_counter()
    streams = decoder.split(decoder.forward(decoder.embed(columns, question.features), 0))
    answer = Answer([[] for _ in range(AUDIO_STREAMS + 1)], "limit", length, streams)
    audio, text = _choose(task, streams, answer)
    answer.prefill_s = time.perf_counter() - began
    _keep(answer, audio, text)  # the first step is kept whatever it says
    text_ended = False
    for step in range(1, max_steps):
        began = time.perf_counter()
        fed = _feedback(task, ids, audio, text, rows)
        streams = decoder.split(decoder.forward(decoder.embed(fed), length + step - 1))
        audio, text = _choose(task, streams, answer)
        answer.steps_s.append(time.perf_counter() - began)
        if task.audio_row is not None and audio[-1] == ids.eoa:
            answer.ended = "eoa"
            break
        if task.audio_row is None and text == ids.eot:
            answer.ended = "eot"
            break
        if text_ended:
            text = ids.pad_t
        text_ended |= text == ids.eot
        _keep(answer, audio, text)
    return answer


def frames_of(tokens: list[list[int]]) -> list[list[int]]:
    """The delay undone: stream j says frame m's id at step m + j + 1; n steps give n - 7 frames."""
    steps = len(tokens[0])
    return [
        [tokens[stream][frame + stream + 1] for stream in range(AUDIO_STREAMS)]
        for frame in range(steps - AUDIO_STREAMS)
    ]


def _choose(task: Task, streams: list[Tensor], answer: Answer) -> tuple[list[int], int]:
    """The best id of each stream from the row that says it; notes how clear each choice was."""
    spoken = task.audio_row is not None
    rows = [task.audio_row if spoken else None] * AUDIO_STREAMS + [task.text_row]
    chosen, margins = [], []
    for logits, row in zip(streams, rows):
        if row is None:
            continue
        best, second = logits[row].topk(2).values.tolist()
        chosen.append(int(logits[row].argmax()))
        margins.append(best - second)
    answer.margins.append(margins)
    return chosen[:-1], chosen[-1]


def _keep(answer: Answer, audio: list[int], text: int) -> None:
    for stream, chosen in zip(answer.tokens, audio):
        stream.append(chosen)
    answer.tokens[-1].append(text)


def _feedback(task: Task, ids: Ids, audio: list[int], text: int, rows: int) -> Tensor:
    """The next column [rows, 8, 1]: the text for every row, the audio for the row that spoke."""
    pads = [ids.pad_a] * AUDIO_STREAMS
    column = [[*(audio if row == task.audio_row else pads), text] for row in range(rows)]
    return torch.tensor(column)[:, :, None]

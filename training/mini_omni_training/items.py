"""Draws training rows for any mix of tasks from the prepared stores."""

import json
import random
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from . import tokenizer as tokenizers
from .balance import Kinds
from .config import AUDIO_STREAMS, Config
from .domain import NAMED, Question, natural, questions, to_train_with, unseen_texts
from .layout import ANY_WORD, IGNORE, TASKS, Row, answer, row
from .store import Store, codes_store, features_store
from .timing import id_steps, word_of_each_id
from .typed import plain, typed

ANSWERS_SHARE = 0.35  # of what is read aloud: other tasks say answers, too
NATURAL = 0.65  # of the questions in people's wordings, not in the domain's own
# The part of an answer of NAMED kinds that names what it is found from.
NAMING = re.compile(r".*? (is|are|comes|has|make|says)(?= )")
STRAY = 0.6  # of what is transcribed is not of the domain, where such clips were made
POOL = 160  # most rows to choose a batch of similar lengths from


@dataclass(frozen=True)
class Heard:
    """A spoken question's kind and answer, and where its features are."""

    kind: str
    answer: str
    index: int


class Items:
    """Everything prepared under `work`: "reading" and "answers" codes, question features, the
    domain's text; "unseen" stores to test with."""

    def __init__(self, work: Path, config: Config, tokenizer: Tokenizer) -> None:
        self.config, self.asking = config, tokenizer
        self.tokenizer = tokenizers.for_answers(tokenizer)
        self.starts = tokenizers.word_starts(tokenizer, config)
        self.unseen_reading = codes_store(work, "unseen")
        self.said = _by_text(codes_store(work, "reading"), codes_store(work, "answers"))
        self.heard = self._questions(work)
        self.test = [q for q in questions() if q.held_out]
        self.never = {plain(text) for text in unseen_texts()}
        self.train = asked = to_train_with() + _imported(work / "text.jsonl")
        answers = {q.answer for q in asked}
        self.answers, self.sentences = [], []
        for text, spoken in self.said.items():
            (self.answers if text in answers else self.sentences).extend(spoken)
        heard = [
            Heard(m.get("kind", "imported"), m["answer"], i)
            for i, m in enumerate(self.heard["train"].meta)
            if plain(m["text"]) not in self.never
        ]
        self.transcribed = [h.index for h in heard if not h.answer]
        heard = [h for h in heard if h.answer]
        spoken = [q for q in asked if q.answer in self.said]
        answered = [h for h in heard if h.answer in self.said]
        # By whether the task needs to know how its answer sounds.
        self.asked = {False: Kinds(asked), True: Kinds(spoken)}
        self.listened = {False: Kinds(heard), True: Kinds(answered)}
        self.finished = Kinds([q for q in spoken if q.kind in NAMED or q.kind == "drill"])

    def _questions(self, work: Path) -> dict[str, Store]:
        """The spoken questions to train and to test with."""
        width = self.config.whisper_adapter_dim
        return {name: features_store(work, name, width) for name in ("train", "test")}

    def draw(self, rng: random.Random, tasks: dict[str, float], columns: int) -> list[Row]:
        """Rows of similar lengths, whose padded size is at most `columns`: the first of a random
        task, half of the others of the same."""
        first, *others = rng.choices(list(tasks), list(tasks.values()), k=POOL // 2)
        pool = [self.one(rng, first)]
        length = len(pool[0])
        names = [name for other in others for name in (first, other)]
        pool += [self.one(rng, name) for name in names[: 2 * columns // length]]
        pool.sort(key=lambda one: abs(len(one) - length))
        longest, n = 0, 0
        for one in pool:
            longest = max(longest, len(one))
            if n and longest * (n + 1) > columns:
                break
            n += 1
        return pool[:n]

    def has(self, name: str) -> bool:
        """Whether anything is prepared to train a task with."""
        task = TASKS[name]
        if name in ("READ", "SAY"):
            return bool(self.sentences or self.answers)
        if name == "FINISH":
            return bool(self.finished.groups)
        return bool((self.listened if task.hears else self.asked)[task.paced].groups)

    def one(self, rng: random.Random, name: str) -> Row:
        """A random training row of a task."""
        if name in ("READ", "SAY"):
            first, second = self.answers, self.sentences
            if rng.random() >= ANSWERS_SHARE:
                first, second = second, first
            two = rng.choices(first or second, k=2)  # long ones are few, and go wrong first
            return self._read(name, *max(two, key=lambda said: said[0].meta[said[1]]["rows"]))
        if name == "FINISH":
            return self._finish(rng, self.finished.draw(rng).answer)
        if TASKS[name].hears:
            return self._hear(rng, name, "train", self._clip(rng, name))
        return self._ask(rng, name, self.asked[TASKS[name].paced].draw(rng))

    def _clip(self, rng: random.Random, name: str) -> int:
        if name == "A1T1" and self.transcribed and rng.random() < STRAY:
            return rng.choice(self.transcribed)
        return self.listened[TASKS[name].paced].draw(rng).index

    def unseen(self, name: str, n: int) -> list[Row]:
        """Up to n test rows of a task; none for what has no unseen speech."""
        rng = random.Random(0)
        if name in ("READ", "SAY"):
            count = min(n, len(self.unseen_reading))
            return [self._read(name, self.unseen_reading, i) for i in range(count)]
        if TASKS[name].speaks or name == "FINISH":
            return []
        if TASKS[name].hears:
            meta = self.heard["test"].meta
            known = [
                i for i, m in enumerate(meta) if not TASKS[name].paced or m["answer"] in self.said
            ]
            return [self._hear(rng, name, "test", i) for i in rng.sample(known, min(n, len(known)))]
        held_out = rng.sample(self.test, n // 2) + rng.sample(natural(), n - n // 2)
        return [self._asked(rng, name, q.question, q.answer) for q in held_out]

    def ids(self, text: str) -> list[int]:
        """Text ids, no specials."""
        return self.tokenizer.encode(text).ids

    def _read(self, name: str, store: Store, i: int) -> Row:
        prompt = self.ids(store.meta[i]["text"]) if name == "READ" else []
        found = row(self.config, TASKS[name], prompt, self._said(store, i))
        if name == "SAY":  # nothing tells which word will be said, only when, and where a text ends
            text = found.labels[AUDIO_STREAMS]
            first = int((text >= 0).nonzero()[0])
            text[(text >= 0) & self.starts[text.clamp(min=0)]] = ANY_WORD
            text[first] = IGNORE
        return found

    def _finish(self, rng: random.Random, text: str) -> Row:
        """Only what follows NAMING is to be predicted."""
        found = row(self.config, TASKS["FINISH"], [], self._answer(rng, "FINISH", text))
        end = NAMING.match(text).end()
        given = sum(start < end for start, _ in self.tokenizer.encode(text).offsets)
        labels = found.labels[AUDIO_STREAMS]
        words = (labels >= 0) & (labels != self.config.text_id("pad_t"))
        labels[: int(words.nonzero()[given - 1]) + 1] = IGNORE
        return found

    def _said(self, store: Store, i: int, aloud: bool = True) -> Tensor:
        """`answer`'s ids for a sentence as it was spoken, with its sound or without."""
        meta = store.meta[i]
        text, at = self.tokenizer.encode(meta["text"]), None
        if "words" in meta:
            at = id_steps(word_of_each_id(meta["text"], text.offsets), meta["words"])
        return answer(self.config, text.ids, store[i].long() if aloud else None, at)

    def _hear(self, rng: random.Random, name: str, part: str, i: int) -> Row:
        store = self.heard[part]
        meta = store.meta[i]
        text = meta["text"] if name == "A1T1" else meta["answer"]
        features = store[i].float()
        if part == "train":
            other = store[rng.randrange(len(store.meta))].float()
            features = varied(features, other, rng)
        said, words = self._answer(rng, name, text), self.ids(meta["text"])
        return row(self.config, TASKS[name], features, said, words)

    def _ask(self, rng: random.Random, name: str, question: Question) -> Row:
        text = question.question
        if rng.random() < NATURAL:
            worded = question.worded(rng)
            text = text if plain(worded) in self.never else worded
        return self._asked(rng, name, typed(text, rng), question.answer)

    def _asked(self, rng: random.Random, name: str, text: str, wanted: str) -> Row:
        said = self._answer(rng, name, wanted)
        return row(self.config, TASKS[name], self.asking.encode(text).ids, said)

    def _answer(self, rng: random.Random, name: str, text: str) -> Tensor:
        if TASKS[name].paced and text in self.said:
            return self._said(*rng.choice(self.said[text]), aloud=TASKS[name].speaks)
        return answer(self.config, self.ids(text), None)


def varied(features: Tensor, other: Tensor, rng: random.Random) -> Tensor:
    """A clip's features [n, width] as they might have been as well: up to an eighth of them are
    skipped, all carry a little noise, and their mean, which tells the speaker and the room, moves
    up to half way to the mean of an `other` clip. So a clip is not known by heart."""
    kept = torch.rand(len(features)) >= rng.uniform(0, 0.125)
    noise = torch.randn(features.shape) * features.std()
    away = other.mean(0) - features.mean(0)
    return (features + rng.uniform(0, 0.2) * noise + rng.uniform(0, 0.5) * away)[kept]


def _by_text(*stores: Store) -> dict[str, list[tuple[Store, int]]]:
    found: dict[str, list[tuple[Store, int]]] = defaultdict(list)
    for store in stores:
        for i, meta in enumerate(store.meta):
            found[meta["text"]].append((store, i))
    return found


def _imported(path: Path) -> list[Question]:
    """Pairs that `import-text` left, if any."""
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = [json.loads(line) for line in lines]
    return [Question("imported", q, q, a, held_out=False) for q, a in pairs]

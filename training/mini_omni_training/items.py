"""Draws training rows for any mix of tasks from the prepared stores."""

import json
import random
from collections import defaultdict
from pathlib import Path

from tokenizers import Tokenizer

from .config import Config
from .domain import Question, questions
from .layout import TASKS, Row, answer, row
from .prepare import Store, codes_store, features_store


class Items:
    """Everything prepared under `work`: "reading" and "answers" codes, question features, the
    domain's text; "unseen" stores to test with."""

    def __init__(self, work: Path, config: Config, tokenizer: Tokenizer) -> None:
        self.config, self.tokenizer = config, tokenizer
        self.reading = codes_store(work, "reading")
        self.unseen_reading = codes_store(work, "unseen")
        self.said = _by_text(self.reading, codes_store(work, "answers"))
        width = config.whisper_adapter_dim
        self.heard = {name: features_store(work, name, width) for name in ("train", "test")}
        domain = questions() + _imported(work / "text.jsonl")
        self.train = [q for q in domain if not q.held_out]
        self.test = [q for q in domain if q.held_out]
        self.spoken = [q for q in self.train if q.answer in self.said]
        self.answered = [
            i for i, m in enumerate(self.heard["train"].meta) if m["answer"] in self.said
        ]

    def draw(self, rng: random.Random, tasks: dict[str, float], columns: int) -> list[Row]:
        """Rows of random tasks until their padded size reaches `columns`."""
        rows: list[Row] = []
        longest = 0
        while True:
            new = self.one(rng, rng.choices(list(tasks), list(tasks.values()))[0])
            longest = max(longest, new.ids.shape[1])
            if rows and longest * (len(rows) + 1) > columns:
                return rows
            rows.append(new)

    def one(self, rng: random.Random, name: str) -> Row:
        """A random training row of a task."""
        if name == "READ":
            return self._read(self.reading, rng.randrange(len(self.reading)))
        if TASKS[name].hears:
            among = self.answered if TASKS[name].speaks else range(len(self.heard["train"]))
            return self._hear(rng, name, "train", rng.choice(among))
        pool = self.spoken if TASKS[name].speaks else self.train
        return self._ask(rng, name, rng.choice(pool))

    def unseen(self, name: str, n: int) -> list[Row]:
        """Up to n test rows of a task; none for what has no unseen speech."""
        rng = random.Random(0)
        if name == "READ":
            return [self._read(self.unseen_reading, i) for i in range(len(self.unseen_reading))][:n]
        if TASKS[name].speaks:
            return []
        if TASKS[name].hears:
            count = min(n, len(self.heard["test"]))
            return [self._hear(rng, name, "test", i) for i in range(count)]
        return [self._ask(rng, name, q) for q in rng.sample(self.test, min(n, len(self.test)))]

    def ids(self, text: str) -> list[int]:
        """Text ids, no specials."""
        return self.tokenizer.encode(text).ids

    def _read(self, store: Store, i: int) -> Row:
        text = self.ids(store.meta[i]["text"])
        return row(self.config, TASKS["READ"], text, answer(self.config, text, store[i].long()))

    def _hear(self, rng: random.Random, name: str, part: str, i: int) -> Row:
        store = self.heard[part]
        meta = store.meta[i]
        text = meta["text"] if name == "A1T1" else meta["answer"]
        return row(self.config, TASKS[name], store[i].float(), self._answer(rng, name, text))

    def _ask(self, rng: random.Random, name: str, question: Question) -> Row:
        said = self._answer(rng, name, question.answer)
        return row(self.config, TASKS[name], self.ids(question.question), said)

    def _answer(self, rng: random.Random, name: str, text: str):
        frames = None
        if TASKS[name].speaks:
            store, i = rng.choice(self.said[text])
            frames = store[i].long()
        return answer(self.config, self.ids(text), frames)


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

"""The bundled model's tokenizer: byte-level BPE, large enough to hold the domain's words whole.

A word whole stands in the text stream just before it is heard; in small pieces, text would come
about as slowly as the voice and fall behind it in dense passages.
"""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from .config import SPECIALS, Config
from .domain import questions
from .sentences import sentence
from .typed import NORMALIZER, plain


def train(path: Path, config: Config, seed: int = 1, sentences: int = 20_000) -> Tokenizer:
    """Learns the merges on the domain and on free sentences; the specials stay outside of it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.text_vocab_size - SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [text for q in questions() for text in (plain(q.question), q.answer)]
    tokenizer.train_from_iterator(
        texts + [sentence(seed, i) for i in range(sentences)], trainer=trainer
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    for_questions(tokenizer).save(str(path))
    return load(path)


def for_questions(tokenizer: Tokenizer) -> Tokenizer:
    """The same, as it stands in the model's folder: the runtime puts questions into ids by it."""
    return _normalizing(tokenizer, NORMALIZER)


def for_answers(tokenizer: Tokenizer) -> Tokenizer:
    """The same for what the model says, which is written with care."""
    return _normalizing(tokenizer, normalizers.NFC())


def _normalizing(tokenizer: Tokenizer, normalizer: normalizers.Normalizer) -> Tokenizer:
    other = Tokenizer.from_str(tokenizer.to_str())
    other.normalizer = normalizer
    return other


def word_starts(tokenizer: Tokenizer, config: Config) -> Tensor:
    """Which ids begin a word inside of a text, [text_vocab_size]: those with a space before it."""
    ids = [i for piece, i in tokenizer.get_vocab().items() if piece.startswith("\u0120")]
    starts = torch.zeros(config.text_vocab_size, dtype=torch.bool)
    starts[ids] = True
    return starts


def load(path: Path) -> Tokenizer:
    """Reads tokenizer.json."""
    return Tokenizer.from_file(str(path))

"""A small byte-level BPE tokenizer in `tokenizer.json`, Qwen2's kind.

Ids of one or two letters: about 1.7 letters an id against the voice's 1.5 letters a frame, so the
text runs slightly and evenly ahead of the speech, which makes reading aloud easy to learn.
"""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from .config import SPECIALS, Config
from .domain import questions
from .sentences import sentence


def train(path: Path, config: Config, seed: int = 1, sentences: int = 20_000) -> Tokenizer:
    """Learns the merges on the domain and on free sentences; the specials stay outside of it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.text_vocab_size - SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=2,
        show_progress=False,
    )
    texts = [text for q in questions() for text in (q.question, q.answer)]
    tokenizer.train_from_iterator(
        texts + [sentence(seed, i) for i in range(sentences)], trainer=trainer
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
    return tokenizer


def load(path: Path) -> Tokenizer:
    """Reads tokenizer.json."""
    return Tokenizer.from_file(str(path))

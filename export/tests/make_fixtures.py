"""Makes tests/fixtures/tiny: a tiny random checkpoint, what the torch reference says for it, and
the model folders exported from it.

    python export/tests/make_fixtures.py            # needs torch; the same files every time
    python export/tests/make_fixtures.py --search   # another SEED, if the sizes were changed

Dimensions are odd on purpose (10 heads in 5 groups, width 80 against 160 attended, 128 codes).
The head's rows of special audio ids are small, so that no frame holds one, but for stream 6's eoa
and the text's eot, which are large, so that some answers end.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from random_checkpoint import SPECIALS, Sizes, quiet_specials, write_checkpoint
from reference import Answer, AudioEncoder, Decoder, Question, Snac, frames_of, generate, read_wav
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "tests" / "fixtures" / "tiny"
AUDIO = ROOT / "tests" / "fixtures" / "audio"
SEED = 12
MAX_STEPS = 40
ENDING = 18.0  # of the two ids that end an answer; times 0.1
SMALLEST_MARGIN = 1e-3
SIZES = Sizes(
    n_layer=2, n_embd=80, n_head=10, n_query_groups=5, head_size=16, intermediate_size=208,
    text_vocab_size=320 + SPECIALS, audio_vocab_size=128 + SPECIALS, tied=False,
    n_audio_state=32, n_audio_head=4, n_audio_layer=2, encoder_dim=4, decoder_dim=32,
)
CASES = [  # (task, input): a file of tests/fixtures/audio, or text
    ("a1a2-batch", "output1.wav"), ("a1a2", "output1.wav"), ("a1t2", "output1.wav"),
    ("a1t1", "output1.wav"), ("t1a2", "What is your name?"), ("t1t2", "What is your name?"),
    ("t1a2", "How are you feeling today?"), ("t1t2", "How are you feeling today?"),
]
WORDS = "what is your name how are you feeling today hello the weather in the morning is fine "
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def main() -> None:
    """Writes the fixtures, or looks for a seed."""
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--search", action="store_true")
    torch.set_num_threads(1)  # sums in one order
    if args.parse_args().search:
        return search()
    shutil.rmtree(TINY, ignore_errors=True)
    make(TINY, SEED)
    for profile in ("fused", "portable"):
        export(TINY / "checkpoint", TINY / profile, profile)


def make(folder: Path, seed: int) -> list[dict]:
    """Writes checkpoint/, expected/ and expected.json into `folder`; returns the cases."""
    checkpoint = folder / "checkpoint"
    write_checkpoint(checkpoint, SIZES, seed, head_gains())
    tokenizer().save(str(checkpoint / "mini-omni" / "tokenizer.json"))
    (folder / "expected").mkdir(exist_ok=True)
    model = Reference(checkpoint)
    answers = [model.answer(task, source) for task, source in CASES]
    cases = [describe(*case, answer) for case, answer in zip(CASES, answers)]
    lines = ",\n".join(json.dumps(case) for case in cases)
    (folder / "expected.json").write_text(f"[\n{lines}\n]\n")
    for name, array in model.arrays(answers[0]).items():
        np.save(folder / "expected" / f"{name}.npy", array)
    return cases


def head_gains() -> list[tuple[slice, float]]:
    """Factors for rows of the head: see the module's head."""
    gains = quiet_specials(SIZES)
    firsts = [rows.start for rows, _ in gains[-2:]]  # stream 6's eoa, the text's eot
    return gains + [(slice(first, first + 1), ENDING) for first in firsts]


def tokenizer() -> Tokenizer:
    """Qwen2's kind of tokenizer (byte-level BPE, NFC) with a few merges: ids 0..319."""
    made = Tokenizer(models.BPE(byte_fallback=False))
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    made.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=317, initial_alphabet=alphabet, min_frequency=1, show_progress=False,
    )
    made.train_from_iterator([WORDS], trainer)
    made.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return made


class Reference:
    """The torch reference of one checkpoint folder, asked by task and input."""

    def __init__(self, checkpoint: Path) -> None:
        lm = checkpoint / "mini-omni"
        self.decoder = Decoder(lm)
        self.encoder = AudioEncoder(checkpoint / "whisper" / "small.pt", self.decoder.state)
        self.snac = Snac(checkpoint / "snac_24khz")
        self.tokenizer = Tokenizer.from_file(str(lm / "tokenizer.json"))

    def question(self, source: str) -> Question:
        """A wav file's features, or a text's ids."""
        if not source.endswith(".wav"):
            return Question(text_ids=self.tokenizer.encode(source).ids)
        return Question(features=self.encoder(read_wav(AUDIO / source)))

    def answer(self, task: str, source: str, max_steps: int = MAX_STEPS) -> Answer:
        """The greedy answer."""
        return generate(self.decoder, task, self.question(source), max_steps)

    def arrays(self, answer: Answer) -> dict[str, np.ndarray]:
        """features [n, n_embd]; logits_audio [rows, 7, vocab], logits_text [rows, vocab] of the
        prompt; frames [n, 7] and pcm [samples], without noise, of an answer to output1.wav."""
        frames = frames_of(answer.tokens)
        return {
            "features": self.question("output1.wav").features.numpy(),
            "logits_audio": torch.stack(answer.first_logits[:-1], dim=1).numpy(),
            "logits_text": answer.first_logits[-1].numpy(),
            "frames": np.array(frames, dtype=np.int64),
            "pcm": self.snac.decode_frames(frames).numpy(),
        }


def describe(task: str, source: str, answer: Answer) -> dict:
    """One case of expected.json; margins are the smallest gap of each pass."""
    return {
        "task": task, "input": source, "max_steps": MAX_STEPS, "tokens": answer.tokens,
        "ended": answer.ended, "prompt_length": answer.prompt_length,
        "margins": [[round(gap, 5) for gap in gaps] for gaps in answer.margins],
    }


def export(checkpoint: Path, out: Path, profile: str) -> None:
    """Runs the exporter as a user would."""
    subprocess.run([
        sys.executable, "-m", "mini_omni_export", "--checkpoint", checkpoint / "mini-omni",
        "--whisper", checkpoint / "whisper" / "small.pt", "--snac", checkpoint / "snac_24khz",
        "--profile", profile, "--weights", "random", "--name", "tiny", "--out", out,
    ], check=True, cwd=ROOT / "export")


def search() -> None:
    """Prints the first seed whose cases show every way an answer can end."""
    for seed in range(1, 2000):
        with tempfile.TemporaryDirectory() as folder:
            faults = lacking(make(Path(folder), seed))
        print(seed, "; ".join(faults) or "good", flush=True)
        if not faults:
            return


def lacking(cases: list[dict]) -> list[str]:
    """What a set of cases fails to show."""
    eot = SIZES.text_vocab_size - SPECIALS
    spoken = [case for case in cases if case["task"].endswith(("a2", "batch"))]
    written = [case for case in cases if case not in spoken]
    long = [case for case in cases if len(case["tokens"][-1]) > 12]
    wanted = {
        "spoken answer ends by eoa": any(c["ended"] == "eoa" and c in long for c in spoken),
        "spoken answer reaches the limit": any(c["ended"] == "limit" for c in spoken),
        "text ends before its speech": any(eot in c["tokens"][-1][1:-5] for c in spoken),
        "batch is long": cases[0] in long,
        "written answer ends by eot": any(
            c["ended"] == "eot" and len(c["tokens"][-1]) > 3 for c in written
        ),
        "written answer reaches the limit": any(c["ended"] == "limit" for c in written),
        "clear margins": min(g for c in cases for gaps in c["margins"] for g in gaps)
        > SMALLEST_MARGIN,
        "codes only": all(max(map(max, c["tokens"][:-1])) < SIZES.codebook_size for c in spoken),
        "varied ids": all(len(set(c["tokens"][0])) > 8 for c in spoken if c in long),
    }
    return [name for name, shown in wanted.items() if not shown]


if __name__ == "__main__":
    main()

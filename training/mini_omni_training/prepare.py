"""Clips -> what the language model learns from: codes of spoken text, features of questions.

Made once, into stores; killed, a step goes on with the next item.
"""

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from . import codec as codecs
from .augment import TWO, augment, no_speech, one_after_another
from .clips import SAMPLE_RATE, Clips, parts
from .domain import HEARD_NOTHING, NOTHING
from .readers import open_orca, voice_assistant
from .snac import to_frames
from .store import codes_store, features_store
from .voices import resample
from .whisper import Encoder

NOISE = 0.015  # share of clips without speech


def encode_speech(work: Path, name: str) -> None:
    """Codes of every clip under `work`/`name`, and the frame in which each of its words begins; of
    what has them already, none again, whichever part has grown."""
    codec, store = codecs.load(work / "codec"), codes_store(work, name)
    done = Counter(meta.get("part") for meta in store.meta)
    clips = [(p, i) for p in parts(work / name) for i in range(done[p.folder.name], len(p))]
    for part, i in tqdm(clips, unit="clip", mininterval=10):
        meta = part.meta[i]
        frames = to_frames([c[0] for c in codec.snac.encode(torch.from_numpy(part[i])[None])])
        named = {"text": meta["text"], "words": meta["words"], "part": part.folder.name}
        store.append(frames.numpy(), **named)


def hear_questions(work: Path, name: str, whisper: Path, limit: int | None = None) -> None:
    """Whisper features of question clips, augmented for training and clean for tests; frozen, so
    computed once. Clips to train with are heard in the merged window, as `ask` hears them by
    default; the short one's features are too different (cosine 0.96)."""
    encoder = Encoder(whisper)
    clips = Clips(work / "questions" / name)
    store = features_store(work, name, encoder.dims["n_audio_state"])
    wanted = range(len(store), min(len(clips), limit or len(clips)))
    for i in tqdm(wanted, unit="clip", mininterval=10):
        meta = {k: v for k, v in clips.meta[i].items() if k not in ("offset", "samples")}
        pcm = resample(clips[i], SAMPLE_RATE, 16_000)
        if name == "train":
            rng = random.Random(f"augment/{i}")
            pcm, meta = _as_it_comes(clips, pcm, meta, rng)
        store.append(encoder.hear(pcm, merged=name == "train").numpy(), **meta)


def _as_it_comes(
    clips: Clips, pcm: np.ndarray, meta: dict, rng: random.Random
) -> tuple[np.ndarray, dict]:
    """Augmented; now and then behind another question, the last of the two being answered, or
    nothing but noise."""
    chance = rng.random()
    if chance < NOISE:
        pcm = no_speech(rng, 16_000)
        meta = meta | {"text": "", "kind": NOTHING, "answer": HEARD_NOTHING}
    elif chance < NOISE + TWO:
        other = rng.randrange(len(clips))
        first = resample(clips[other], SAMPLE_RATE, 16_000)
        pcm = one_after_another(first, pcm, rng, 16_000)
        meta = meta | {"text": f"{clips.meta[other]['text']} {meta['text']}"}
    return augment(pcm, rng, 16_000), meta


def import_spoken(work: Path, path: Path, whisper: Path) -> None:
    """VoiceAssistant-400K rows into the stores of questions heard and answers said."""
    encoder = Encoder(whisper)
    heard = features_store(work, "train", encoder.dims["n_audio_state"])
    said = codes_store(work, "answers")
    for row in tqdm(voice_assistant(path), unit="row", mininterval=10):
        if row.pcm is not None:
            features = encoder.hear(row.pcm).numpy()
            heard.append(features, text=row.question, answer=row.answer)
        if row.frames is not None:
            said.append(row.frames.numpy(), text=row.answer)


def import_text(work: Path, path: Path) -> None:
    """Open-Orca rows into text.jsonl, one (question, answer) a line."""
    with open(work / "text.jsonl", "a") as file:
        for pair in open_orca(path):
            file.write(json.dumps(pair) + "\n")

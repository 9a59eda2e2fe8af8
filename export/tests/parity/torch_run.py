"""One question put to the torch reference in a process of its own, so that its memory is its own.

    python torch_run.py CHECKPOINT WAV MAX_STEPS RESULT.json PCM.npy
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reference import AudioEncoder, Decoder, Question, Snac, frames_of, generate, read_wav

TASK = "a1a2-batch"
CHUNK_FRAMES = 4  # the original's first piece of sound


def main(checkpoint: str, wav: str, max_steps: str, result: str, pcm: str) -> None:
    """Writes what was said, and the seconds of every part, as JSON; the sound as .npy."""
    folder = Path(checkpoint)
    decoder = Decoder(folder / "mini-omni")
    encoder = AudioEncoder(folder / "whisper" / "small.pt", decoder.state)
    snac = Snac(folder / "snac_24khz")
    warm(decoder)
    began = time.perf_counter()
    features = encoder(read_wav(Path(wav)))
    encoder_s = time.perf_counter() - began
    answer = generate(decoder, TASK, Question(features=features), int(max_steps))
    frames = frames_of(answer.tokens)
    began = time.perf_counter()
    snac.decode_frames(frames[:CHUNK_FRAMES])
    codec_s = time.perf_counter() - began
    steps_until = len(answer.tokens) - 2 + CHUNK_FRAMES  # passes after the prefill, 7 + 4 steps
    first_audio_s = encoder_s + answer.prefill_s + sum(answer.steps_s[:steps_until]) + codec_s
    np.save(pcm, snac.decode_frames(frames).numpy())
    Path(result).write_text(json.dumps({
        "tokens": answer.tokens, "ended": answer.ended, "margins": answer.margins,
        "encoder_s": encoder_s, "prefill_s": answer.prefill_s, "steps_s": answer.steps_s,
        "first_audio_s": first_audio_s,
    }))


def warm(decoder: Decoder) -> None:
    """Reads the mapped weights once, as loading them would, so that no pass waits for the disk."""
    for tensor in decoder.state.values():
        tensor.sum()


if __name__ == "__main__":
    main(*sys.argv[1:])

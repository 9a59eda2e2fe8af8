"""`mini-omni ask` by the torch reference, in a process of its own so that its memory is its own.

    reference_ask.py CHECKPOINT WAV TASK MAX_STEPS TRACE PCM

Writes a trace in the runtime's form, with margins, and the answer's sound as .npy. The first audio
is counted as the original gives it: a chunk of four frames, so after eleven steps.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import takewhile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from make_fixtures import Reference  # noqa: E402, found by the line above
from reference import frames_of, generate  # noqa: E402

CHUNK_FRAMES = 4
CHUNK_STEPS = CHUNK_FRAMES + 7


def main(checkpoint: str, wav: str, task: str, max_steps: str, trace: str, pcm: str) -> None:
    """Asks once and writes the trace and the sound."""
    began = time.perf_counter()
    model = Reference(Path(checkpoint))
    load = millis(began)
    began = time.perf_counter()
    question = model.question(wav)
    encoder = millis(began)
    answer = generate(model.decoder, task, question, int(max_steps))
    codebook = model.snac.config["codebook_size"]
    frames = list(takewhile(lambda ids: max(ids) < codebook, frames_of(answer.tokens)))
    began = time.perf_counter()
    model.snac.decode_frames(frames[:CHUNK_FRAMES])
    first_chunk = millis(began)
    began = time.perf_counter()
    np.save(pcm, model.snac.decode_frames(frames).numpy())
    codec = millis(began)
    steps = [seconds * 1000 for seconds in answer.steps_s]
    prefill = answer.prefill_s * 1000  # which says the first step
    first_audio = encoder + prefill + sum(steps[: CHUNK_STEPS - 1]) + first_chunk
    Path(trace).write_text(json.dumps({
        "task": task, "prompt_length": answer.prompt_length, "tokens": answer.tokens,
        "ended": answer.ended, "frames": len(frames), "margins": answer.margins,
        "timings_ms": {
            "load": load, "encoder": encoder, "prefill": prefill, "steps": steps,
            "first_audio": first_audio, "codec": codec,
        },
    }))


def millis(since: float) -> float:
    return (time.perf_counter() - since) * 1000


if __name__ == "__main__":
    main(*sys.argv[1:])

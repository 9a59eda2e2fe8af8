"""One question put to the torch reference in a process of its own, so that its memory is its own.

    python torch_run.py CHECKPOINT WAV MAX_STEPS RESULT.json PCM.npy [DEVICE]

With a device it computes there, the codec in fp32 and all else in fp16, once to warm up first.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reference import (
    AudioEncoder,
    Decoder,
    Question,
    Snac,
    frames_of,
    generate,
    log_mel,
    n_features,
    read_wav,
)

TASK = "a1a2-batch"
CHUNK_FRAMES = 4  # the original's first piece of sound


def main(
    checkpoint: str, wav: str, max_steps: str, result: str, pcm: str, device: str = ""
) -> None:
    """Writes what was said, and the seconds of every part, as JSON; the sound as .npy."""
    folder = Path(checkpoint)
    decoder = Decoder(folder / "mini-omni")
    encoder = AudioEncoder(folder / "whisper" / "small.pt", decoder.state)
    models = decoder, encoder, Snac(folder / "snac_24khz")
    clip = read_wav(Path(wav))
    if device:
        move(models, device)
        answered(models, clip, int(max_steps))
    else:
        warm(decoder)
    said, sound = answered(models, clip, int(max_steps))
    np.save(pcm, sound)
    Path(result).write_text(json.dumps(said))


def answered(
    models: tuple[Decoder, AudioEncoder, Snac], clip: torch.Tensor, max_steps: int
) -> tuple[dict, np.ndarray]:
    """What was said and how long each part took; the sound."""
    decoder, encoder, snac = models
    began = time.perf_counter()
    with torch.device("cpu"):
        mel = log_mel(clip, encoder.dims["n_mels"])
    mel = mel.to(encoder.adapter[0])
    with torch.inference_mode():
        features = encoder.adapt(encoder.encode(mel)[: n_features(len(clip))])
    features.sum().item()  # a device has only begun
    encoder_s = time.perf_counter() - began
    answer = generate(decoder, TASK, Question(features=features), max_steps)
    frames = frames_of(answer.tokens)
    began = time.perf_counter()
    snac.decode_frames(frames[:CHUNK_FRAMES]).cpu()
    codec_s = time.perf_counter() - began
    steps_until = len(answer.tokens) - 2 + CHUNK_FRAMES  # passes after the prefill, 7 + 4 steps
    said = {
        "tokens": answer.tokens, "ended": answer.ended, "margins": answer.margins,
        "encoder_s": encoder_s, "prefill_s": answer.prefill_s, "steps_s": answer.steps_s,
        "first_audio_s": encoder_s + answer.prefill_s + sum(answer.steps_s[:steps_until]) + codec_s,
    }
    return said, snac.decode_frames(frames).cpu().numpy()


def move(models: tuple[Decoder, AudioEncoder, Snac], device: str) -> None:
    """Puts all weights there; what is made from now on is made there in fp16."""
    decoder, encoder, snac = models
    half = {"device": device, "dtype": torch.float16}
    decoder.state = {name: tensor.to(**half) for name, tensor in decoder.state.items()}
    decoder.table, decoder.head, decoder.cos, decoder.sin = (
        tensor.to(**half) for tensor in (decoder.table, decoder.head, decoder.cos, decoder.sin)
    )
    encoder.state = {name: tensor.to(**half) for name, tensor in encoder.state.items()}
    encoder.adapter = [tensor.to(**half) for tensor in encoder.adapter]
    snac.state = {name: tensor.to(device) for name, tensor in snac.state.items()}
    torch.set_default_device(device)
    torch.set_default_dtype(torch.float16)


def warm(decoder: Decoder) -> None:
    """Reads the mapped weights once, as loading them would, so that no pass waits for the disk."""
    for tensor in decoder.state.values():
        tensor.sum()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What merged windows cost on real weights: cosines of the clip's own features, plan by plan.

    python benches/merged_window.py --whisper tiny.pt base.pt --clips *.wav

In fp32, in numpy: a feature is what Mini-Omni's adapter gets, and it is held against that of the
full window. Clips are wav files in 16 bits at 16 kHz; one second of the first clip and twenty of
all together are added. `from block` says before which block positions are left out: 0 leaves
them out from the start. Tables are in Markdown, for docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mini_omni_export import checkpoint, window
from mini_omni_export.checkpoint import Tensors
from mini_omni_export.config import WhisperConfig, read_whisper_config
from mini_omni_export.window import Hearing, Kept

RATE = 16_000
SAMPLES = 480_000
POSITIONS = 1500
HOP, N_FFT = 160, 400


@dataclass
class Plan:
    """Silence of which one position in `step` is kept, from `from_block` blocks on."""

    step: int
    margin: int
    edge: int
    registers: bool
    from_block: int = 1

    def kept(self, registers: list[int], n_features: int) -> Kept:
        """For a clip."""
        found = set(range(POSITIONS - 1, -1, -self.step))
        found |= set(range(POSITIONS - self.edge, POSITIONS))
        for register in registers if self.registers else []:
            found |= {register - 1, register}
        kept = sorted(position for position in found if position >= 0)
        return Kept.of({"margin": self.margin, "kept": kept}, n_features)


PLANS = [
    Plan(4, 10, 1, False, 0), Plan(4, 50, 50, False, 0), Plan(4, 50, 50, True, 0),
    Plan(4, 50, 50, True), Plan(8, 50, 50, False), Plan(8, 50, 50, True),
    Plan(8, 25, 25, True), Plan(16, 50, 50, True),
]  # fmt: skip


def main() -> None:
    """Prints a table for each checkpoint."""
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--whisper", type=Path, nargs="+", required=True, metavar="FILE")
    args.add_argument("--clips", type=Path, nargs="+", required=True, metavar="FILE")
    given = args.parse_args()
    clips = [read(path) for path in given.clips]
    clips += [clips[0][:RATE], np.concatenate(clips)[: 20 * RATE]]
    for path in given.whisper:
        table(path, clips)


def table(path: Path, clips: list[np.ndarray]) -> None:
    """One row a plan."""
    saved = checkpoint.load(path)
    config = read_whisper_config(saved["dims"], path)
    whisper = Tensors(saved["model_state_dict"], path)
    hearing, registers = Hearing.of(whisper, config), window.registers(whisper, config)
    counts = [len(clip) // 320 + 1 for clip in clips]
    stems = [hearing.stem(log_mel(clip, config)) for clip in clips]
    every = Kept(np.arange(POSITIONS), np.zeros(POSITIONS))
    full = [hear(hearing, x, every, 0)[:n] for x, n in zip(stems, counts)]
    print(f"\n{path.name}, {len(registers)} registers, {len(clips)} clips\n")
    print("| from block | one in | margin | edge | registers | kept of 2 s | mean | worst |")
    print("|---|---|---|---|---|---|---|---|")
    for plan in PLANS:
        found = []
        for x, n, want in zip(stems, counts, full):
            got = hear(hearing, x, plan.kept(registers, n), plan.from_block)[:n]
            found.append(cosine(got, want))
        size = len(plan.kept(registers, 101).positions)
        print(
            f"| {plan.from_block} | {plan.step} | {plan.margin} | {plan.edge} "
            f"| {'kept' if plan.registers else ''} | {size} "
            f"| {np.mean(found):.5f} | {min(found):.5f} |",
            flush=True,
        )


def hear(hearing: Hearing, x: np.ndarray, kept: Kept, from_block: int) -> np.ndarray:
    """Features of the kept positions of stem rows x."""
    if from_block == 0:
        x, every = x[kept.positions], np.arange(len(kept.positions))
        kept = Kept(every, kept.log_counts)
    return hearing.end(hearing.blocks(x, kept, from_block)[-1])


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of all features together, as `mini-omni compare` has it."""
    a, b = a.ravel().astype(float), b.ravel().astype(float)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def read(path: Path) -> np.ndarray:
    """Samples of a wav file."""
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE, 1, 2):
            raise SystemExit(f"{path} is not 16 kHz mono in 16 bits")
        samples = np.frombuffer(file.readframes(SAMPLES), np.int16)
    return samples.astype(np.float32) / 32768


def log_mel(clip: np.ndarray, config: WhisperConfig) -> np.ndarray:
    """Whisper's log-mel of the full window [n_mels, 3000]."""
    padded = np.pad(np.pad(clip, (0, SAMPLES - len(clip))), N_FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[: SAMPLES : HOP][:3000]
    turn = 2 * np.pi * np.arange(N_FFT) / N_FFT
    power = np.abs(np.fft.rfft(frames * (0.5 - 0.5 * np.cos(turn)), axis=1)) ** 2
    mel = np.log10(np.maximum(power @ filters(config.n_mels).T, 1e-10))
    return ((np.maximum(mel, mel.max() - 8) + 4) / 4).astype(np.float32).T


def filters(n_mels: int) -> np.ndarray:
    """Slaney's mel filters [n_mels, 201]."""
    step = np.log(6.4) / 27
    top = 15 + np.log(RATE / 2 / 1000) / step
    mels = np.linspace(0, top, n_mels + 2)
    hertz = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(step * (mels - 15)))
    low, centre, high = (hertz[i : n_mels + i, None] for i in range(3))
    at = np.arange(N_FFT // 2 + 1) * RATE / N_FFT
    slopes = np.minimum((at - low) / (centre - low), (high - at) / (high - centre))
    return np.maximum(slopes, 0) * 2 / (high - low)


if __name__ == "__main__":
    main()

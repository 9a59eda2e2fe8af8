"""Trains the SNAC-shaped codec, in two stages.

A. The encoder and the quantiser learn to keep log-mels (cheap: one position per 512 samples).
B. SNAC's decoder learns to speak from the fixed quantised latents.
"""

import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .clips import Clips, parts
from .loop import Losses, Schedule, Trainer, draw_curves
from .snac import HOPS, MELS, ConvUnit, Level, Snac, SnacConfig, from_frames
from .spectra import codec_mel, spectral_loss

FRAME = 2048
LOUDER = 2.0  # than the answering voice, which speaks at -26 dBFS: answers shall at about -20


class MelDecoder(nn.Module):
    """Latents [b, latent_dim, n] -> log-mel [b, 80, 2n]."""

    def __init__(self, latent_dim: int, width: int = 160, units: int = 3) -> None:
        super().__init__()
        self.start = nn.Conv1d(latent_dim, width, 3, padding=1)
        self.units = nn.Sequential(*(ConvUnit(width) for _ in range(units)))
        self.end = nn.Conv1d(width, MELS * HOPS, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.end(self.units(self.start(x)))
        b, _, n = y.shape
        return y.reshape(b, MELS, HOPS, n).transpose(2, 3).reshape(b, MELS, n * HOPS) * 3 - 4


class Codec(nn.Module):
    """SNAC and what is needed to train it."""

    def __init__(self, config: SnacConfig) -> None:
        super().__init__()
        self.snac = Snac(config)
        self.mel_decoder = MelDecoder(config.latent_dim)
        n = len(config.vq_strides)
        self.register_buffer("uses", torch.ones(n, config.codebook_size))
        with torch.no_grad():
            self.snac.decoder.model[-2].parametrizations.weight.original0.mul_(0.05)

    @torch.inference_mode()
    def say(self, frames: Tensor) -> np.ndarray:
        """frames [n, 7] -> pcm [n x 2048]."""
        return self.snac.decoder(self.snac.quantizer.decode(from_frames(frames)))[0, 0].numpy()

    def save(self, folder: Path) -> None:
        """Writes the codec as published, and all of it as `load` reads it."""
        self.snac.save(folder / "snac")
        torch.save(self.state_dict(), folder / "codec.pt")


class Batches:
    """Random windows of the corpus, one voice, whole frames as they will be encoded."""

    def __init__(self, folder: Path) -> None:
        self.stores = parts(folder)
        self.index = [
            (store, i)
            for store in self.stores
            for i, m in enumerate(store.meta)
            if m["samples"] >= FRAME
        ]

    def draw(self, rng: random.Random, batch: int, frames: int) -> Tensor:
        """[batch, frames x 2048]."""
        return torch.stack([self._window(rng, frames * FRAME) for _ in range(batch)])

    def _window(self, rng: random.Random, n: int) -> Tensor:
        store, i = rng.choice(self.index)
        pcm = torch.from_numpy(store[i])
        if len(pcm) <= n:
            return F.pad(pcm, (0, n - len(pcm)))
        at = rng.randrange((len(pcm) - n) // FRAME + 1) * FRAME
        return pcm[at : at + n]


def _learn(level: Level, z: Tensor, uses: Tensor, restart: bool) -> tuple[Tensor, Tensor]:
    """Moves the level's rows to the mean of what chose them (EMA); dead rows restart."""
    ids = level.nearest(z)
    flat, chosen = z.detach().reshape(-1, z.shape[-1]), ids.reshape(-1)
    rows = level.codebook.weight
    with torch.no_grad():
        counts = torch.zeros(len(rows)).index_add_(0, chosen, torch.ones(len(chosen)))
        sums = torch.zeros_like(rows).index_add_(0, chosen, flat)
        pull = (0.1 * counts / (counts + 2))[:, None]
        mean = sums / counts.clamp(min=1)[:, None]
        rows.copy_(F.normalize(rows * (1 - pull) + mean * pull))
        uses.mul_(0.98).add_(counts)
        dead = (uses < 0.5).nonzero()[:, 0]
        if restart and len(dead):
            rows[dead] = flat[torch.randint(len(flat), (len(dead),))]
            uses[dead] = 2.0
    return level.codebook(ids), ids


def quantise(codec: Codec, x: Tensor, restart: bool) -> tuple[Tensor, Tensor]:
    """latents -> quantised latents (straight through) and the commitment loss."""
    total, commit = torch.zeros_like(x), torch.zeros(())
    residual = x
    for level, uses in zip(codec.snac.quantizer.quantizers, codec.uses):
        z = level.project(residual)
        rows, _ = _learn(level, z, uses, restart)
        rows = rows.detach()
        commit = commit + F.mse_loss(z, rows) * z.shape[-1]
        part = level.latents(z + (rows - z).detach())
        total, residual = total + part, residual - part
    return total, commit


def stage_a(codec: Codec, batches: Batches, folder: Path, schedule: Schedule) -> None:
    """Encoder, quantiser and mel decoder."""
    _only(codec, codec.snac.encoder, codec.mel_decoder, codec.snac.quantizer)
    for level in codec.snac.quantizer.quantizers:
        level.codebook.weight.requires_grad_(False)

    def step(i: int, rng: random.Random) -> tuple[Tensor, Losses]:
        mel = codec_mel(batches.draw(rng, 12, 24))
        restart = i < 0.8 * schedule.steps and i % 10 == 0
        with torch.autocast("cpu", torch.bfloat16):
            encoded = codec.snac.encoder(mel)
        latents, commit = quantise(codec, encoded.float(), restart)
        with torch.autocast("cpu", torch.bfloat16):
            said = codec.mel_decoder(latents)
        distance = F.l1_loss(said.float(), mel)
        used = [float((u > 0.5).sum()) for u in codec.uses]
        named = {f"used{i}": n for i, n in enumerate(used)}
        return distance + 0.1 * commit, {
            "mel": float(distance.detach()), "commit": float(commit.detach()), **named
        }  # fmt: skip

    Trainer(folder, codec, schedule).run(step)


def stage_b(codec: Codec, batches: Batches, folder: Path, schedule: Schedule) -> None:
    """SNAC's decoder on the quantised latents."""
    _only(codec, codec.snac.decoder)

    def step(_: int, rng: random.Random) -> tuple[Tensor, Losses]:
        pcm = batches.draw(rng, 5, 10)
        with torch.no_grad():
            latents = codec.snac.quantizer.decode(codec.snac.encode(pcm))
        said = codec.snac.decoder(latents)[:, 0]
        inner = slice(512, -512)
        return spectral_loss(said[:, inner], LOUDER * pcm[:, inner]), {}

    Trainer(folder, codec, schedule).run(step)


def _only(codec: nn.Module, *trained: nn.Module) -> None:
    codec.requires_grad_(False)
    for module in trained:
        module.requires_grad_(True)


def train(data: Path, folder: Path, stage: str, schedule: Schedule) -> None:
    """Runs one stage on what the stage before left; writes the codec as published."""
    codec, batches = Codec(SnacConfig()), Batches(data)
    if stage == "b":
        codec.load_state_dict(torch.load(folder / "a" / "state.pt", weights_only=True)["model"])
    elif (folder / "codec.pt").exists():  # restored: its decoder has less to learn
        codec = load(folder)
    {"a": stage_a, "b": stage_b}[stage](codec, batches, folder / stage, schedule)
    codec.save(folder)
    draw_curves(folder / stage)


def load(folder: Path) -> Codec:
    """The trained codec with its mel encoder, from `folder`/codec.pt."""
    config = SnacConfig()
    if (folder / "snac" / "config.json").exists():
        config = Snac.load(folder / "snac").config
    codec = Codec(config)
    codec.load_state_dict(torch.load(folder / "codec.pt", weights_only=True))
    return codec.eval()


def round_trip(codec: Codec, clips: Clips, i: int) -> Tensor:
    """A clip through codes and back, [samples]."""
    pcm = torch.from_numpy(clips[i])
    pcm = F.pad(pcm, (0, -len(pcm) % FRAME))
    with torch.inference_mode():
        return codec.snac.decoder(codec.snac.quantizer.decode(codec.snac.encode(pcm[None])))[0, 0]

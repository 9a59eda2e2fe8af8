"""SNAC's network for training, with the published parameter names; but its encoder reads log-mels.

24 kHz PCM -> latents (512 samples each) -> three levels of codes (strides 4, 2, 1) -> PCM. A frame
is 2048 samples: 1 + 2 + 4 = 7 codes. `state_dict()` is the published `pytorch_model.bin`.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from .spectra import codec_mel, mel_filters

MELS = 80
HOPS = 2  # mel frames for a latent
LEVELS = (0, 1, 2, 2, 1, 2, 2)  # the level of each of a frame's seven codes


@dataclass(frozen=True)
class SnacConfig:
    """`config.json` of the published codec, and which encoder it has."""

    encoder: str = "mel"
    sampling_rate: int = 24_000
    encoder_dim: int = 16
    encoder_rates: tuple[int, ...] = (2, 4, 8, 8)
    decoder_dim: int = 128
    decoder_rates: tuple[int, ...] = (8, 8, 4, 2)
    attn_window_size: int | None = None
    codebook_size: int = 1024
    codebook_dim: int = 8
    vq_strides: tuple[int, ...] = (4, 2, 1)
    noise: bool = True
    depthwise: bool = True

    @property
    def latent_dim(self) -> int:
        return self.encoder_dim * 2 ** len(self.encoder_rates)


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha, one alpha a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.sin(self.alpha * x) ** 2 / (self.alpha + 1e-9)


class DepthwiseConv(nn.Conv1d):
    """One filter a channel, as shifts and sums: a quarter faster to train on CPU."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, dilation = self.kernel_size[0], self.dilation[0]
        x = F.pad(x, (self.padding[0], self.padding[0]))
        n = x.shape[-1] - (kernel - 1) * dilation
        total = self.bias[None, :, None] + self.weight[:, 0, 0, None] * x[..., :n]
        for k in range(1, kernel):
            at = k * dilation
            total = total + self.weight[:, 0, k, None] * x[..., at : at + n]
        return total


def conv(a: int, b: int, kernel: int = 1, dilation: int = 1, depthwise: bool = False) -> nn.Module:
    """A weight-normed convolution that keeps the length."""
    kind, groups = (DepthwiseConv, a) if depthwise else (nn.Conv1d, 1)
    padding = (kernel - 1) * dilation // 2
    return weight_norm(kind(a, b, kernel, padding=padding, dilation=dilation, groups=groups))


class ResidualUnit(nn.Module):
    """Snake, k7, snake, 1x1, plus the input."""

    def __init__(self, dim: int, dilation: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            Snake(dim), conv(dim, dim, 7, dilation, depthwise=True), Snake(dim), conv(dim, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class NoiseBlock(nn.Module):
    """x + noise * linear(x), one draw a position; always on."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = weight_norm(nn.Conv1d(dim, dim, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn(x.shape[0], 1, x.shape[2], device=x.device) * self.linear(x)


class ConvUnit(nn.Module):
    """Normed position by position: a sound's latents must not depend on the rest of its clip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, 2 * width, 5, padding=2)
        self.out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return x + self.out(F.glu(self.conv(normed), dim=1))


class MelEncoder(nn.Module):
    """Log-mel [b, 80, 2n] -> latents [b, latent_dim, n]; in the place of SNAC's own encoder, which
    costs a CPU many times as much to train. Its filters lie with the weights, for the export."""

    def __init__(self, latent_dim: int, width: int = 160, units: int = 3) -> None:
        super().__init__()
        self.register_buffer("filters", mel_filters(24_000, 1024, MELS))
        self.start = nn.Conv1d(MELS * HOPS, width, 3, padding=1)
        self.units = nn.Sequential(*(ConvUnit(width) for _ in range(units)))
        self.end = nn.Conv1d(width, latent_dim, 1)

    def forward(self, mel: Tensor) -> Tensor:
        b, m, n = mel.shape
        x = mel.reshape(b, m, n // HOPS, HOPS).transpose(2, 3).reshape(b, m * HOPS, n // HOPS)
        return self.end(self.units(self.start((x + 4) / 3)))


class DecoderBlock(nn.Module):
    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        up = nn.ConvTranspose1d(
            a, b, 2 * stride, stride, padding=(stride + 1) // 2, output_padding=stride % 2
        )
        units = [ResidualUnit(b, d) for d in (1, 3, 9)]
        self.block = nn.Sequential(Snake(a), weight_norm(up), NoiseBlock(b), *units)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class Decoder(nn.Module):
    """latents [b, latent_dim, n] -> pcm [b, 1, 512 n]."""

    def __init__(self, config: SnacConfig) -> None:
        super().__init__()
        latent, dim = config.latent_dim, config.decoder_dim
        layers: list[nn.Module] = [conv(latent, latent, 7, depthwise=True), conv(latent, dim)]
        for stride in config.decoder_rates:
            layers.append(DecoderBlock(dim, dim // 2, stride))
            dim //= 2
        self.model = nn.Sequential(*layers, Snake(dim), conv(dim, 1, 7), nn.Tanh())

    def forward(self, latents: Tensor) -> Tensor:
        return self.model(latents)


class Level(nn.Module):
    """One level of the quantiser: the nearest row by angle in `codebook_dim` dimensions."""

    def __init__(self, config: SnacConfig, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.in_proj = conv(config.latent_dim, config.codebook_dim)
        self.out_proj = conv(config.codebook_dim, config.latent_dim)
        self.codebook = nn.Embedding(config.codebook_size, config.codebook_dim)
        with torch.no_grad():
            self.codebook.weight.copy_(F.normalize(self.codebook.weight))

    def project(self, x: Tensor) -> Tensor:
        """latents [b, d, n] -> unit vectors [b, n / stride, codebook_dim]."""
        x = F.avg_pool1d(x, self.stride, self.stride) if self.stride > 1 else x
        return F.normalize(self.in_proj(x).transpose(1, 2), dim=-1)

    def nearest(self, z: Tensor) -> Tensor:
        """unit vectors [b, n, codebook_dim] -> ids [b, n]."""
        return (z @ F.normalize(self.codebook.weight).T).argmax(-1)

    def latents(self, rows: Tensor) -> Tensor:
        """codebook rows [b, n, codebook_dim] -> their share of the latents, [b, d, n * stride]."""
        return self.out_proj(rows.transpose(1, 2)).repeat_interleave(self.stride, dim=-1)


class Quantizer(nn.Module):
    def __init__(self, config: SnacConfig) -> None:
        super().__init__()
        self.quantizers = nn.ModuleList(Level(config, s) for s in config.vq_strides)

    def encode(self, x: Tensor) -> list[Tensor]:
        """latents [b, d, n], n a multiple of 4 -> ids [b, n / 4], [b, n / 2], [b, n]."""
        codes = []
        for level in self.quantizers:
            codes.append(level.nearest(level.project(x)))
            x = x - level.latents(level.codebook(codes[-1]))
        return codes

    def decode(self, codes: list[Tensor]) -> Tensor:
        """ids of the three levels -> latents [b, d, n]."""
        return sum(level.latents(level.codebook(ids)) for level, ids in zip(self.quantizers, codes))


class Snac(nn.Module):
    """The whole codec."""

    def __init__(self, config: SnacConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = MelEncoder(config.latent_dim)
        self.quantizer = Quantizer(config)
        self.decoder = Decoder(config)

    @torch.no_grad()
    def encode(self, pcm: Tensor) -> list[Tensor]:
        """24 kHz pcm [b, n frames x 2048] -> ids of the three levels."""
        return self.quantizer.encode(self.encoder(codec_mel(pcm)))

    def save(self, folder: Path) -> None:
        """Writes the published layout: config.json and pytorch_model.bin."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(asdict(self.config), indent=2) + "\n")
        torch.save(self.state_dict(), folder / "pytorch_model.bin")

    @classmethod
    def load(cls, folder: Path) -> "Snac":
        """Reads the published layout."""
        read = json.loads((folder / "config.json").read_text())
        config = {k: tuple(v) if isinstance(v, list) else v for k, v in read.items()}
        snac = cls(SnacConfig(**config))
        snac.load_state_dict(torch.load(folder / "pytorch_model.bin", weights_only=True))
        return snac


def to_frames(codes: list[Tensor]) -> Tensor:
    """Codes of one clip, [n], [2n], [4n] -> frames [n, 7] in the order of LEVELS."""
    a, b, c = (ids.reshape(-1, k) for ids, k in zip(codes, (1, 2, 4)))
    return torch.stack([a[:, 0], b[:, 0], c[:, 0], c[:, 1], b[:, 1], c[:, 2], c[:, 3]], dim=1)


def from_frames(frames: Tensor) -> list[Tensor]:
    """frames [n, 7] -> codes [1, n], [1, 2n], [1, 4n]."""
    return [
        frames[:, [i for i, at in enumerate(LEVELS) if at == level]].reshape(1, -1)
        for level in range(3)
    ]

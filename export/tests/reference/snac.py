"""SNAC's decoder and encoder, whole clips at once, as published: zero padding at the clip's ends,
noise in every decoder block where it is given."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = [0, 1, 2, 2, 1, 2, 2]
DILATIONS = [1, 3, 9]


class Snac:
    """The codec in a folder with `config.json` and `pytorch_model.bin` (no attention)."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.state = torch.load(folder / "pytorch_model.bin", weights_only=True)

    @torch.inference_mode()
    def decode(self, codes: list[Tensor], noise: list[Tensor] | None = None) -> Tensor:
        """codes [1, n], [1, 2n], [1, 4n] -> pcm [n x samples per frame]; `noise`: one
        [1, 1, positions] a block, nothing is added without it."""
        x = self._conv("decoder.model.0", self.latents(codes), groups=self._latent_dim)
        x = self._conv("decoder.model.1", x)
        for block, stride in enumerate(self.config["decoder_rates"]):
            drawn = noise[block] if noise else None
            x = self._block(f"decoder.model.{block + 2}.block", x, stride, drawn)
        last = len(self.config["decoder_rates"]) + 2
        x = self._conv(f"decoder.model.{last + 1}", self._snake(f"decoder.model.{last}", x))
        return torch.tanh(x)[0, 0]

    def decode_frames(self, frames: list[list[int]], noise: list[Tensor] | None = None) -> Tensor:
        """frames: n lists of 7 ids -> pcm [n x samples per frame]."""
        if not frames:
            return torch.zeros(0)
        codes = [
            torch.tensor([[f[i] for f in frames for i, at in enumerate(LEVELS) if at == level]])
            for level in range(len(self.config["vq_strides"]))
        ]
        return self.decode(codes, noise)

    def latents(self, codes: list[Tensor]) -> Tensor:
        """Codes of all levels -> [1, latent_dim, positions of the finest level]."""
        return sum(self._chosen(level, ids) for level, ids in enumerate(codes))

    @torch.inference_mode()
    def encode(self, pcm: Tensor) -> list[Tensor]:
        """pcm [samples], a whole number of frames -> codes of each level."""
        x = self._conv("encoder.block.0", pcm[None, None])
        rates = self.config["encoder_rates"]
        for block, stride in enumerate(rates):
            name = f"encoder.block.{block + 1}.block"
            for i, dilation in enumerate(DILATIONS):
                x = self._residual(f"{name}.{i}.block", x, dilation)
            weight, bias = self._weights(f"{name}.4")
            x = self._snake(f"{name}.3", x)
            x = F.conv1d(x, weight, bias, stride=stride, padding=(stride + 1) // 2)
        residual = self._conv(f"encoder.block.{len(rates) + 1}", x, groups=x.shape[1])
        codes = []
        for level, stride in enumerate(self.config["vq_strides"]):
            name = f"quantizer.quantizers.{level}"
            z = F.avg_pool1d(residual, stride, stride) if stride > 1 else residual
            z = F.normalize(self._conv(f"{name}.in_proj", z)[0].T)
            book = F.normalize(self.state[f"{name}.codebook.weight"])
            codes.append(torch.cdist(z, book).argmin(dim=1)[None])
            residual = residual - self._chosen(level, codes[-1])
        return codes

    @property
    def _latent_dim(self) -> int:
        return self.config["encoder_dim"] * 2 ** len(self.config["encoder_rates"])

    def _chosen(self, level: int, ids: Tensor) -> Tensor:
        name, stride = f"quantizer.quantizers.{level}", self.config["vq_strides"][level]
        rows = F.embedding(ids, self.state[f"{name}.codebook.weight"]).transpose(1, 2)
        return self._conv(f"{name}.out_proj", rows).repeat_interleave(stride, dim=-1)

    def _block(self, name: str, x: Tensor, stride: int, noise: Tensor | None) -> Tensor:
        weight, bias = self._weights(f"{name}.1")
        x = F.conv_transpose1d(
            self._snake(f"{name}.0", x), weight, bias,
            stride=stride, padding=(stride + 1) // 2, output_padding=stride % 2,
        )
        if noise is not None:
            x = x + noise * self._conv(f"{name}.2.linear", x)
        for i, dilation in enumerate(DILATIONS):
            x = self._residual(f"{name}.{3 + i}.block", x, dilation)
        return x

    def _residual(self, name: str, x: Tensor, dilation: int) -> Tensor:
        h = self._conv(f"{name}.1", self._snake(f"{name}.0", x), dilation, groups=x.shape[1])
        return x + self._conv(f"{name}.3", self._snake(f"{name}.2", h))

    def _conv(self, name: str, x: Tensor, dilation: int = 1, groups: int = 1) -> Tensor:
        """Of the same length as x."""
        weight, bias = self._weights(name)
        padding = (weight.shape[-1] - 1) * dilation // 2
        return F.conv1d(x, weight, bias, padding=padding, dilation=dilation, groups=groups)

    def _weights(self, name: str) -> tuple[Tensor, Tensor | None]:
        """The weight g v / |v|, under the newer or the older of torch's namings; the bias."""
        newer = f"{name}.parametrizations.weight.original"
        names = [f"{newer}0", f"{newer}1"]
        if names[0] not in self.state:
            names = [f"{name}.weight_g", f"{name}.weight_v"]
        g, v = (self.state[n] for n in names)
        norm = v.flatten(1).norm(dim=1).view(-1, 1, 1)
        return v * (g / norm), self.state.get(f"{name}.bias")

    def _snake(self, name: str, x: Tensor) -> Tensor:
        alpha = self.state[f"{name}.alpha"]
        return x + torch.sin(alpha * x) ** 2 / (alpha + 1e-9)

"""The codec, SNAC: three levels of codes to sound and back, in plain torch.

Layers as the published `pytorch_model.bin` names them. Weight norm is stored as g and v, under the
newer or the older names.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

DILATIONS = (1, 3, 9)  # of the three residual units in each block


class Snac:
    """Encoder and decoder of one SNAC checkpoint without attention."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        file = folder / "pytorch_model.bin"
        self.weights = torch.load(file, map_location="cpu", weights_only=True)

    def _weight(self, name: str) -> Tensor:
        """v scaled to length g, by output channel."""
        new = f"{name}.parametrizations.weight.original"
        if f"{new}0" in self.weights:
            g, v = self.weights[f"{new}0"], self.weights[f"{new}1"]
        else:
            g, v = self.weights[f"{name}.weight_g"], self.weights[f"{name}.weight_v"]
        return v * (g / v.flatten(1).norm(dim=1)[:, None, None])

    def _conv(self, x: Tensor, name: str, **how) -> Tensor:
        """A convolution; one input channel a filter means depthwise."""
        weight = self._weight(name)
        groups = x.shape[1] // weight.shape[1]
        return F.conv1d(x, weight, self.weights.get(f"{name}.bias"), groups=groups, **how)

    def _snake(self, x: Tensor, name: str) -> Tensor:
        alpha = self.weights[f"{name}.alpha"]
        return x + (alpha * x).sin().square() / (alpha + 1e-9)

    def _residual(self, x: Tensor, name: str, dilation: int) -> Tensor:
        block = f"{name}.block"
        y = self._snake(x, f"{block}.0")
        y = self._conv(y, f"{block}.1", dilation=dilation, padding=3 * dilation)
        return x + self._conv(self._snake(y, f"{block}.2"), f"{block}.3")

    def _upsample(self, x: Tensor, name: str, stride: int) -> Tensor:
        weight, bias = self._weight(name), self.weights[f"{name}.bias"]
        padding, extra = (stride + 1) // 2, stride % 2
        return F.conv_transpose1d(x, weight, bias, stride, padding, extra)

    def _from_codes(self, codes: list[Tensor]) -> Tensor:
        """codes [1, n * ratio] by level -> the sum of the levels' latents, [1, latent, n * 4]."""
        latents = 0
        for level, (ids, stride) in enumerate(zip(codes, self.config["vq_strides"])):
            name = f"quantizer.quantizers.{level}"
            rows = self.weights[f"{name}.codebook.weight"][ids].transpose(1, 2)
            latents = latents + self._conv(rows, f"{name}.out_proj").repeat_interleave(stride, -1)
        return latents

    def decode(self, codes: list[Tensor], noise: list[Tensor] | None = None) -> Tensor:
        """codes [1, n * ratio] by level -> pcm [samples]; noise [1, 1, T] by block, none is zero."""
        x = self._conv(self._from_codes(codes), "decoder.model.0", padding=3)
        at = 1
        if self.config["depthwise"]:  # the first layer is a depthwise and a pointwise one
            x, at = self._conv(x, "decoder.model.1"), 2
        for block, stride in enumerate(self.config["decoder_rates"]):
            name = f"decoder.model.{at + block}.block"
            x = self._upsample(self._snake(x, f"{name}.0"), f"{name}.1", stride)
            if noise is not None:
                x = x + noise[block] * self._conv(x, f"{name}.2.linear")
            unit = 3 if self.config["noise"] else 2
            for i, dilation in enumerate(DILATIONS):
                x = self._residual(x, f"{name}.{unit + i}", dilation)
        at += len(self.config["decoder_rates"])
        x = self._conv(self._snake(x, f"decoder.model.{at}"), f"decoder.model.{at + 1}", padding=3)
        return x.tanh()[0, 0]

    def encode(self, pcm: Tensor) -> list[Tensor]:
        """pcm [samples], a multiple of a frame -> codes [1, n * ratio] by level."""
        x = self._conv(pcm[None, None], "encoder.block.0", padding=3)
        for block, stride in enumerate(self.config["encoder_rates"], 1):
            name = f"encoder.block.{block}.block"
            for i, dilation in enumerate(DILATIONS):
                x = self._residual(x, f"{name}.{i}", dilation)
            x = self._snake(x, f"{name}.3")
            x = self._conv(x, f"{name}.4", stride=stride, padding=(stride + 1) // 2)
        x = self._conv(x, f"encoder.block.{len(self.config['encoder_rates']) + 1}", padding=3)
        return self._to_codes(x)

    def _to_codes(self, latents: Tensor) -> list[Tensor]:
        """Level by level the nearest code by angle; what it leaves goes on to the next level."""
        codes = []
        for level, stride in enumerate(self.config["vq_strides"]):
            name = f"quantizer.quantizers.{level}"
            book = self.weights[f"{name}.codebook.weight"]
            z = self._conv(F.avg_pool1d(latents, stride), f"{name}.in_proj")
            angles = F.normalize(book, dim=1) @ F.normalize(z, dim=1)  # [1, codebook, time]
            ids = angles.argmax(1)
            found = self._conv(book[ids].transpose(1, 2), f"{name}.out_proj")
            latents = latents - found.repeat_interleave(stride, -1)
            codes.append(ids)
        return codes

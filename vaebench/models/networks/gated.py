"""Gated fully connected encoder and decoder (Tomczak & Welling 2018): each layer is its own multiplicative gate."""

import itertools

import torch
from torch import Tensor, nn

from vaebench.data.dataset import Shape
from vaebench.models.networks.trunk import Decoder, Trunk, initialised


class GatedLayer(nn.Module):
    """h = (W x + b) ⊙ sigmoid(V x + c)"""

    def __init__(self, inputs: int, outputs: int, initialisation: str) -> None:
        super().__init__()
        self.value = initialised(nn.Linear(inputs, outputs), initialisation)
        self.gate = initialised(nn.Linear(inputs, outputs), initialisation)

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = self.value(x) * torch.sigmoid(self.gate(x))
        return gated


class Gated:
    """Gated layers of the given widths; the decoder mirrors the encoder."""

    def __init__(self, hidden: list[int], initialisation: str) -> None:
        self.hidden = hidden
        self.initialisation = initialisation

    def encoder(self, shape: Shape, beside: int = 0) -> Trunk:
        return Trunk(self._body([shape.pixels + beside, *self.hidden]), self.hidden[-1], self.initialisation)

    def decoder(self, latent: int, shape: Shape) -> Decoder:
        body = self._body([latent, *reversed(self.hidden)])
        return Decoder(body, self.hidden[0], self.initialisation, shape)

    def _body(self, widths: list[int]) -> nn.Module:
        return nn.Sequential(*(GatedLayer(*pair, self.initialisation) for pair in itertools.pairwise(widths)))

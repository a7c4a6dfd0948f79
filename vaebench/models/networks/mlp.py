"""Fully connected encoder and decoder."""

import itertools

from torch import nn

from vaebench.data.dataset import Shape
from vaebench.models.networks.trunk import ACTIVATIONS, Decoder, Trunk, initialised


class Mlp:
    """Hidden layers of the given widths, an activation after each; the decoder mirrors the encoder."""

    def __init__(self, hidden: list[int], activation: str, initialisation: str) -> None:
        self.hidden = hidden
        self.activation = ACTIVATIONS[activation]
        self.initialisation = initialisation

    def encoder(self, shape: Shape, beside: int = 0) -> Trunk:
        return Trunk(self._body([shape.pixels + beside, *self.hidden]), self.hidden[-1], self.initialisation)

    def decoder(self, latent: int, shape: Shape) -> Decoder:
        body = self._body([latent, *reversed(self.hidden)])
        return Decoder(body, self.hidden[0], self.initialisation, shape)

    def _body(self, widths: list[int]) -> nn.Module:
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(widths):
            layers += [initialised(nn.Linear(inputs, outputs), self.initialisation), self.activation()]
        return nn.Sequential(*layers)

"""Fully connected encoder and decoder."""

import itertools

from torch import nn

from vaebench.models.networks.trunk import ACTIVATIONS, Trunk, dense


class Mlp:
    """Hidden layers of the given widths, an activation after each; the decoder mirrors the encoder."""

    def __init__(self, hidden: list[int], activation: str, initialisation: str) -> None:
        self.hidden = hidden
        self.activation = ACTIVATIONS[activation]
        self.initialisation = initialisation

    def encoder(self, pixels: int) -> Trunk:
        return self._trunk([pixels, *self.hidden])

    def decoder(self, latent: int) -> Trunk:
        return self._trunk([latent, *reversed(self.hidden)])

    def _trunk(self, widths: list[int]) -> Trunk:
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(widths):
            layers += [dense(inputs, outputs, self.initialisation), self.activation()]
        return Trunk(nn.Sequential(*layers), widths[-1], self.initialisation)

"""No hidden layer: the heads read x and z directly."""

from torch import nn

from vaebench.models.networks.trunk import Trunk


class Linear:
    def __init__(self, initialisation: str) -> None:
        self.initialisation = initialisation

    def encoder(self, pixels: int) -> Trunk:
        return Trunk(nn.Identity(), pixels, self.initialisation)

    def decoder(self, latent: int) -> Trunk:
        return Trunk(nn.Identity(), latent, self.initialisation)

"""No hidden layer: the heads read x and z directly."""

from torch import nn

from vaebench.data.dataset import Shape
from vaebench.models.networks.trunk import Decoder, Trunk


class Linear:
    def __init__(self, initialisation: str) -> None:
        self.initialisation = initialisation

    def encoder(self, shape: Shape, beside: int = 0) -> Trunk:
        return Trunk(nn.Identity(), shape.pixels + beside, self.initialisation)

    def decoder(self, latent: int, shape: Shape) -> Decoder:
        return Decoder(nn.Identity(), latent, self.initialisation, shape)

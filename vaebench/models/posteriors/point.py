"""z = f(x): the deterministic code of an autoencoder"""

from torch import Tensor, nn

from vaebench.models.networks.trunk import Trunk
from vaebench.models.point import Point


class PointCode(nn.Module):
    """The head gives f."""

    noise_size = 0

    def __init__(self, encoder: Trunk, latent: int) -> None:
        super().__init__()
        self.code = encoder.vector_head(latent)

    def forward(self, features: Tensor) -> Point:
        return Point(self.code(features))

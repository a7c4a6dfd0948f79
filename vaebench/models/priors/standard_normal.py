"""p(z) = N(0, I)"""

import torch
from torch import Tensor, nn

from vaebench.models.distributions import DiagonalNormal


class StandardNormal(nn.Module):
    loc: Tensor
    scale: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(latent), persistent=False)
        self.register_buffer("scale", torch.ones(latent), persistent=False)

    def forward(self) -> DiagonalNormal:
        return DiagonalNormal(self.loc, self.scale)

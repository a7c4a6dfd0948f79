"""p(z) = N(0, I)"""

import torch
from torch import Tensor, nn

from vaebench.data.dataset import Shape
from vaebench.models.distributions import DiagonalNormal
from vaebench.models.priors.posterior_map import PosteriorMap


class StandardNormal(nn.Module):
    loc: Tensor
    scale: Tensor

    def __init__(self, latent: int, shape: Shape | None = None) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(latent), persistent=False)
        self.register_buffer("scale", torch.ones(latent), persistent=False)

    def forward(self, posterior: PosteriorMap | None = None) -> DiagonalNormal:
        return DiagonalNormal(self.loc, self.scale)

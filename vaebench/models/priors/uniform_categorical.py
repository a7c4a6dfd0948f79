"""p(c) = 1/K for each one-hot c"""

import torch
from torch import Tensor, nn

from vaebench.data.dataset import Shape
from vaebench.models.mixed import OneHot
from vaebench.models.priors.posterior_map import PosteriorMap


class UniformCategorical(nn.Module):
    logits: Tensor

    def __init__(self, latent: int, shape: Shape | None = None) -> None:
        super().__init__()
        self.register_buffer("logits", torch.zeros(latent), persistent=False)

    def forward(self, posterior: PosteriorMap | None = None) -> OneHot:
        return OneHot(self.logits)

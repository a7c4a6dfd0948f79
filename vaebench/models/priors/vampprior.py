"""p(z) = 1/C Σ_c q(z|u_c): a mixture of the model's own posteriors at learned pseudo-inputs (Tomczak & Welling 2018)"""

import torch
from torch import nn

from vaebench.data.dataset import Shape
from vaebench.models.mixtures import EqualMixture
from vaebench.models.priors.posterior_map import PosteriorMap


class VampPrior(nn.Module):
    """The pseudo-inputs u_c start uniform on [0, 1] and are free real numbers: nothing keeps them to the range of x."""

    def __init__(self, latent: int, shape: Shape, components: int) -> None:
        super().__init__()
        self.pseudo_inputs = nn.Parameter(torch.rand(components, shape.pixels))

    def forward(self, posterior: PosteriorMap) -> EqualMixture:
        return EqualMixture(posterior(self.pseudo_inputs))

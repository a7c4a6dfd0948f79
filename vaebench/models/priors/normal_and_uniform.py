"""p(z, c) = N(z; 0, I) · 1/K, c one-hot"""

from torch import nn

from vaebench.data.dataset import Shape
from vaebench.models.mixed import GaussianAndOneHot
from vaebench.models.priors.posterior_map import PosteriorMap
from vaebench.models.priors.standard_normal import StandardNormal
from vaebench.models.priors.uniform_categorical import UniformCategorical


class NormalAndUniform(nn.Module):
    """Of the latents the last `categories` are the one-hot code."""

    def __init__(self, latent: int, shape: Shape | None = None, *, categories: int) -> None:
        super().__init__()
        self.normal = StandardNormal(latent - categories)
        self.uniform = UniformCategorical(categories)

    def forward(self, posterior: PosteriorMap | None = None) -> GaussianAndOneHot:
        return GaussianAndOneHot(self.normal(), self.uniform())

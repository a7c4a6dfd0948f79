"""q(z, c|x) = N(z; μ(x), diag(σ(x)²)) q(c|x), c one-hot (Serdega 2019, §4.3.2)"""

from torch import Tensor, nn

from vaebench.models.mixed import GaussianAndOneHot
from vaebench.models.networks.trunk import Trunk
from vaebench.models.posteriors.categorical import CategoricalCode
from vaebench.models.posteriors.diagonal_gaussian import DiagonalGaussian


class JointCode(nn.Module):
    """Of the latents the last `categories` are the one-hot code, those before it are Gaussian."""

    def __init__(
        self, encoder: Trunk, latent: int, categories: int, temperature: float, final_temperature: float
    ) -> None:
        super().__init__()
        self.noise_size = latent
        self.gaussian = DiagonalGaussian(encoder, latent - categories)
        self.category = CategoricalCode(encoder, categories, temperature, final_temperature)

    def forward(self, features: Tensor) -> GaussianAndOneHot:
        return GaussianAndOneHot(self.gaussian(features), self.category(features))

"""q(z|x) = N(μ(x), diag(σ(x)²))"""

from torch import Tensor, nn

from vaebench.models.distributions import DiagonalNormal
from vaebench.models.networks.trunk import Trunk


class DiagonalGaussian(nn.Module):
    """The head gives μ and ln σ."""

    def __init__(self, encoder: Trunk, latent: int) -> None:
        super().__init__()
        self.noise_size = latent
        self.mean_and_log_scale = encoder.vector_head(2 * latent)

    def forward(self, features: Tensor) -> DiagonalNormal:
        mean, log_scale = self.mean_and_log_scale(features).chunk(2, dim=-1)
        return DiagonalNormal(mean, log_scale.exp())

"""q(z|x) = N(μ(x), diag(σ(x)²))"""

import math

from torch import Tensor, nn

from vaebench.models.distributions import DiagonalNormal
from vaebench.models.networks.trunk import Trunk


class DiagonalGaussian(nn.Module):
    """The head gives μ and ln σ; 2 ln σ is cut off at either end that is given (Tomczak & Welling 2018)."""

    def __init__(
        self,
        encoder: Trunk,
        latent: int,
        least_log_variance: float | None = None,
        most_log_variance: float | None = None,
    ) -> None:
        super().__init__()
        self.noise_size = latent
        self.least = -math.inf if least_log_variance is None else least_log_variance / 2
        self.most = math.inf if most_log_variance is None else most_log_variance / 2
        self.mean_and_log_scale = encoder.vector_head(2 * latent)

    def forward(self, features: Tensor) -> DiagonalNormal:
        mean, log_scale = self.mean_and_log_scale(features).chunk(2, dim=-1)
        if math.isfinite(self.least) or math.isfinite(self.most):
            log_scale = log_scale.clamp(self.least, self.most)
        return DiagonalNormal(mean, log_scale.exp())

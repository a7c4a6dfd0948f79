"""q(z|x) = N(f(x), σ_f² I), σ_f given: one of the two approximate couplings of the notes on autoencoders and VAEs.

With p(x|z) = N(g(z), σ_g² I) and p(z) = N(0, I), minus the ELBO is, up to a constant,

    E_{ξ ~ N(0, I)} ‖x − g(f(x) + σ_f ξ)‖²/(2 σ_g²) + ½ ‖f(x)‖²,

and the constant is (pixels/2) ln 2πσ_g² + (latents/2) (σ_f² − 1 − ln σ_f²).
"""

import torch
from torch import Tensor, nn

from vaebench.models.distributions import DiagonalNormal
from vaebench.models.networks.trunk import Trunk


class ConstantVariance(nn.Module):
    """The head gives f."""

    sigma: Tensor

    def __init__(self, encoder: Trunk, latent: int, sigma: float) -> None:
        super().__init__()
        self.noise_size = latent
        self.mean = encoder.vector_head(latent)
        self.register_buffer("sigma", torch.tensor(float(sigma)))

    def forward(self, features: Tensor) -> DiagonalNormal:
        mean = self.mean(features)
        return DiagonalNormal(mean, self.sigma.expand_as(mean))

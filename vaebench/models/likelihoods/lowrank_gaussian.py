"""p(x|z) = N(x; μ(z), W(z) W(z)ᵀ + diag(σ(z)²)): pixels that depend on each other through a few factors u.

The head gives W = diag(σ) A, a pixel's row in units of its σ: the rows of pixels that are always black shrink with σ,
where free ones keep the size they started with and draws are noise there.

x = μ + W u + σ ε with u, ε ~ N(0, I). torch's LowRankMultivariateNormal factorises its r × r matrix in the precision
of its arguments and raises where that fails, as it does in float32 once σ nears its floor; here it is float64.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from vaebench.models.distributions import DiagonalNormal, FullNormal
from vaebench.models.drawn import Drawn
from vaebench.models.networks.trunk import Decoder


class LowRankNormal(Drawn):
    """N(loc, W Wᵀ + diag(scale²)); loc, scale: (…, pixel); factors W: (…, pixel, rank)."""

    def __init__(self, loc: Tensor, factors: Tensor, scale: Tensor) -> None:
        super().__init__(loc.shape[:-1], loc.shape[-1])
        self.loc, self.factors, self.scale = loc, factors, scale
        self.rank = factors.shape[-1]
        self.noise_size = self.rank + loc.shape[-1]

    @property
    def dtype(self) -> torch.dtype:
        return self.loc.dtype

    @property
    def device(self) -> torch.device:
        return self.loc.device

    @property
    def mean(self) -> Tensor:
        return self.loc

    def from_noise(self, noise: Tensor) -> Tensor:
        """x = μ + W u + σ ε"""
        return self.conditional(noise[..., : self.rank]).from_noise(noise[..., self.rank :])

    def conditional(self, u: Tensor) -> DiagonalNormal:
        """p(x|z, u) = N(μ + W u, diag(σ²)): given its factors, the pixels are independent."""
        return DiagonalNormal(self.loc + (self.factors @ u.unsqueeze(-1)).squeeze(-1), self.scale)

    def factor_posterior(self, value: Tensor, spread: Tensor | None = None) -> FullNormal:
        """p(u|x, z) = N(C⁻¹ Wᵀ D⁻¹ (x − μ), C⁻¹), C = I + Wᵀ D⁻¹ W, D = diag(σ² + spread); in float64.

        `spread` is the variance of x about `value` where x is known only to lie near it; infinite: it is unknown.
        """
        exact = self._double()
        variance = exact.scale.square() if spread is None else exact.scale.square() + spread
        weighted = exact.factors / variance.unsqueeze(-1)
        identity = torch.eye(self.rank, dtype=weighted.dtype, device=weighted.device)
        scale_tril = _inverse_factor(identity + weighted.mT @ exact.factors)
        projected = scale_tril.mT @ (weighted.mT @ (value - exact.loc).unsqueeze(-1))
        return FullNormal((scale_tril @ projected).squeeze(-1), scale_tril)

    def log_prob(self, value: Tensor) -> Tensor:
        """ln p(x|z) = ln p(x|z, u) + ln p(u) − ln p(u|x, z), the same for every u; taken at the posterior's mean, where
        the quadratic form is a sum of squares and nothing cancels."""
        posterior = self.factor_posterior(value)
        u = posterior.loc
        log_density = self._double().conditional(u).log_prob(value) + log_prior(u) - posterior.log_prob(u)
        return log_density.to(self.loc.dtype)

    def _double(self) -> "LowRankNormal":
        return LowRankNormal(self.loc.double(), self.factors.double(), self.scale.double())


class LowRankGaussian(nn.Module):
    """μ_d(z), σ_d(z) = floor + softplus(s_d(z)), and W(z) = diag(σ(z)) A(z) of `rank` columns."""

    def __init__(self, decoder: Decoder, rank: int, sigma_floor: float) -> None:
        super().__init__()
        self.maps = decoder.pixel_head(2 + rank)
        self.sigma_floor = sigma_floor

    def forward(self, features: Tensor) -> LowRankNormal:
        maps = self.maps(features)
        scale = self.sigma_floor + softplus(maps[..., 1, :])
        return LowRankNormal(maps[..., 0, :], scale.unsqueeze(-1) * maps[..., 2:, :].mT, scale)


def log_prior(u: Tensor) -> Tensor:
    """ln N(u; 0, I), summed over the factors"""
    return DiagonalNormal(torch.zeros_like(u), torch.ones_like(u)).log_prob(u)


def _inverse_factor(precision: Tensor) -> Tensor:
    """Lower triangular L with L Lᵀ = C⁻¹: C = U Uᵀ with U upper triangular, L = U⁻ᵀ.

    `cholesky_ex` does not ask the device whether it failed; what is not finite reaches the loss, where it is seen.
    """
    upper = torch.linalg.cholesky_ex(precision.flip(-2, -1))[0].flip(-2, -1)
    identity = torch.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    return torch.linalg.solve_triangular(upper.mT, identity, upper=False)

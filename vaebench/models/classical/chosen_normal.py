"""A normal that a one-hot code chooses among several with full covariances."""

import torch
from torch import Tensor

from vaebench.models.distributions import FullNormal
from vaebench.models.drawn import Drawn


class ChosenNormal(Drawn):
    """N(μ_k, L_k L_kᵀ) where the code is e_k. One component at a time, so that no image has a covariance of its own.

    code: (…, component), one-hot; means: (component, pixel); factors L: (component, pixel, pixel).
    """

    def __init__(self, code: Tensor, means: Tensor, factors: Tensor) -> None:
        super().__init__(code.shape[:-1], means.shape[-1])
        self.noise_size = means.shape[-1]
        self.code, self.means, self.factors = code, means, factors

    @property
    def dtype(self) -> torch.dtype:
        return self.means.dtype

    @property
    def device(self) -> torch.device:
        return self.means.device

    @property
    def mean(self) -> Tensor:
        return self.code @ self.means

    @property
    def variance(self) -> Tensor:
        return self.code @ self.factors.square().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Σ_k z_k ln N(x; μ_k, L_k L_kᵀ)"""
        components = zip(self.means, self.factors, strict=True)
        log_densities = torch.stack([FullNormal(*component).log_prob(value) for component in components], dim=-1)
        return (self.code * log_densities).sum(-1)

    def from_noise(self, noise: Tensor) -> Tensor:
        """x = Σ_k z_k (μ_k + L_k ε)"""
        drawn = self.mean.expand(noise.shape)
        for k, factor in enumerate(self.factors):
            drawn = drawn + self.code[..., k, None] * (noise @ factor.mT)
        return drawn

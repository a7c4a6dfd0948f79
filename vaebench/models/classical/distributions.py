"""Distributions of the classical models: a category as a one-hot code, a point, a normal chosen by a category."""

import torch
from torch import Tensor
from torch.distributions import Distribution, OneHotCategorical
from torch.nn.functional import one_hot

from vaebench.data.streams import Law
from vaebench.models.distributions import FullNormal


class OneHot(OneHotCategorical):
    """p(z = e_k) ∝ exp(logits_k)."""

    noise_law: Law = "uniform"
    noise_size = 1

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits=logits, validate_args=False)

    @property
    def loc(self) -> Tensor:
        """E[z] = (p_1, …, p_K)"""
        return self.probs

    def from_noise(self, noise: Tensor) -> Tensor:
        """The category k with p_1 + … + p_{k−1} ≤ u < p_1 + … + p_k; noise: (…, 1)"""
        category = (noise >= self.probs.cumsum(-1)).sum(-1).clamp_max(self.event_shape[0] - 1)
        return one_hot(category, self.event_shape[0]).to(noise.dtype)


class Point(Distribution):
    """All mass at one value: a mean and draws, and no density."""

    arg_constraints = {}  # noqa: RUF012
    noise_law: Law = "uniform"
    noise_size = 0

    def __init__(self, value: Tensor) -> None:
        super().__init__(value.shape[:-1], value.shape[-1:], validate_args=False)
        self.loc = value

    @property
    def mean(self) -> Tensor:
        return self.loc

    def from_noise(self, noise: Tensor) -> Tensor:
        """The value, whatever the noise; noise: (draw, …, 0)"""
        return self.loc.expand(*noise.shape[:-1], -1)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        return self.loc.expand(*sample_shape, *self.loc.shape)


class ChosenNormal(Distribution):
    """N(μ_k, L_k L_kᵀ) where the code is e_k. One component at a time, so that no image has a covariance of its own.

    code: (…, component), one-hot; means: (component, pixel); factors L: (component, pixel, pixel).
    """

    arg_constraints = {}  # noqa: RUF012
    noise_law: Law = "normal"

    def __init__(self, code: Tensor, means: Tensor, factors: Tensor) -> None:
        super().__init__(code.shape[:-1], means.shape[-1:], validate_args=False)
        self.code, self.means, self.factors = code, means, factors

    @property
    def noise_size(self) -> int:
        return int(self.event_shape[0])

    @property
    def loc(self) -> Tensor:
        return self.code @ self.means

    @property
    def mean(self) -> Tensor:
        return self.loc

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
        coloured = (self.code[..., k, None] * (noise @ factor.mT) for k, factor in enumerate(self.factors))
        return self.loc + torch.stack(list(coloured)).sum(0)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        shape = self._extended_shape(sample_shape)
        return self.from_noise(torch.randn(shape, dtype=self.means.dtype, device=self.means.device))

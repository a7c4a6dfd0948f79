"""Gaussian mixture: p(z = k) = π_k and p(x|z = k) = N(x; μ_k, Σ_k), the component z as a one-hot code."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaebench.models.classical.chosen_normal import ChosenNormal
from vaebench.models.distributions import DiagonalNormal, FullNormal
from vaebench.models.mixed import OneHot

BLOCK_NUMBERS = 1 << 18
"""Pixels that meet a component at once, so that what is computed of them stays in the cache."""


class GaussianMixture(nn.Module, ABC):
    """A mixture of normals; its posterior and its ln p(x) are exact."""

    def __init__(self, pixels: int, components: int) -> None:
        super().__init__()
        self.log_weights = nn.Parameter(torch.full((components,), -math.log(components)))
        self.means = nn.Parameter(torch.zeros(components, pixels))

    @abstractmethod
    def component(self, k: int) -> Distribution:
        """p(x|z = k)"""

    @abstractmethod
    def likelihood(self, z: Tensor) -> Distribution:
        """p(x|z), z one-hot; (…, component)"""

    def prior(self) -> OneHot:
        return OneHot(self.log_weights)

    def posterior(self, x: Tensor) -> OneHot:
        """p(z = k|x) = π_k N(x; μ_k, Σ_k) / Σ_j π_j N(x; μ_j, Σ_j)"""
        return OneHot(self.joint_log_prob(x))

    def joint_log_prob(self, x: Tensor) -> Tensor:
        """ln π_k + ln N(x; μ_k, Σ_k); (image, component)"""
        blocks = x.split(max(1, BLOCK_NUMBERS // x.shape[-1]))
        return self.log_weights.log_softmax(-1) + torch.cat([self.component_log_prob(block) for block in blocks])

    def component_log_prob(self, x: Tensor) -> Tensor:
        """ln N(x; μ_k, Σ_k); (image, component)"""
        return torch.stack([self.component(k).log_prob(x) for k in range(len(self.means))], dim=-1)

    def log_prob(self, x: Tensor) -> Tensor:
        """ln Σ_k π_k N(x; μ_k, Σ_k); (image,), exact."""
        return self.joint_log_prob(x).logsumexp(-1)

    def sample(self, count: int) -> Tensor:
        """(image, pixel)"""
        drawn: Tensor = self.likelihood(self.prior().sample(torch.Size([count]))).sample()
        return drawn


class DiagonalMixture(GaussianMixture):
    """Σ_k = diag(σ_k²)"""

    def __init__(self, pixels: int, components: int) -> None:
        super().__init__(pixels, components)
        self.sigma = nn.Parameter(torch.ones(components, pixels))

    def component(self, k: int) -> DiagonalNormal:
        return DiagonalNormal(self.means[k], self.sigma[k])

    def component_log_prob(self, x: Tensor) -> Tensor:
        """−½ Σ_d [(x_d² − 2 x_d μ_kd + μ_kd²)/σ_kd² + 2 ln σ_kd + ln 2π], all components in two matrix products.

        In float64: the squares cancel where σ is small.
        """
        wide, means, precisions = x.double(), self.means.double(), self.sigma.double() ** -2
        squares = wide.square() @ precisions.mT - 2 * wide @ (means * precisions).mT
        constants = (means.square() * precisions - precisions.log() + math.log(2 * math.pi)).sum(-1)
        return (-0.5 * (squares + constants)).to(x.dtype)

    def likelihood(self, z: Tensor) -> DiagonalNormal:
        return DiagonalNormal(z @ self.means, z @ self.sigma)


class FullMixture(GaussianMixture):
    """Σ_k = L_k L_kᵀ, L_k lower triangular and kept row by row."""

    def __init__(self, pixels: int, components: int) -> None:
        super().__init__(pixels, components)
        self.packed = nn.Parameter(torch.eye(pixels)[self._triangle(pixels)].repeat(components, 1))

    def factor(self, k: int) -> Tensor:
        """L_k; (pixel, pixel)"""
        pixels = self.means.shape[-1]
        factor = self.packed.new_zeros(pixels, pixels)
        return factor.index_put(self._triangle(pixels), self.packed[k])

    def set_factor(self, k: int, factor: Tensor) -> None:
        self.packed[k] = factor[self._triangle(len(factor))]

    def component(self, k: int) -> FullNormal:
        return FullNormal(self.means[k], self.factor(k))

    def likelihood(self, z: Tensor) -> ChosenNormal:
        return ChosenNormal(z, self.means, torch.stack([self.factor(k) for k in range(len(self.means))]))

    def _triangle(self, pixels: int) -> tuple[Tensor, Tensor]:
        rows, columns = torch.tril_indices(pixels, pixels)
        return rows, columns

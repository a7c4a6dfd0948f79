"""Codes with a category: one-hot vectors, alone or behind Gaussian latents.

In training a draw is relaxed to a point inside the simplex, so that it carries a gradient (Gumbel-Softmax: Jang et
al. 2017; Serdega 2019, eq. 4.20). Everything else, densities, means, divergences, is that of the discrete code.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.kl import register_kl
from torch.nn.functional import log_softmax, one_hot

from vaebench.models.distributions import DiagonalNormal, kl_by_latent
from vaebench.models.drawn import Drawn


def gumbel(noise: Tensor) -> Tensor:
    """−ln(−ln Φ(n)) of standard normals n: Gumbel(0, 1). The smaller tail is used, so float32 keeps its digits."""
    tail = 0.5 * torch.erfc(noise.abs() * math.sqrt(0.5))
    return -torch.log(torch.where(noise > 0, -torch.log1p(-tail), -torch.log(tail)))


class Temperatures(NamedTuple):
    """Of relaxed draws, while training goes on."""

    initial: Tensor
    final: Tensor

    def at(self, progress: Tensor | float) -> Tensor:
        """τ = initial^(1 − p) · final^p, p the share of the steps that is done"""
        temperature: Tensor = self.initial ** (1.0 - progress) * self.final**progress
        return temperature


class OneHot(Drawn):
    """q(c) over K categories, c one-hot; `from_noise` is exact, or relaxed where there are temperatures."""

    def __init__(
        self, logits: Tensor, temperatures: Temperatures | None = None, progress: Tensor | float = 1.0
    ) -> None:
        super().__init__(logits.shape[:-1], logits.shape[-1])
        self.log_probs = log_softmax(logits, dim=-1)
        self.temperatures, self.progress = temperatures, progress
        self.noise_size = int(logits.shape[-1])

    @property
    def dtype(self) -> torch.dtype:
        return self.log_probs.dtype

    @property
    def device(self) -> torch.device:
        return self.log_probs.device

    @property
    def mean(self) -> Tensor:
        """Π(x), the probabilities."""
        return self.log_probs.exp()

    def log_prob(self, value: Tensor) -> Tensor:
        """Σ_k c_k ln π_k"""
        return (value * self.log_probs).sum(-1)

    def entropy(self) -> Tensor:
        """−Σ_k π_k ln π_k"""
        return -(self.mean * self.log_probs).sum(-1)

    def from_noise(self, noise: Tensor) -> Tensor:
        """g = gumbel(n): 1[k = argmax_j ln π_j + g_j], or softmax((ln π + g)/τ)"""
        perturbed = self.log_probs + gumbel(noise)
        if self.temperatures is None:
            return one_hot(perturbed.argmax(-1), self.noise_size).to(perturbed.dtype)
        return torch.softmax(perturbed / self.temperatures.at(self.progress), dim=-1)

    def at(self, progress: Tensor) -> "OneHot":
        """The same, its draws at the temperature of another share of the steps."""
        return OneHot(self.log_probs, self.temperatures, progress)

    def discrete(self) -> "OneHot":
        """The same with one-hot draws."""
        return OneHot(self.log_probs)


class GaussianAndOneHot(Drawn):
    """q(z, c) = N(z; μ, diag(σ²)) q(c); the Gaussian latents come first."""

    def __init__(self, gaussian: DiagonalNormal, category: OneHot) -> None:
        self.gaussian, self.category = gaussian, category
        self.continuous = gaussian.noise_size
        self.noise_size = gaussian.noise_size + category.noise_size
        super().__init__(gaussian.batch_shape, self.noise_size)

    @property
    def dtype(self) -> torch.dtype:
        return self.category.dtype

    @property
    def device(self) -> torch.device:
        return self.category.device

    @property
    def mean(self) -> Tensor:
        return torch.cat([self.gaussian.mean, self.category.mean], dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """ln q(z) + ln q(c)"""
        gaussian, category = self._split(value)
        return self.gaussian.log_prob(gaussian) + self.category.log_prob(category)

    def from_noise(self, noise: Tensor) -> Tensor:
        gaussian, category = self._split(noise)
        return torch.cat([self.gaussian.from_noise(gaussian), self.category.from_noise(category)], dim=-1)

    def at(self, progress: Tensor) -> "GaussianAndOneHot":
        """The same, its draws at the temperature of another share of the steps."""
        return GaussianAndOneHot(self.gaussian, self.category.at(progress))

    def discrete(self) -> "GaussianAndOneHot":
        """The same with one-hot draws of the category."""
        return GaussianAndOneHot(self.gaussian, self.category.discrete())

    def _split(self, value: Tensor) -> tuple[Tensor, Tensor]:
        return value[..., : self.continuous], value[..., self.continuous :]


def drawn(q: Distribution, noise: Tensor, progress: Tensor | None = None) -> Tensor:
    """z ~ q while training: a category is relaxed at the temperature that belongs to the step, or the final one."""
    at_step = q.at(progress) if progress is not None and isinstance(q, OneHot | GaussianAndOneHot) else q
    z: Tensor = at_step.from_noise(noise)  # type: ignore[attr-defined]
    return z


def category_of(q: Distribution) -> OneHot | None:
    """The part of q that is a category, if it has one."""
    if isinstance(q, GaussianAndOneHot):
        return q.category
    return q if isinstance(q, OneHot) else None


@register_kl(OneHot, OneHot)
def _kl_one_hot(q: OneHot, p: OneHot) -> Tensor:
    """Σ_k π_k (ln π_k − ln p_k)"""
    return (q.mean * (q.log_probs - p.log_probs)).sum(-1)


@register_kl(GaussianAndOneHot, GaussianAndOneHot)
def _kl_joint(q: GaussianAndOneHot, p: GaussianAndOneHot) -> Tensor:
    """The sum of both (Serdega 2019, eq. 4.18)"""
    return kl_by_latent(q.gaussian, p.gaussian).sum(-1) + _kl_one_hot(q.category, p.category)

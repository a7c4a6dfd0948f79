"""Distributions over images and codes that can be drawn from given noise: draw = from_noise(noise).

Given noise, a draw is a pure function, so it can be mapped over the members of a fleet and repeated at will.
"""

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, MultivariateNormal, Normal
from torch.distributions.kl import register_kl

from vaebench.data.streams import Law


@runtime_checkable
class FromNoise(Protocol):
    """A distribution whose draws are a function of noise of a known law and size."""

    noise_law: Law

    @property
    def noise_size(self) -> int: ...

    def from_noise(self, noise: Tensor) -> Tensor: ...


class _Rows(Independent):
    """Independent factors along the last axis; log_prob sums over it."""

    def __init__(self, base: Distribution) -> None:
        super().__init__(base, 1, validate_args=False)

    @property
    def noise_size(self) -> int:
        return int(self.event_shape[0])


class DiagonalNormal(_Rows):
    """N(loc, diag(scale²))."""

    noise_law: Law = "normal"

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        super().__init__(Normal(loc, scale, validate_args=False))

    def log_prob(self, value: Tensor) -> Tensor:
        """−½ Σ_d ((x_d − μ_d)/σ_d)² + ln σ_d² + ln 2π"""
        scale = self.base_dist.scale
        standard = (value - self.base_dist.loc) / scale
        return -0.5 * (standard.square() + 2.0 * scale.log() + math.log(2.0 * math.pi)).sum(-1)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "DiagonalNormal":
        shape = torch.Size(batch_shape) + self.event_shape
        return DiagonalNormal(self.base_dist.loc.expand(shape), self.base_dist.scale.expand(shape))

    def from_noise(self, noise: Tensor) -> Tensor:
        """z = μ + σ ε, ε ~ N(0, I)"""
        drawn: Tensor = self.base_dist.loc + self.base_dist.scale * noise
        return drawn


class IndependentBernoulli(_Rows):
    """Π_d Bernoulli(x_d; sigmoid(logits_d))."""

    noise_law: Law = "uniform"

    def __init__(self, logits: Tensor) -> None:
        super().__init__(Bernoulli(logits=logits, validate_args=False))

    def log_prob(self, value: Tensor) -> Tensor:
        """Σ_d x_d l_d − softplus(l_d), which is x ln π + (1 − x) ln(1 − π) without taking π.

        softplus(l) = ½ (l + |l|) − ln σ(|l|). Its parts have no gradient at l = 0, and serve where none is wanted.
        """
        logits = self.base_dist.logits
        if torch.is_grad_enabled():
            return (value * logits - torch.nn.functional.softplus(logits)).sum(-1)
        size = logits.abs()
        off = torch.addcmul(size, 1.0 - 2.0 * value, logits).sum(-1)
        return sum_of_logs(size.sigmoid_()) - 0.5 * off

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "IndependentBernoulli":
        return IndependentBernoulli(self.base_dist.logits.expand(torch.Size(batch_shape) + self.event_shape))

    def from_noise(self, noise: Tensor) -> Tensor:
        """x = 1[u < π]: a step, so it carries no gradient."""
        return (noise < self.base_dist.probs).to(noise.dtype)


def sum_of_logs(values: Tensor) -> Tensor:
    """Σ_d ln v_d of values between ½ and 1, a logarithm for each product of as many as cannot underflow: logarithms are
    what a CPU takes longest over; (…, d) → (…)"""
    count = values.shape[-1]
    most = int(-math.log2(torch.finfo(values.dtype).tiny))
    size = max(size for size in range(1, min(most, count) + 1) if count % size == 0)
    return values.unflatten(-1, (-1, size)).prod(-1).log_().sum(-1)


class IndependentPixels(_Rows):
    """Π_d p(x_d), one distribution a pixel, drawn by its inverse distribution function F⁻¹."""

    noise_law: Law = "uniform"

    def from_noise(self, noise: Tensor) -> Tensor:
        """x = F⁻¹(u); uniforms have 24 bits, and u = 0 stands for the middle of the first 2⁻²⁴."""
        drawn: Tensor = self.base_dist.icdf(noise.clamp_min(2.0**-25))
        return drawn


class FullNormal(MultivariateNormal):
    """N(loc, L Lᵀ)."""

    noise_law: Law = "normal"

    def __init__(self, loc: Tensor, scale_tril: Tensor) -> None:
        super().__init__(loc, scale_tril=scale_tril, validate_args=False)

    @property
    def noise_size(self) -> int:
        return int(self.event_shape[0])

    def from_noise(self, noise: Tensor) -> Tensor:
        """z = μ + L ε, ε ~ N(0, I)"""
        return self.loc + (self._unbroadcasted_scale_tril @ noise.unsqueeze(-1)).squeeze(-1)


@register_kl(DiagonalNormal, DiagonalNormal)
def _kl_diagonal(q: DiagonalNormal, p: DiagonalNormal) -> Tensor:
    """½ Σ_u (σ_q² + (μ_q − μ_p)²)/σ_p² − 1 − ln σ_q²/σ_p²"""
    return kl_by_latent(q, p).sum(-1)


@register_kl(FullNormal, DiagonalNormal)
def _kl_full_diagonal(q: FullNormal, p: DiagonalNormal) -> Tensor:
    """½ (tr(S_p⁻¹ S_q) + (μ_q − μ_p)ᵀ S_p⁻¹ (μ_q − μ_p) − D + ln |S_p|/|S_q|), S_p diagonal"""
    variance = p.base_dist.scale.square()
    trace = (q.scale_tril.square().sum(-1) / variance).sum(-1)
    distance = ((q.loc - p.base_dist.loc).square() / variance).sum(-1)
    log_determinants = variance.log().sum(-1) - 2.0 * q.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return 0.5 * (trace + distance - q.event_shape[0] + log_determinants)


def kl_by_latent(q: DiagonalNormal, p: DiagonalNormal) -> Tensor:
    """KL(N(μ_q, σ_q²) ‖ N(μ_p, σ_p²)) of each latent; (…, latent)."""
    ratio = (q.base_dist.scale / p.base_dist.scale).square()
    distance = ((q.base_dist.loc - p.base_dist.loc) / p.base_dist.scale).square()
    return 0.5 * (ratio + distance - 1.0 - ratio.log())

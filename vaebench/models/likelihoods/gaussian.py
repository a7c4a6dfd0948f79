"""p(x|z) = Π_d N(x_d; μ_d(z), σ_d²), with σ in its several forms."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from vaebench.models.distributions import DiagonalNormal
from vaebench.models.networks.trunk import Decoder

FIRST_LOG_SIGMA = -1.0
"""Where a σ that is a parameter starts."""


@runtime_checkable
class ChosenSigma(Protocol):
    """A likelihood head whose σ is a constant that somebody chose, so that its images may be asked for another."""

    def with_sigma(self, p: DiagonalNormal, sigma: Tensor) -> DiagonalNormal:
        """What the head would have returned in place of p if σ had been `sigma`; ()"""
        ...


class FixedGaussian(nn.Module):
    """One σ, given: with σ = 1 the log density is −½ squared error − (D/2) ln 2π."""

    sigma: Tensor

    def __init__(self, decoder: Decoder, sigma: float) -> None:
        super().__init__()
        self.mean = decoder.pixel_head(1)
        self.register_buffer("sigma", torch.tensor(float(sigma)))

    def forward(self, features: Tensor) -> DiagonalNormal:
        mean = self.mean(features).squeeze(-2)
        return DiagonalNormal(mean, self.sigma.expand_as(mean))

    def with_sigma(self, p: DiagonalNormal, sigma: Tensor) -> DiagonalNormal:
        return DiagonalNormal(p.mean, sigma.expand_as(p.mean))


class SharedGaussian(nn.Module):
    """One σ for all pixels and images, learned: σ = floor + exp(s)."""

    def __init__(self, decoder: Decoder, sigma_floor: float) -> None:
        super().__init__()
        self.mean = decoder.pixel_head(1)
        self.log_sigma = nn.Parameter(torch.tensor(FIRST_LOG_SIGMA))
        self.sigma_floor = sigma_floor

    def forward(self, features: Tensor) -> DiagonalNormal:
        mean = self.mean(features).squeeze(-2)
        return DiagonalNormal(mean, (self.sigma_floor + self.log_sigma.exp()).expand_as(mean))


class PixelGaussian(SharedGaussian):
    """A σ_d for every pixel, learned, the same for all images: σ_d = floor + exp(s_d)."""

    def __init__(self, decoder: Decoder, sigma_floor: float) -> None:
        super().__init__(decoder, sigma_floor)
        self.log_sigma = nn.Parameter(torch.full((decoder.pixels,), FIRST_LOG_SIGMA))


class ScalarGaussian(nn.Module):
    """σ(z), one number for all pixels of an image, learned: σ = floor + softplus(s(z))."""

    def __init__(self, decoder: Decoder, sigma_floor: float) -> None:
        super().__init__()
        self.mean = decoder.pixel_head(1)
        self.scale = decoder.vector_head(1)
        self.sigma_floor = sigma_floor

    def forward(self, features: Tensor) -> DiagonalNormal:
        mean = self.mean(features).squeeze(-2)
        return DiagonalNormal(mean, (self.sigma_floor + softplus(self.scale(features))).expand_as(mean))


class PixelwiseGaussian(nn.Module):
    """σ_d(z) for every pixel, learned: σ = floor + softplus(s(z))."""

    def __init__(self, decoder: Decoder, sigma_floor: float) -> None:
        super().__init__()
        self.mean_and_scale = decoder.pixel_head(2)
        self.sigma_floor = sigma_floor

    def forward(self, features: Tensor) -> DiagonalNormal:
        mean, scale = self.mean_and_scale(features).unbind(-2)
        return DiagonalNormal(mean, self.sigma_floor + softplus(scale))

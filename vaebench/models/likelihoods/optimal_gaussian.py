"""p(x|z) = Π_d N(x_d; μ_d(z), σ²) with the σ that maximises it (Rybkin et al. 2021, "σ-VAE")."""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaebench.models.distributions import DiagonalNormal
from vaebench.models.networks.trunk import Decoder


class SelfScaledNormal(Distribution):
    """Π_d N(x_d; loc_d, σ²), σ² the mean squared error of the very batch whose density is asked for, which is the σ²
    of greatest likelihood. It normalises over no image: a training device, never a density to report."""

    def __init__(self, loc: Tensor, sigma_floor: float) -> None:
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)
        self.loc = loc
        self.sigma_floor = sigma_floor

    @property
    def mean(self) -> Tensor:
        return self.loc

    def log_prob(self, value: Tensor) -> Tensor:
        """−½ Σ_d (x_d − μ_d)²/σ² + ln 2πσ², σ² = max(mean over draws, images and pixels of (x − μ)², floor²).

        Its mean over the batch is −D/2 (ln 2πσ² + 1), and σ²'s own gradient vanishes at the optimum.
        """
        squared = (value - self.loc).square()
        variance = squared.mean().clamp_min(self.sigma_floor**2)
        return -0.5 * (squared / variance + variance.log() + math.log(2.0 * math.pi)).sum(-1)


class OptimalGaussian(nn.Module):
    """While it trains, σ is each batch's optimum; when training ends, one pass over the training images fixes it."""

    sigma: Tensor

    def __init__(self, decoder: Decoder, sigma_floor: float) -> None:
        super().__init__()
        self.mean = decoder.pixel_head(1)
        self.register_buffer("sigma", torch.ones(()))
        self.sigma_floor = sigma_floor

    def forward(self, features: Tensor) -> Distribution:
        mean = self.mean(features).squeeze(-2)
        if self.training:
            return SelfScaledNormal(mean, self.sigma_floor)
        return DiagonalNormal(mean, self.sigma.expand_as(mean))

    def calibrate(self, squared_error: Tensor) -> None:
        """σ = max(√ mean squared error of a training pixel, floor)"""
        self.sigma.copy_(squared_error.sqrt().clamp_min(self.sigma_floor))

"""p(x|z) = Π_d N(x_d; μ_d(z), σ_d(z)²) on [0, 1], renormalised there."""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal
from torch.nn.functional import softplus

from vaebench.models.distributions import IndependentPixels
from vaebench.models.likelihoods.bins import log_mass
from vaebench.models.networks.trunk import Decoder


class TruncatedNormal(Distribution):
    """N(x; μ, σ²)/Z on [0, 1], Z = Φ(β) − Φ(α) with α = −μ/σ ≤ 0 ≤ β = (1 − μ)/σ.

    μ lies in [0, 1]. Outside it the density at an edge would grow like |μ|/σ² whatever the floor of σ, and Z would
    be a difference of tails; inside, Z = ½ (erf(β/√2) + erf(−α/√2)) is a sum of positive terms at every σ.
    """

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        super().__init__(loc.shape, validate_args=False)
        self.loc, self.scale = loc, scale

    @property
    def normaliser(self) -> Tensor:
        """Z"""
        unit = math.sqrt(0.5) / self.scale
        return 0.5 * (torch.erf((1.0 - self.loc) * unit) + torch.erf(self.loc * unit))

    @property
    def mean(self) -> Tensor:
        """μ + σ (φ(α) − φ(β))/Z, with φ(α) − φ(β) = φ(α) (1 − e^{−t}) = φ(β) (e^t − 1), t = (½ − μ)/σ²"""
        tilt = (0.5 - self.loc) / self.scale.square()
        rise = torch.where(tilt >= 0, -torch.expm1(-tilt.clamp_min(0.0)), torch.expm1(tilt.clamp_max(0.0)))
        nearest = torch.minimum(self.loc, 1.0 - self.loc) / self.scale
        density = torch.exp(-0.5 * nearest.square()) / math.sqrt(2.0 * math.pi)
        return self.loc + self.scale * density * rise / self.normaliser

    def log_prob(self, value: Tensor) -> Tensor:
        """−½ ((x − μ)/σ)² − ln σ − ½ ln 2π − ln Z"""
        standard = (value - self.loc) / self.scale
        return -0.5 * (standard.square() + math.log(2.0 * math.pi)) - self.scale.log() - self.normaliser.log()

    def icdf(self, value: Tensor) -> Tensor:
        """x = μ + σ Φ⁻¹(Φ(α) + u Z), from the nearer end: 1 − that is Φ(−β) + (1 − u) Z."""
        mass = self.normaliser
        left = torch.special.ndtr(-self.loc / self.scale) + value * mass
        right = torch.special.ndtr((self.loc - 1.0) / self.scale) + (1.0 - value) * mass
        tail = torch.minimum(left, right).clamp_min(torch.finfo(mass.dtype).tiny)
        distance = self.scale * torch.special.ndtri(tail)
        return (self.loc + torch.where(left < right, distance, -distance)).clamp(0.0, 1.0)


class TruncatedGaussian(nn.Module):
    """μ_d(z) = sigmoid(m_d(z)), σ_d(z) = floor + softplus(s_d(z))"""

    def __init__(self, decoder: Decoder, sigma_floor: float) -> None:
        super().__init__()
        self.location_and_scale = decoder.pixel_head(2)
        self.sigma_floor = sigma_floor

    def forward(self, features: Tensor) -> IndependentPixels:
        location, scale = self.location_and_scale(features).unbind(-2)
        return IndependentPixels(TruncatedNormal(location.sigmoid(), self.sigma_floor + softplus(scale)))


@log_mass.register
def _(pixel: TruncatedNormal, lower: Tensor, upper: Tensor) -> Tensor:
    """ln (Φ(b) − Φ(a)) − ln Z, with the edges brought into [0, 1]"""
    normal = Normal(pixel.loc, pixel.scale, validate_args=False)
    mass: Tensor = log_mass(normal, lower.clamp_min(0.0), upper.clamp_max(1.0))
    return mass - pixel.normaliser.log()

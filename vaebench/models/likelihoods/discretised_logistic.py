"""p(x|z) = Π_d P(x_d), the mass that a logistic density gives to the bin of each of L grey levels (Salimans et al.
2017): not a density but a mass function on x = k/(L − 1)."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import logsigmoid, softplus

from vaebench.models.distributions import IndependentPixels
from vaebench.models.likelihoods.bins import log_mass
from vaebench.models.networks.trunk import Decoder


class DiscretisedLogistic(Distribution):
    """P(x) = F(x + h) − F(x − h), F(t) = sigmoid((t − μ)/s), h = ½/(L − 1); the outer bins are open."""

    def __init__(self, loc: Tensor, scale: Tensor, levels: int) -> None:
        super().__init__(loc.shape, validate_args=False)
        self.loc, self.scale, self.levels = loc, scale, levels

    @property
    def mean(self) -> Tensor:
        """1/(L − 1) Σ_{k≥1} P(x ≥ k/(L − 1)), P(x ≥ k/(L − 1)) = sigmoid((μ − (k − ½)/(L − 1))/s)"""
        total = torch.zeros_like(self.loc)
        for k in range(1, self.levels):
            total = total + torch.sigmoid((self.loc - (k - 0.5) / (self.levels - 1)) / self.scale)
        return total / (self.levels - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        """ln P(x) at x = k/(L − 1)"""
        k = torch.round(value * (self.levels - 1))
        lower = ((k - 0.5) / (self.levels - 1) - self.loc) / self.scale
        upper = ((k + 0.5) / (self.levels - 1) - self.loc) / self.scale
        inner = logsigmoid(upper) + logsigmoid(-lower) + _log_share(1.0 / (self.levels - 1) / self.scale)
        return torch.where(k <= 0, logsigmoid(upper), torch.where(k >= self.levels - 1, logsigmoid(-lower), inner))

    def icdf(self, value: Tensor) -> Tensor:
        """The level nearest to μ + s ln(u/(1 − u)): a step, so it carries no gradient."""
        k = torch.round((self.loc + self.scale * torch.logit(value)) * (self.levels - 1))
        return k.clamp(0, self.levels - 1) / (self.levels - 1)


class DiscretisedLogisticLikelihood(nn.Module):
    """μ_d(z), and s_d(z) = floor + softplus(r_d(z))"""

    def __init__(self, decoder: Decoder, scale_floor: float) -> None:
        super().__init__()
        if decoder.shape.levels is None:
            raise ValueError("a discretised likelihood needs grey levels")
        self.levels = decoder.shape.levels
        self.location_and_scale = decoder.pixel_head(2)
        self.scale_floor = scale_floor

    def forward(self, features: Tensor) -> IndependentPixels:
        location, scale = self.location_and_scale(features).unbind(-2)
        return IndependentPixels(DiscretisedLogistic(location, self.scale_floor + softplus(scale), self.levels))


def _log_share(width: Tensor) -> Tensor:
    """ln(1 − e^{−w}): sigmoid(b) − sigmoid(a) = sigmoid(b) sigmoid(−a) (1 − e^{a − b}), with nothing that cancels."""
    return torch.log(-torch.expm1(-width))


@log_mass.register
def _(pixel: DiscretisedLogistic, lower: Tensor, upper: Tensor) -> Tensor:
    """ln (F(upper) − F(lower)) of the logistic: on the grey view's bins this is log_prob."""
    a, b = (lower - pixel.loc) / pixel.scale, (upper - pixel.loc) / pixel.scale
    return logsigmoid(b) + logsigmoid(-a) + _log_share(b - a)

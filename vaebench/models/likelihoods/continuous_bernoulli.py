"""p(x|z) = Π_d CB(x_d; l_d(z)), the continuous Bernoulli on [0, 1] (Loaiza-Ganem & Cunningham 2019).

torch's ContinuousBernoulli clamps λ = sigmoid(l) to what its precision can tell from 0 and 1, which is wrong by
thousands of nats at |l| = 10⁴, so everything here is a function of l.
"""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaebench.models.distributions import IndependentPixels
from vaebench.models.likelihoods.bins import log_mass
from vaebench.models.networks.trunk import Decoder

SERIES = 0.5
"""Below this |l| power series take over from differences that would cancel."""
SERIES_OF_DRAWS = 0.1
COEFFICIENTS = (1 / 24, -1 / 2880, 1 / 181440, -1 / 9676800, 1 / 479001600, -691 / 15692092416000, 1 / 1046139494400)
"""a_n in A(l) = l/2 + Σ_n a_n l^{2n}, n = 1 …; a_n = B_{2n}/(2n (2n)!) with Bernoulli's numbers B"""
SLOPES = tuple(2 * n * coefficient for n, coefficient in enumerate(COEFFICIENTS, start=1))
"""b_n in A'(l) = ½ + l Σ_n b_n l^{2(n − 1)}"""


class ContinuousBernoulli(Distribution):
    """p(x) = e^{l x − A(l)} on [0, 1], A(l) = ln ((e^l − 1)/l); l = 0 is the uniform density."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits.shape, validate_args=False)
        self.logits = logits

    @property
    def mean(self) -> Tensor:
        """A'(l)"""
        return mean_of(self.logits)

    def log_prob(self, value: Tensor) -> Tensor:
        """l x − A(l)"""
        return value * self.logits - log_partition(self.logits)

    def icdf(self, value: Tensor) -> Tensor:
        """x = ln(1 − u + u e^l)/l, which is K(l)/l with K the cumulants' generating function of Bernoulli(u)."""
        small = self.logits.abs() < SERIES_OF_DRAWS
        large = torch.where(small, 1.0, self.logits)
        exact = torch.logaddexp(torch.log1p(-value), value.log() + large) / large
        near = torch.where(small, self.logits, 0.0)
        return torch.where(small, _cumulants(value, near), exact).clamp(0.0, 1.0)


class UnnormalisedBernoulli(ContinuousBernoulli):
    """The Bernoulli's mass function at grey x, which integrates to less than one: to train by, no density."""

    def log_prob(self, value: Tensor) -> Tensor:
        """x ln λ + (1 − x) ln(1 − λ) = l x − softplus(l)"""
        return value * self.logits - torch.nn.functional.softplus(self.logits)


class ContinuousBernoulliLikelihood(nn.Module):
    """Π_d CB(x_d; l_d(z)); with a floor c under λ and 1 − λ, |l_d| ≤ ln((1 − c)/c)"""

    def __init__(self, decoder: Decoder, probability_floor: float | None = None) -> None:
        super().__init__()
        self.logits = decoder.pixel_head(1)
        self.largest = (
            math.inf if probability_floor is None else math.log1p(-probability_floor) - math.log(probability_floor)
        )

    def forward(self, features: Tensor) -> IndependentPixels:
        return IndependentPixels(ContinuousBernoulli(self.kept(features)))

    def kept(self, features: Tensor) -> Tensor:
        """l, cut off where a floor cuts it off; (…, pixel)"""
        logits: Tensor = self.logits(features).squeeze(-2)
        return logits if math.isinf(self.largest) else logits.clamp(-self.largest, self.largest)


class UnnormalisedBernoulliLikelihood(ContinuousBernoulliLikelihood):
    """Trains by the cross-entropy of grey pixels, without the normaliser; once trained it is the continuous Bernoulli,
    the density that has these logits."""

    def forward(self, features: Tensor) -> IndependentPixels:
        if not self.training:
            return super().forward(features)
        return IndependentPixels(UnnormalisedBernoulli(self.kept(features)))


def log_partition(logits: Tensor) -> Tensor:
    """A(l) = ln ((e^l − 1)/l) = l/2 + ln (sinh(l/2)/(l/2)): max(l, 0) + ln((1 − e^{−|l|})/|l|), near 0 its series."""
    small = logits.abs() < SERIES
    near, size = torch.where(small, logits, 0.0), torch.where(small, 1.0, logits.abs())
    series = 0.5 * near + near.square() * _polynomial(near.square(), COEFFICIENTS)
    exact = logits.clamp_min(0.0) + torch.log(-torch.expm1(-size)) - size.log()
    return torch.where(small, series, exact)


def mean_of(logits: Tensor) -> Tensor:
    """A'(l) = 1/(1 − e^{−l}) − 1/l: for l < 0 it is m(|l|) = 1/|l| − e^{−|l|}/(1 − e^{−|l|}), for l > 0 1 − m(l)."""
    small = logits.abs() < SERIES
    near, size = torch.where(small, logits, 0.0), torch.where(small, 1.0, logits.abs())
    series = 0.5 + near * _polynomial(near.square(), SLOPES)
    below = 1.0 / size + torch.exp(-size) / torch.expm1(-size)
    return torch.where(small, series, torch.where(logits < 0, below, 1.0 - below))


def _polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """c_1 + c_2 x + c_3 x² + …"""
    total = torch.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total


def _cumulants(u: Tensor, logits: Tensor) -> Tensor:
    """κ₁ + κ₂ l/2 + κ₃ l²/6 + κ₄ l³/24 + κ₅ l⁴/120 of Bernoulli(u)"""
    second = u * (1.0 - u)
    skew = second * (1.0 - 2.0 * u)
    fourth, fifth = second * (1.0 - 6.0 * second), skew * (1.0 - 12.0 * second)
    return u + logits * (second / 2 + logits * (skew / 6 + logits * (fourth / 24 + logits * fifth / 120)))


@log_mass.register
def _(pixel: ContinuousBernoulli, lower: Tensor, upper: Tensor) -> Tensor:
    """ln ∫_b^c e^{l x − A(l)} dx = ln(c − b) + A(−|l| (c − b)) − |l| e − A(−|l|), e = b for l < 0, else 1 − c"""
    b, c = lower.clamp_min(0.0), upper.clamp_max(1.0)
    size, width = pixel.logits.abs(), c - b
    edge = torch.where(pixel.logits < 0, b, 1.0 - c)
    return width.log() + log_partition(-size * width) - size * edge - log_partition(-size)

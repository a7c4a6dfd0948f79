"""The mass that a density gives to a pixel's bin of grey level."""

import functools
import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from vaebench.models.point import NoDensity

NORMAL_UNDERFLOW = 1e-30
"""Below this mass in float32 the difference of two error functions loses its digits, and log space takes over."""


def log_bin_mass(distribution: Distribution, lower: Tensor, upper: Tensor) -> Tensor:
    """ln P(lower < x_d ≤ upper) summed over pixels; distribution factorises over pixels; (…,)."""
    if not isinstance(distribution, Independent) or distribution.reinterpreted_batch_ndims != 1:
        raise NoDensity("bin masses need pixels that are independent given z")
    return log_mass(distribution.base_dist, lower, upper).sum(-1)


@functools.singledispatch
def log_mass(pixel: Distribution, lower: Tensor, upper: Tensor) -> Tensor:
    """ln (F(upper) − F(lower)) of one pixel's distribution, by its own cdf."""
    mass = _cdf(pixel, upper, 1.0) - _cdf(pixel, lower, 0.0)
    return mass.clamp_min(torch.finfo(mass.dtype).tiny).log()


@log_mass.register
def _(pixel: Normal, lower: Tensor, upper: Tensor) -> Tensor:
    """ln (Φ(b) − Φ(a)) of a normal, taken in the left tail, where Φ keeps its relative precision."""
    a, b = (lower - pixel.loc) / pixel.scale, (upper - pixel.loc) / pixel.scale
    flipped = a + b > 0
    a, b = torch.where(flipped, -b, a), torch.where(flipped, -a, b)
    mass = 0.5 * (torch.erfc(b * -math.sqrt(0.5)) - torch.erfc(a * -math.sqrt(0.5)))
    small = ~(mass > NORMAL_UNDERFLOW)
    log = mass.clamp_min(NORMAL_UNDERFLOW).log()
    if small.any():
        log = log.masked_scatter(small, _log_difference(a[small], b[small]))
    return log


def _log_difference(a: Tensor, b: Tensor) -> Tensor:
    """ln (Φ(b) − Φ(a)) = ln Φ(b) + ln(1 − e^{ln Φ(a) − ln Φ(b)}), in float64; a < b ≤ 0 or so."""
    log_a, log_b = torch.special.log_ndtr(a.double()), torch.special.log_ndtr(b.double())
    ratio = torch.where(a == -torch.inf, -torch.inf, log_a - log_b)
    return (log_b + torch.log1p(-torch.exp(ratio))).to(a.dtype)


def _cdf(pixel: Distribution, edge: Tensor, beyond: float) -> Tensor:
    open_end = edge.isinf()
    return torch.where(open_end, beyond, pixel.cdf(edge.masked_fill(open_end, 0.5)))

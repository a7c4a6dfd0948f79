"""The mass that a density gives to a pixel's bin of grey level."""

import functools
import math

import torch
from torch import Tensor
from torch.distributions import (
    AffineTransform,
    Distribution,
    Independent,
    Laplace,
    MixtureSameFamily,
    Normal,
    SigmoidTransform,
    TransformedDistribution,
    Uniform,
)
from torch.nn.functional import logsigmoid

from vaebench.models.point import NoDensity

DIGITS = 1e3
"""In units of the rounding of a cdf: the least mass that its differences tell, to three digits."""
NORMAL_UNDERFLOW = 1e-30
"""Below this mass in float32 the difference of two error functions loses its digits, and log space takes over."""


def log_bin_mass(distribution: Distribution, lower: Tensor, upper: Tensor) -> Tensor:
    """ln P(lower < x_d ≤ upper) summed over pixels; distribution factorises over pixels; (…,)."""
    if not isinstance(distribution, Independent) or distribution.reinterpreted_batch_ndims != 1:
        raise NoDensity("bin masses need pixels that are independent given z")
    return log_mass(distribution.base_dist, lower, upper).sum(-1)


@functools.singledispatch
def log_mass(pixel: Distribution, lower: Tensor, upper: Tensor) -> Tensor:
    """ln (F(upper) − F(lower)) of one pixel's distribution, by its own cdf in float64.

    Where the difference keeps fewer than three digits, as in the right tail, where both are nearly 1, there is no
    number to be had of the cdf, and none is given.
    """
    mass_above, mass_below = _cdf(pixel, upper, 1.0), _cdf(pixel, lower, 0.0)
    mass = mass_above - mass_below
    lost = ~(mass >= DIGITS * torch.finfo(mass.dtype).eps * mass_above) | (mass == 0)
    if bool(lost.any()):
        raise ArithmeticError(
            f"{type(pixel).__name__}: F(b) − F(a) of its cdf leaves no digits on {int(lost.sum())} of {lost.numel()} "
            "decoded pixels; register vaebench.models.likelihoods.bins.log_mass for the distribution"
        )
    return mass.log().to(lower.dtype)


@log_mass.register
def _(pixel: Normal, lower: Tensor, upper: Tensor) -> Tensor:
    """ln (Φ(b) − Φ(a)) of a normal, taken in the left tail, where Φ keeps its relative precision."""
    a, b = (lower - pixel.loc) / pixel.scale, (upper - pixel.loc) / pixel.scale
    a, b = _mirrored(a, b)
    mass = 0.5 * (torch.erfc(b * -math.sqrt(0.5)) - torch.erfc(a * -math.sqrt(0.5)))
    small = ~(mass > NORMAL_UNDERFLOW)
    log = mass.clamp_min(NORMAL_UNDERFLOW).log()
    if small.any():
        log = log.masked_scatter(small, _log_difference(a[small], b[small]))
    return log


@log_mass.register
def _(pixel: Uniform, lower: Tensor, upper: Tensor) -> Tensor:
    """The share of the interval that lies in the bin; −inf where none of it does."""
    low, high = pixel.low.double(), pixel.high.double()
    inside = torch.minimum(upper.double(), high) - torch.maximum(lower.double(), low)
    return (inside.clamp_min(0.0) / (high - low)).log().to(lower.dtype)


@log_mass.register
def _(pixel: Laplace, lower: Tensor, upper: Tensor) -> Tensor:
    """Mirrored to the left, where F(t) = ½ e^t: ln ½ + b + ln(1 − e^{a − b}) for b ≤ 0, else 1 − ½ e^{−b} − ½ e^a"""
    a, b = _standard(pixel, lower, upper)
    a, b = _mirrored(a, b)
    left = b.clamp_max(0.0) - math.log(2.0) + _log_share(b - a)
    across = (-0.5 * (torch.expm1(-b.clamp_min(0.0)) + torch.expm1(a.clamp_max(0.0)))).log()
    return torch.where(b <= 0, left, across).to(lower.dtype)


@log_mass.register
def _(pixel: MixtureSameFamily, lower: Tensor, upper: Tensor) -> Tensor:
    """ln Σ_k w_k (F_k(upper) − F_k(lower))"""
    edges = lower.unsqueeze(-1), upper.unsqueeze(-1)
    log_weights: Tensor = pixel.mixture_distribution.logits.log_softmax(-1)
    return (log_weights + log_mass(pixel.component_distribution, *edges)).logsumexp(-1)


@log_mass.register
def _(pixel: TransformedDistribution, lower: Tensor, upper: Tensor) -> Tensor:
    """Of y = μ + s t the mass that t gives to ((lower − μ)/s, (upper − μ)/s); of the logistic, t = ln u/(1 − u), that
    is sigmoid(b) − sigmoid(a) = sigmoid(b) sigmoid(−a) (1 − e^{a − b}). Of other transforms, by their cdf."""
    *inner, last = pixel.transforms
    base = pixel.base_dist
    if isinstance(last, AffineTransform) and last.event_dim == 0:
        loc, scale = (torch.as_tensor(value, device=lower.device).double() for value in (last.loc, last.scale))
        a, b = (lower.double() - loc) / scale, (upper.double() - loc) / scale
        within = TransformedDistribution(base, inner, validate_args=False) if inner else base
        return log_mass(within, torch.minimum(a, b), torch.maximum(a, b)).to(lower.dtype)
    if not inner and isinstance(base, Uniform) and isinstance(last.inv, SigmoidTransform) and _is_unit(base):
        a, b = lower.double(), upper.double()
        return (logsigmoid(b) + logsigmoid(-a) + _log_share(b - a)).to(lower.dtype)
    by_cdf: Tensor = log_mass.dispatch(Distribution)(pixel, lower, upper)
    return by_cdf


def _log_difference(a: Tensor, b: Tensor) -> Tensor:
    """ln (Φ(b) − Φ(a)) = ln Φ(b) + ln(1 − e^{ln Φ(a) − ln Φ(b)}), in float64; a < b ≤ 0 or so."""
    log_a, log_b = torch.special.log_ndtr(a.double()), torch.special.log_ndtr(b.double())
    ratio = torch.where(a == -torch.inf, -torch.inf, log_a - log_b)
    return (log_b + torch.log1p(-torch.exp(ratio))).to(a.dtype)


def _standard(pixel: Laplace, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """(x − μ)/s of both edges, in float64"""
    loc, scale = pixel.loc.double(), pixel.scale.double()
    return (lower.double() - loc) / scale, (upper.double() - loc) / scale


def _mirrored(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The interval or its mirror image, whichever has more of it on the left."""
    right = a + b > 0
    return torch.where(right, -b, a), torch.where(right, -a, b)


def _log_share(width: Tensor) -> Tensor:
    """ln(1 − e^{−w})"""
    return torch.log(-torch.expm1(-width))


def _is_unit(base: Uniform) -> bool:
    return bool((base.low == 0).all()) and bool((base.high == 1).all())


def _cdf(pixel: Distribution, edge: Tensor, beyond: float) -> Tensor:
    """F(edge), in float64 where the distribution lets it; `beyond` at an open end."""
    open_end = edge.isinf()
    try:
        cdf = pixel.cdf(edge.double().masked_fill(open_end, 0.5))
    except NotImplementedError as error:
        raise NoDensity(f"{type(pixel).__name__} has no cdf, by which bins of grey level get their mass") from error
    return torch.where(open_end, torch.full_like(cdf, beyond), cdf)

"""Draws of the factors u of a low-rank normal, given the bins of grey level that its pixels lie in."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal

from vaebench.data import streams
from vaebench.data.views import bins
from vaebench.models.distributions import DiagonalNormal, FullNormal
from vaebench.models.likelihoods.bins import log_mass
from vaebench.models.likelihoods.lowrank_gaussian import LowRankNormal, log_prior

STEPS = 5
"""Of Newton's method. From the third on the proposal is hardly better, but for factors far larger than σ."""
LEAST_CURVATURE = 1e-9
"""Of ln P(bin) in a pixel's mean, in units of 1/σ²: a bin that tells less tells nothing."""
QUARTILE = 0.6744897501960817
"""Φ⁻¹(3/4)"""


def given_factors(
    p: Distribution, x: Tensor, keys: Tensor, first: int, levels: int, view: str
) -> tuple[Distribution, Tensor]:
    """p(x|z, u) and ln p(u)/q(u|x, z), so that the pixels of a low-rank normal are independent; others as they are.

    One u for each z, from q = ½ q₀ + ¼ q₁ + ¼ q₂. q₀ is the normal at the mode of p(u|bins, z). Where bins are open it
    may be too narrow, so the others propose too: the factors' posterior where x is known as well as its bin tells, with
    a uniform's variance width²/12, of an open bin nothing (q₁) or what a closed one would tell (q₂).
    """
    if not isinstance(p, LowRankNormal):
        return p, torch.zeros((), dtype=x.dtype, device=x.device)
    lower, upper = bins(x, levels, view)
    spread = (upper - lower).square() / 12.0
    nothing = p.factor_posterior(x, spread)
    closed = p.factor_posterior(x, spread.masked_fill(spread.isinf(), 1.0 / (12.0 * levels**2)))
    nearest = at_mode(p, lower, upper, closed.loc)
    stream = streams.mixed(keys, torch.tensor(streams.key("factors"), device=keys.device))
    noise = streams.normal(stream, first, p.batch_shape[0], p.rank + 1, torch.float64)
    which, noise = noise[..., :1], noise[..., 1:]
    wide = torch.where(which > -QUARTILE, nothing.from_noise(noise), closed.from_noise(noise))
    u = torch.where(which > 0, nearest.from_noise(noise), wide)
    laws = ((nearest, 0.5), (nothing, 0.25), (closed, 0.25))
    log_q = torch.stack([law.log_prob(u) + math.log(share) for law, share in laws]).logsumexp(0)
    return p.conditional(u.to(x.dtype)), log_prior(u) - log_q


@torch.no_grad()
def at_mode(p: LowRankNormal, lower: Tensor, upper: Tensor, u: Tensor) -> FullNormal:
    """N(û, C⁻¹), û near argmax_u ln P(bins|z, u) + ln p(u), which is concave, and C the curvature near it; float64.

    A step of Newton's leads to the mean of the factors' posterior that knows each pixel as what its bin amounts to.
    Nothing asks whether the steps have arrived: where they have not, more draws are wasted, and the weights tell.
    """
    p = LowRankNormal(p.loc.double(), p.factors.double(), p.scale.double())
    lower, upper = lower.double(), upper.double()
    for _ in range(STEPS):
        q = p.factor_posterior(*measured(p.conditional(u), lower, upper))
        u = q.loc
    return q


def measured(p: DiagonalNormal, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """What the bins amount to: values x, and the variances v about them up to which they are known; (…, pixel) each.

    With a = (lower − μ)/σ and b likewise, ∂ ln P/∂μ = (φ(a) − φ(b))/(σ P) = s and −∂² ln P/∂μ² = s² + (b φ(b) − a φ(a))
    /(σ² P) = c. A pixel known as x up to N(0, v) has slope (x − μ)/(σ² + v) and curvature 1/(σ² + v) there, the same
    where v = 1/c − σ² and x = μ + s/c.
    """
    loc, scale = p.base_dist.loc, p.base_dist.scale
    log_p = log_mass(Normal(loc, scale, validate_args=False), lower, upper)
    a, b = (lower - loc) / scale, (upper - loc) / scale
    density_a, density_b = _density(a, log_p), _density(b, log_p)
    slope = density_a - density_b  # σ s
    ends = torch.nan_to_num(b * density_b, nan=0.0) - torch.nan_to_num(a * density_a, nan=0.0)
    curvature = (slope.square() + ends).clamp(LEAST_CURVATURE, 1.0)  # σ² c
    return loc + scale * slope / curvature, scale.square() * (1.0 / curvature - 1.0)


def _density(edge: Tensor, log_p: Tensor) -> Tensor:
    """φ(edge)/P, 0 at an open end"""
    return (-0.5 * (edge.square() + math.log(2.0 * math.pi)) - log_p).exp()

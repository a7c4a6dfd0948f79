"""Draws from any distribution, tied to streams, so that an image meets the same noise in whatever company it comes."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
)

from vaebench.data import streams
from vaebench.models.distributions import DiagonalNormal, FromNoise, FullNormal, IndependentBernoulli
from vaebench.models.drawn import Drawn
from vaebench.models.likelihoods.lowrank_gaussian import LowRankNormal
from vaebench.models.mixed import GaussianAndOneHot, OneHot

GROUP = 8
"""Draws that one of torch's own samplers makes at once, so that any portions of them are the same."""


def draw(distribution: Distribution, keys: Tensor, first: int, count: int) -> Tensor:
    """Draws `first` to `first + count` for each key, of a distribution over rows (or one for all); (count, row, event).

    A row's draws are a function of its key and their numbers alone. Known families, pixels and latents with an inverse
    distribution function, and transforms and mixtures of these are drawn from the rows' streams, others of torch's by
    their own sampler under a seed for each row. Only what is not torch's either is drawn under one seed for all rows:
    the same for the same rows in the same order. Where gradients are on, a draw carries them if the distribution's
    draws do.
    """
    known = from_noise_form(distribution)
    if known is not None:
        noise = streams.LAWS[known.noise_law](keys, first, count, known.noise_size, _dtype(known))
        return known.from_noise(noise)
    made = _drawn(distribution, keys, first, count)
    return _sampled(distribution, keys, first, count) if made is None else made


@functools.singledispatch
def _drawn(distribution: Distribution, keys: Tensor, first: int, count: int) -> Tensor | None:
    """Draws by the streams of `keys`, or None where this is not known how."""
    return None


@_drawn.register
def _(distribution: Independent, keys: Tensor, first: int, count: int) -> Tensor | None:
    """x_d = F_d⁻¹(u_d), u from streams of uniforms"""
    base = distribution.base_dist
    if distribution.reinterpreted_batch_ndims != 1 or base.event_shape:
        return None
    noise = streams.uniform(keys, first, count, int(distribution.event_shape[0]), _precision(distribution))
    try:
        drawn: Tensor = base.icdf(noise.clamp_min(2.0**-25))
    except NotImplementedError:
        return None
    return drawn


@_drawn.register
def _(distribution: LowRankMultivariateNormal, keys: Tensor, first: int, count: int) -> Tensor:
    """x = μ + W u + σ ε"""
    return draw(
        LowRankNormal(distribution.loc, distribution.cov_factor, distribution.cov_diag.sqrt()), keys, first, count
    )


@_drawn.register
def _(distribution: TransformedDistribution, keys: Tensor, first: int, count: int) -> Tensor | None:
    """T(x), x from the base"""
    if not distribution.base_dist.event_shape:
        return None
    drawn = draw(distribution.base_dist, keys, first, count)
    for transform in distribution.transforms:
        drawn = transform(drawn)
    return drawn


@_drawn.register
def _(distribution: MixtureSameFamily, keys: Tensor, first: int, count: int) -> Tensor | None:
    """x_k with k the first at which w_1 + … + w_k > u"""
    parts = from_noise_form(distribution.component_distribution)
    if parts is None:
        return None
    weights: Tensor = distribution.mixture_distribution.probs
    u = streams.uniform(stream_of(keys, "component"), first, count, 1, weights.dtype)
    which = (u >= weights.cumsum(-1)[..., :-1]).sum(-1)
    of_part = torch.arange(weights.shape[-1], device=keys.device)
    drawn = draw(parts, streams.mixed(keys.unsqueeze(-1), of_part), first, count)  # type: ignore[arg-type]
    return drawn.gather(-2, which[..., None, None].expand(*which.shape, 1, drawn.shape[-1])).squeeze(-2)


def _sampled(distribution: Distribution, keys: Tensor, first: int, count: int) -> Tensor:
    """By the distribution's own sampler. One of torch's, GROUP draws at a time, each row alone under its own seed; of
    any other a row cannot be taken out, and all are drawn under one seed."""
    with torch.random.fork_rng(devices=[keys.device] if keys.device.type == "cuda" else []):
        if not _is_of_torch(distribution):
            torch.manual_seed(streams.key(first, *keys.tolist()))
            return _sampler(distribution)(torch.Size([count, *(() if distribution.batch_shape else (len(keys),))]))
        rows = []
        for row, key in enumerate(keys.tolist()):
            alone = _sampler(_of_row(distribution, row) if distribution.batch_shape else distribution.expand([1]))
            groups = []
            for group in range(first // GROUP, (first + count - 1) // GROUP + 1):
                torch.manual_seed(streams.key(group, key))
                groups.append(alone(torch.Size([GROUP])))
            rows.append(torch.cat(groups)[first % GROUP :][:count])
    return torch.cat(rows, dim=1)


def _sampler(distribution: Distribution) -> Callable[[torch.Size], Tensor]:
    return distribution.rsample if distribution.has_rsample and torch.is_grad_enabled() else distribution.sample


def _is_of_torch(distribution: Distribution) -> bool:
    """Whether it, and whatever it is made of, is torch's own, with parameters that have a row for each row."""
    parts = [value for value in vars(distribution).values() if isinstance(value, Distribution)]
    own = type(distribution).__module__.startswith("torch.distributions.") and not hasattr(distribution, "transforms")
    return own and all(_is_of_torch(part) for part in parts)


def _of_row(distribution: Distribution, row: int) -> Distribution:
    """That of one row alone, of a batch of one."""
    alone, batch = copy.copy(distribution), distribution.batch_shape
    for name, value in vars(distribution).items():
        if isinstance(value, Distribution):
            setattr(alone, name, _of_row(value, row))
        elif isinstance(value, Tensor) and value.shape[:1] == batch[:1]:
            setattr(alone, name, value[row : row + 1])
    alone._batch_shape = torch.Size([1, *batch[1:]])
    return alone


def _precision(distribution: Distribution) -> torch.dtype:
    """Of what the distribution draws."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        return distribution.sample().dtype


def stream_of(keys: Tensor, purpose: str) -> Tensor:
    """A stream of its own for a purpose, derived from each stream; same shape"""
    return streams.mixed(keys, torch.tensor(streams.key(purpose), device=keys.device))


@functools.singledispatch
def from_noise_form(distribution: Distribution) -> FromNoise | None:
    """The same distribution in a form that draws from given noise, or None."""
    return distribution if isinstance(distribution, FromNoise) else None


@from_noise_form.register
def _(distribution: Independent) -> FromNoise | None:
    base = distribution.base_dist
    if isinstance(distribution, FromNoise):
        return distribution
    if distribution.reinterpreted_batch_ndims == 1 and type(base) is Normal:
        return DiagonalNormal(base.loc, base.scale)
    if distribution.reinterpreted_batch_ndims == 1 and type(base) is Bernoulli:
        return IndependentBernoulli(base.logits)
    return None


@from_noise_form.register
def _(distribution: MultivariateNormal) -> FromNoise | None:
    if isinstance(distribution, FromNoise):
        return distribution
    return FullNormal(distribution.loc, distribution.scale_tril)


@from_noise_form.register(OneHot | GaussianAndOneHot)
def _(distribution: OneHot | GaussianAndOneHot) -> FromNoise | None:
    return distribution.discrete()


def posterior_mean(q: Distribution, keys: Tensor, draws: int = 64) -> Tensor:
    """E_q[z] in closed form, else over `draws` draws; (image, latent)."""
    try:
        return q.mean
    except NotImplementedError:
        return draw(q, keys, 0, draws).mean(0)


def _dtype(distribution: FromNoise) -> torch.dtype:
    if isinstance(distribution, Drawn):
        return distribution.dtype
    base: Any = getattr(distribution, "base_dist", distribution)
    dtype: torch.dtype = (base.loc if hasattr(base, "loc") else base.logits).dtype
    return dtype

"""Draws from any distribution, tied to streams, so that an image meets the same noise in whatever company it comes."""

import functools
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, MultivariateNormal, Normal

from vaebench.data import streams
from vaebench.models.distributions import DiagonalNormal, FromNoise, FullNormal, IndependentBernoulli
from vaebench.models.drawn import Drawn
from vaebench.models.mixed import GaussianAndOneHot, OneHot


def draw(distribution: Distribution, keys: Tensor, first: int, count: int) -> Tensor:
    """Draws `first` to `first + count` for each key, of a distribution over rows (or one for all); (count, row, event).

    Known families are drawn from the rows' own streams. Any other is drawn by its own sampler under a seed made
    from the rows' keys: the same for the same rows in the same order. Where gradients are on, a draw carries them if
    the distribution's draws do.
    """
    known = from_noise_form(distribution)
    if known is None:
        with torch.random.fork_rng(devices=[keys.device] if keys.device.type == "cuda" else []):
            torch.manual_seed(streams.key(first, *keys.tolist()))
            rows = () if distribution.batch_shape else (len(keys),)
            sampler = (
                distribution.rsample if distribution.has_rsample and torch.is_grad_enabled() else distribution.sample
            )
            return sampler(torch.Size([count, *rows]))
    noise = streams.LAWS[known.noise_law](keys, first, count, known.noise_size, _dtype(known))
    return known.from_noise(noise)


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

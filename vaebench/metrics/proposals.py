"""A q* that is fitted to each image, to propose codes to importance weights beside q(z|x).

Whatever proposes, the mean weight is an unbiased estimate of p(x); nearer to the posterior fewer draws are wasted. What
maximises the bound is rather too narrow than too wide, so q(z|x), which may be wider, goes on proposing too.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.data import streams
from vaebench.metrics.code_parts import code_parts
from vaebench.metrics.draws import from_noise_form, stream_of
from vaebench.metrics.refined import Family, Parameters, ascended, factor, family
from vaebench.metrics.subject import Block
from vaebench.models.distributions import DiagonalNormal, FullNormal
from vaebench.models.flows import InverseAutoregressive
from vaebench.models.point import Point

DRAWS = 4
"""Of each image, at each step of its ascent."""
RATE = 0.1
"""Of Adam at the first step, in units of q's own spread."""
SELECTION = 16
"""Draws on which q* and q(z|x) are compared; the weights do not see them."""
LogWeight = Callable[[Distribution, Tensor, Tensor, int], Tensor]
"""(p(x|z), x, keys, number of the first draw) → ln f(x, z); (draw, image)"""


class Fitted(NamedTuple):
    q: Distribution
    """q*, or q(z|x) where that is no worse"""
    better: Tensor
    """1 where q* is better, and else 0; (image,)"""


def refined(block: Block, q: Distribution, prior: Distribution, log_weight: LogWeight, steps: int) -> Fitted | None:
    """Ascend E_q[ln f(x, z) + ln p(z) − ln q(z)] from q(z|x), for each image, and keep what is better; None where that
    is not asked for, or q is a point, has a category or is of an unknown kind."""
    model, x, keys = block
    if steps == 0 or isinstance(q, Point) or code_parts(q)[1] is not None or not _can_be(q):
        return None
    of = family(q, spread_is_free=True)

    def bound(parameters: Parameters, purpose: str, first: int, count: int) -> Tensor:
        """Of each image, by draws of a purpose; (image,)"""
        stream = stream_of(keys, purpose)
        noise = streams.normal(stream, first, count, of.continuous.noise_size, x.dtype)
        z, log_q = of.draw(parameters, noise)
        values = log_weight(model.likelihood(z), x, stream, first) + prior.log_prob(z) - log_q
        return values.to(x.dtype).mean(0)

    start = of.start(x)
    end, _ = ascended(lambda parameters, step: bound(parameters, "refining", step * DRAWS, DRAWS), start, steps, RATE)
    better = bound(end, "selecting", 0, SELECTION) > bound(start, "selecting", 0, SELECTION)
    best = {name: torch.where(better.unsqueeze(-1), end[name], value) for name, value in start.items()}
    return Fitted(as_distribution(of, best), better.double())


def as_distribution(of: Family, parameters: Parameters) -> Distribution:
    """The law of z = T(m + A ε), as one of the model's own kind; (image, latent)"""
    known, shift = of.continuous, parameters["shift"]
    if isinstance(known, FullNormal):
        scale = known.scale_tril
        return FullNormal(known.loc + (scale @ shift.unsqueeze(-1)).squeeze(-1), scale @ factor(parameters))
    base = known.base if isinstance(known, InverseAutoregressive) else known
    assert isinstance(base, DiagonalNormal)
    moved = DiagonalNormal(base.mean + base.stddev * shift, base.stddev * parameters["log_scale"].exp())
    return InverseAutoregressive(moved, known.steps) if isinstance(known, InverseAutoregressive) else moved


def _can_be(q: Distribution) -> bool:
    return isinstance(from_noise_form(q), DiagonalNormal | FullNormal | InverseAutoregressive)

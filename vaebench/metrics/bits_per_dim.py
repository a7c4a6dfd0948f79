"""−log₂ of the mass that the decoder gives to each pixel's bin of grey level, per pixel, importance-weighted."""

import functools
import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.data import streams
from vaebench.data.views import bins
from vaebench.metrics.answer import Answer, NotApplicable
from vaebench.metrics.calibrated import decoders, weighted, with_reason
from vaebench.metrics.importance import summary
from vaebench.metrics.subject import Subject
from vaebench.models.likelihoods.bins import log_bin_mass
from vaebench.models.likelihoods.lowrank_gaussian import LowRankNormal, log_prior

FAR = 1e3
"""Pixels lie in [0, 1]; no decoder has mass out there."""


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer | NotApplicable]:
    """−1/(N D ln 2) Σ_i ln 1/K Σ_k P(bin of x_i|z_k) p(z_k)/q(z_k|x_i), under each decoder on the same draws"""
    levels, view = subject.source.dataset.levels, subject.source.view_name
    if levels is None or view not in ("grey", "dequantised"):
        raise NotApplicable("bits per dimension need grey levels: views grey and dequantised")
    weights = weighted(
        subject,
        protocol,
        decoders(subject),
        lambda p, x: log_bin_mass(p, *_edges(x, levels, view)),
        functools.partial(given_factors, levels=levels, view=view),
    )
    unit = -1.0 / (subject.source.pixels * math.log(2.0))
    answers = []
    for part, of_decoder in weights.items():
        value, stderr, note, details = summary(of_decoder, subject.population(protocol))
        error = None if stderr is None else stderr * -unit
        answers.append(Answer(value * unit, error, part=part, note=note, details=details))
    return with_reason(answers)


def _edges(x: Tensor, levels: int, view: str) -> tuple[Tensor, Tensor]:
    """Of each pixel's bin. Where a gradient is wanted, open bins end FAR away: an infinite edge has none."""
    lower, upper = bins(x, levels, view)
    return (lower.clamp_min(-FAR), upper.clamp_max(FAR)) if torch.is_grad_enabled() else (lower, upper)


def given_factors(
    p: Distribution, x: Tensor, keys: Tensor, first: int, levels: int, view: str
) -> tuple[Distribution, Tensor]:
    """p(x|z, u) and ln p(u)/q(u|x, z), so that the pixels of a low-rank normal are independent; others as they are.

    One u for each z, from q = ½ q₁ + ½ q₂, each the factors' posterior where x is known as well as its bin tells, with
    a uniform's variance width²/12. What an open bin tells lies between nothing (q₁) and what a closed one does (q₂),
    so q is nowhere much below the posterior given the bins.
    """
    if not isinstance(p, LowRankNormal):
        return p, torch.zeros((), dtype=x.dtype, device=x.device)
    lower, upper = bins(x, levels, view)
    spread = (upper - lower).square() / 12.0
    nothing = p.factor_posterior(x, spread)
    closed = p.factor_posterior(x, spread.masked_fill(spread.isinf(), 1.0 / (12.0 * levels**2)))
    stream = streams.mixed(keys, torch.tensor(streams.key("factors"), device=keys.device))
    noise = streams.normal(stream, first, p.batch_shape[0], p.rank + 1, torch.float64)
    u = torch.where(noise[..., :1] > 0, nothing.from_noise(noise[..., 1:]), closed.from_noise(noise[..., 1:]))
    log_q = torch.logaddexp(nothing.log_prob(u), closed.log_prob(u)) - math.log(2.0)
    return p.conditional(u.to(x.dtype)), log_prior(u) - log_q

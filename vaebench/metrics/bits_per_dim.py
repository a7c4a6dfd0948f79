"""−log₂ of the mass that the decoder gives to each pixel's bin of grey level, per pixel: importance-weighted, or summed
where a category is all there is to integrate over."""

import functools
import math
from typing import Any

import torch
from torch import Tensor

from vaebench.data.views import bins
from vaebench.metrics.answer import Answer, NotApplicable, average
from vaebench.metrics.calibrated import decoders, weighted, with_reason
from vaebench.metrics.factors import given_factors
from vaebench.metrics.importance import DRAWS, summary
from vaebench.metrics.subject import Subject
from vaebench.models.likelihoods.bins import log_bin_mass
from vaebench.models.likelihoods.lowrank_gaussian import LowRankNormal
from vaebench.models.mixed import OneHot

FAR = 1e3
"""Pixels lie in [0, 1]; no decoder has mass out there."""


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer | NotApplicable]:
    """−1/(N D ln 2) Σ_i ln 1/K Σ_k P(bin of x_i|z_k) p(z_k)/q(z_k|x_i), under each decoder on the same draws"""
    levels, view = subject.source.dataset.levels, subject.source.view_name
    if levels is None or view not in ("grey", "dequantised"):
        raise NotApplicable("bits per dimension need grey levels: views grey and dequantised")
    unit = -1.0 / (subject.source.pixels * math.log(2.0))
    answers = []
    for part, (value, stderr, note, details) in _log_masses(subject, protocol, levels, view).items():
        error = None if stderr is None else stderr * -unit
        answers.append(Answer(value * unit, error, part=part, note=note, details=details))
    return with_reason(answers)


Summary = tuple[float, float | None, str, dict[str, Any]]


def _log_masses(subject: Subject, protocol: dict[str, Any], levels: int, view: str) -> dict[str, Summary]:
    """Of each decoder: the mean over images of ln P(bin of x), its standard error, a note and details."""
    population, prior = subject.population(protocol), subject.model.prior()
    if isinstance(prior, OneHot) and not _has_factors(subject, protocol, prior):
        values = _summed(subject, protocol, prior, levels, view)
        note = f"exact: a sum over {prior.noise_size} categories"
        return {part: (*average(each, torch.zeros_like(each), population), note, {}) for part, each in values.items()}
    weights = weighted(
        subject,
        protocol,
        decoders(subject),
        lambda p, x: log_bin_mass(p, *_edges(x, levels, view)),
        functools.partial(given_factors, levels=levels, view=view),
    )
    return {part: summary(of_decoder, population) for part, of_decoder in weights.items()}


def _summed(subject: Subject, protocol: dict[str, Any], category: OneHot, levels: int, view: str) -> dict[str, Tensor]:
    """ln Σ_c p(c) P(bin of x|c) under each decoder; (image,), float64.

    Draws from q(c|x) would not do: it may be all but certain of the component that is densest at x, and another has
    more mass in the bin.
    """
    parts, values = decoders(subject), []
    for model, x, _ in subject.blocks(subject.images(protocol), min(category.noise_size, DRAWS)):
        edges, log_joint = _edges(x, levels, view), []
        for those in torch.arange(category.noise_size).split(max(1, subject.rows // len(x))):
            p = model.likelihood(_codes(category, those, len(x)))
            log_masses = torch.stack([log_bin_mass(decoder(p), *edges) for decoder in parts.values()])
            log_joint.append((category.log_probs[those].unsqueeze(-1) + log_masses).double().logsumexp(1))
        values.append(torch.stack(log_joint).logsumexp(0))
    return dict(zip(parts, torch.cat(values, dim=-1), strict=True))


def _has_factors(subject: Subject, protocol: dict[str, Any], category: OneHot) -> bool:
    """Whether there is more to integrate over than the category."""
    one = subject.split(protocol["split"])[:1]
    return isinstance(subject.given(one.y).likelihood(_codes(category, torch.arange(1), 1)), LowRankNormal)


def _codes(category: OneHot, those: Tensor, images: int) -> Tensor:
    """Some of the categories, one-hot, for every image; (category, image, latent)"""
    codes = torch.nn.functional.one_hot(those.to(category.device), category.noise_size).to(category.dtype)
    return codes.unsqueeze(1).expand(-1, images, -1)


def _edges(x: Tensor, levels: int, view: str) -> tuple[Tensor, Tensor]:
    """Of each pixel's bin. Where a gradient is wanted, open bins end FAR away: an infinite edge has none."""
    lower, upper = bins(x, levels, view)
    return (lower.clamp_min(-FAR), upper.clamp_max(FAR)) if torch.is_grad_enabled() else (lower, upper)

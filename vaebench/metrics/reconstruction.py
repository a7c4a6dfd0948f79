"""E_q[ln p(x|z)], and the squared error of the decoder's mean."""

from typing import Any

import torch
from torch import Tensor

from vaebench.metrics.answer import Answer, NotApplicable, average, mean_and_variance
from vaebench.metrics.draws import draw
from vaebench.metrics.generation import mean_of
from vaebench.metrics.subject import Subject
from vaebench.models.point import NoDensity


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer | NotApplicable]:
    """L draws of z from q an image. Without a density a decoder has a squared error still, without a mean a density."""
    samples, population = protocol["samples"], subject.population(protocol)
    log_density, squared, without, meanless = [], [], None, None
    for model, x, keys in subject.blocks(subject.images(protocol), samples, "reconstruction", protocol["seed"]):
        q = model.posterior(x)
        densities, errors = [], []
        for first in range(0, samples, subject.rows):
            p = model.likelihood(draw(q, keys, first, min(subject.rows, samples - first)))
            mean = mean_of(p)
            if mean is None:
                meanless = NotApplicable("the decoder's distribution has no mean", part="squared_error")
            else:
                errors.append((x - mean).square().sum(-1))
            try:
                densities.append(p.log_prob(x))
            except NoDensity as reason:
                without = NotApplicable(str(reason))
        if meanless is None:
            squared.append(torch.cat(errors))
        if without is None:
            log_density.append(torch.cat(densities))
    return [
        without or _averaged(log_density, "", population),
        meanless or _averaged(squared, "squared_error", population),
    ]


def _averaged(blocks: list[Tensor], part: str, population: int) -> Answer:
    """blocks: (draw, image) each"""
    value, stderr = average(*mean_and_variance(torch.cat(blocks, dim=1)), population)
    return Answer(value, stderr, part=part)

"""E_q[ln p(x|z)], and the squared error of the decoder's mean."""

from typing import Any

import torch

from vaebench.metrics.answer import Answer, average, mean_and_variance
from vaebench.metrics.draws import draw
from vaebench.metrics.subject import Subject


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """L draws of z from q an image."""
    x = subject.images(protocol)
    samples, population = protocol["samples"], subject.population(protocol)
    log_density, squared = [], []
    for block, keys in subject.blocks(x, samples, "reconstruction", protocol["seed"]):
        q = subject.model.posterior(block)
        densities, errors = [], []
        for first in range(0, samples, subject.rows):
            p = subject.model.likelihood(draw(q, keys, first, min(subject.rows, samples - first)))
            densities.append(p.log_prob(block))
            errors.append((block - p.mean).square().sum(-1))
        log_density.append(torch.cat(densities))
        squared.append(torch.cat(errors))
    answers = []
    for part, draws in (("", torch.cat(log_density, dim=1)), ("squared_error", torch.cat(squared, dim=1))):
        value, stderr = average(*mean_and_variance(draws), population)
        answers.append(Answer(value, stderr, part=part))
    return answers

"""The evidence lower bound: E_q[ln p(x|z)] − KL(q(z|x) ‖ p(z)), averaged over images."""

from typing import Any

import torch

from vaebench.metrics.answer import Answer, NotApplicable, average, mean_and_variance
from vaebench.metrics.calibrated import Decoder, decoders, scored, with_reason
from vaebench.metrics.categories import expected_log_likelihood
from vaebench.metrics.draws import draw
from vaebench.metrics.kl import analytic_kl, monte_carlo_kl
from vaebench.metrics.subject import Subject


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer | NotApplicable]:
    return with_reason(lower_bounds(subject, protocol, decoders(subject)))


def lower_bounds(subject: Subject, protocol: dict[str, Any], decoders: dict[str, Decoder]) -> list[Answer]:
    """The bound under each decoder, on the same L draws of z from q an image; the KL in closed form where it is asked
    for and there is one."""
    prior, samples = subject.model.prior(), protocol["samples"]
    log_density = scored(decoders, lambda p, x: p.log_prob(x))
    values, variances, closed = [], [], True
    for model, x, keys in subject.blocks(subject.images(protocol), samples, "elbo", protocol["seed"]):
        q = model.posterior(x)
        kl = analytic_kl(q, prior) if protocol["kl"] == "analytic" else None
        closed = closed and kl is not None
        parts = []
        for first in range(0, samples, subject.rows):
            z = draw(q, keys, first, min(subject.rows, samples - first))
            divergence = monte_carlo_kl(q, prior, z) if kl is None else kl
            parts.append(expected_log_likelihood(model, q, z, x, log_density) - divergence)
        mean, variance = mean_and_variance(torch.cat(parts, dim=1).movedim(1, 0))
        values.append(mean)
        variances.append(variance)
    note = "Monte Carlo KL: it has no closed form" if protocol["kl"] == "analytic" and not closed else ""
    answers = []
    for number, part in enumerate(decoders):
        spread = torch.cat([each[number] for each in variances]) if samples > 1 else None  # type: ignore[index]
        value, stderr = average(torch.cat([each[number] for each in values]), spread, subject.population(protocol))
        answers.append(Answer(value, stderr, part=part, note=note))
    return answers

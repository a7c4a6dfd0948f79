"""The evidence lower bound: E_q[ln p(x|z)] − KL(q(z|x) ‖ p(z)), averaged over images."""

from typing import Any

import torch

from vaebench.metrics.answer import Answer, average, mean_and_variance
from vaebench.metrics.categories import expected_log_likelihood
from vaebench.metrics.draws import draw
from vaebench.metrics.kl import analytic_kl, monte_carlo_kl
from vaebench.metrics.subject import Subject


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """L draws of z from q an image; the KL in closed form where it is asked for and there is one."""
    prior, samples = subject.model.prior(), protocol["samples"]
    values, variances, closed = [], [], True
    for model, x, keys in subject.blocks(subject.images(protocol), samples, "elbo", protocol["seed"]):
        q = model.posterior(x)
        kl = analytic_kl(q, prior) if protocol["kl"] == "analytic" else None
        closed = closed and kl is not None
        parts = []
        for first in range(0, samples, subject.rows):
            z = draw(q, keys, first, min(subject.rows, samples - first))
            divergence = monte_carlo_kl(q, prior, z) if kl is None else kl
            parts.append(expected_log_likelihood(model, q, z, x) - divergence)
        mean, variance = mean_and_variance(torch.cat(parts))
        values.append(mean)
        variances.append(variance)
    spread = torch.cat(variances) if samples > 1 else None  # type: ignore[arg-type]
    value, stderr = average(torch.cat(values), spread, subject.population(protocol))
    surprise = protocol["kl"] == "analytic" and not closed
    return [Answer(value, stderr, note="Monte Carlo KL: it has no closed form" if surprise else "")]

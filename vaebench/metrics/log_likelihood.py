"""ln p(x), exact where the model knows it, else importance-weighted (Burda et al. 2016): below it in expectation."""

from typing import Any

import torch

from vaebench.metrics.answer import Answer, average
from vaebench.metrics.importance import importance_weights, summary
from vaebench.metrics.subject import Subject


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """ln 1/K Σ_k p(x, z_k)/q(z_k|x); a model with `log_prob` is scored by it, on the whole split."""
    population = subject.population(protocol)
    if hasattr(subject.model, "log_prob"):
        blocks = subject.blocks(subject.split(protocol["split"]), 1)
        values = torch.cat([block.model.log_prob(block.x) for block in blocks])  # type: ignore[attr-defined]
        value, stderr = average(values, torch.zeros_like(values), population)
        return [Answer(value, stderr, note=f"exact, on all {population} images")]
    images = subject.images(protocol)
    weights = importance_weights(subject, images, protocol["samples"], protocol["seed"], lambda p, x: p.log_prob(x))
    value, stderr, note, details = summary(weights, population)
    return [Answer(value, stderr, note=note, details=details)]

"""ln p(x), exact where the model knows it, else importance-weighted (Burda et al. 2016): below it in expectation."""

from typing import Any

import torch

from vaebench.metrics.answer import Answer, NotApplicable, average
from vaebench.metrics.calibrated import Decoder, decoders, scored, with_reason
from vaebench.metrics.importance import importance_weights, summary
from vaebench.metrics.marginal import marginal
from vaebench.metrics.subject import Subject


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer | NotApplicable]:
    """A model with `log_prob` is scored by it, on the whole split."""
    return [*with_reason(log_likelihoods(subject, protocol, decoders(subject))), marginal(subject, protocol)]


def log_likelihoods(subject: Subject, protocol: dict[str, Any], decoders: dict[str, Decoder]) -> list[Answer]:
    """ln 1/K Σ_k p(x, z_k)/q(z_k|x) under each decoder, on the same draws"""
    population = subject.population(protocol)
    if hasattr(subject.model, "log_prob"):
        blocks = subject.blocks(subject.split(protocol["split"]), 1)
        values = torch.cat([block.model.log_prob(block.x) for block in blocks])  # type: ignore[attr-defined]
        value, stderr = average(values, torch.zeros_like(values), population)
        return [Answer(value, stderr, note=f"exact, on all {population} images")]
    weights = importance_weights(
        subject,
        subject.images(protocol),
        protocol["samples"],
        protocol["seed"],
        scored(decoders, lambda p, x: p.log_prob(x)),
        defensive=protocol.get("defensive", 0.0),
    )
    answers = []
    for part, of_decoder in zip(decoders, weights.unbind(), strict=True):
        value, stderr, note, details = summary(of_decoder, population)
        answers.append(Answer(value, stderr, part=part, note=note, details=details))
    return answers

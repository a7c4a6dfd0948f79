"""ln p(x), exact where the model knows it, else importance-weighted (Burda et al. 2016): below it in expectation."""

from typing import Any

import torch
from torch import Tensor

from vaebench.data import streams
from vaebench.metrics.answer import Answer, NotApplicable, average
from vaebench.metrics.calibrated import Decoder, decoders, weighted, with_reason
from vaebench.metrics.exact import first_of_each, refusal
from vaebench.metrics.importance import importance_weights, summary
from vaebench.metrics.marginal import marginal
from vaebench.metrics.subject import Images, Subject
from vaebench.models.point import NoDensity


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer | NotApplicable]:
    """A model with `log_prob` is scored by it, on the whole split."""
    return [*with_reason(log_likelihoods(subject, protocol, decoders(subject))), marginal(subject, protocol)]


def log_likelihoods(subject: Subject, protocol: dict[str, Any], decoders: dict[str, Decoder]) -> list[Answer]:
    """ln 1/K Σ_k p(x, z_k)/q(z_k|x) under each decoder, on the same draws"""
    population = subject.population(protocol)
    if hasattr(subject.model, "log_prob"):
        values = _exact(subject, subject.split(protocol["split"]))
        reason = _refusal(subject, protocol)
        if reason is not None:
            raise ValueError(f"log_prob(x) {reason}")
        value, stderr = average(values, torch.zeros_like(values), population)
        return [Answer(value, stderr, note=f"exact, on all {population} images")]
    answers = []
    for part, of_decoder in weighted(subject, protocol, decoders, lambda p, x: p.log_prob(x)).items():
        value, stderr, note, details = summary(of_decoder, population)
        answers.append(Answer(value, stderr, part=part, note=note, details=details))
    return answers


def _exact(subject: Subject, images: Images) -> Tensor:
    """ln p(x) as the model says it; (image,)"""
    return torch.cat([block.model.log_prob(block.x) for block in subject.blocks(images, 1)])  # type: ignore[attr-defined]


def _refusal(subject: Subject, protocol: dict[str, Any]) -> str | None:
    """Why the model's log_prob is not its ln p(x), held against one draw for each image that the protocol names: a mean
    of them is the Monte Carlo ELBO. None: no reason seen, or the model has no weights to hold it against."""
    images = subject.images(protocol)
    images = images[first_of_each(streams.image_keys(images.x))]
    try:
        weights = importance_weights(subject, images, 1, protocol["seed"], lambda p, x: p.log_prob(x), words=("exact",))
    except NoDensity:
        log_weights = None
    else:
        log_weights = weights.log_mean.unsqueeze(0)
    return refusal(_exact(subject, images), log_weights, subject.source.pixels, subject.source.view_name)

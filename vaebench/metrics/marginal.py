"""ln p(x) of a conditional model that is not told the label: ln Σ_y p(y) p(x|y)."""

from typing import Any

import torch
from torch import Tensor

from vaebench.metrics.answer import Answer, NotApplicable, average
from vaebench.metrics.importance import importance_weights
from vaebench.metrics.subject import Images, Subject

PART = "marginal"


def marginal(subject: Subject, protocol: dict[str, Any]) -> Answer | NotApplicable:
    """p(y) is how often a training image has the label y; every p(x|y) is weighted with q(z|x, y) under draws of its
    own, K of them. To first order the variance of ln Σ_y p(y) p̂_y is Σ_y r_y² Var(ln p̂_y), r_y = p(y) p̂_y/Σ."""
    if not subject.conditional:
        return NotApplicable("the model is not given the label", part=PART)
    known = subject.source.labels("train")
    if known is None:
        return NotApplicable("the data set has no labels", part=PART)
    exact = hasattr(subject.model, "log_prob")
    images = subject.split(protocol["split"]) if exact else subject.images(protocol)
    shares = torch.bincount(known).double().to(images.x.device) / len(known)
    of_label = _exact if exact else _weighted
    classes = [label for label, share in enumerate(shares.tolist()) if share > 0]
    found = [of_label(subject, _labelled(images.x, label), protocol, label) for label in classes]
    log_densities, variances = (torch.stack(each) for each in zip(*found, strict=True))
    log_joint = shares[classes].log().unsqueeze(-1) + log_densities
    spread = (log_joint.softmax(0).square() * variances).sum(0)
    unknown = not exact and protocol["samples"] == 1
    value, stderr = average(log_joint.logsumexp(0), None if unknown else spread, subject.population(protocol))
    how = "exact" if exact else f"{protocol['samples']} draws for each"
    return Answer(value, stderr, part=PART, note=f"{len(classes)} labels, {how}")


def _labelled(x: Tensor, label: int) -> Images:
    return Images(x, torch.full((len(x),), label, dtype=torch.int64, device=x.device))


def _weighted(subject: Subject, images: Images, protocol: dict[str, Any], label: int) -> tuple[Tensor, Tensor]:
    """ln p̂(x|y) and its variance; (image,) each"""
    weights = importance_weights(
        subject,
        images,
        protocol["samples"],
        protocol["seed"],
        lambda p, x: p.log_prob(x),
        defensive=protocol.get("defensive", 0.0),
        words=("label", label),
    )
    return weights.log_mean, weights.variance if weights.count > 1 else torch.zeros_like(weights.log_mean)


def _exact(subject: Subject, images: Images, protocol: dict[str, Any], label: int) -> tuple[Tensor, Tensor]:
    """ln p(x|y), which has no variance; (image,) each"""
    blocks = subject.blocks(images, 1)
    log_density = torch.cat([block.model.log_prob(block.x).double() for block in blocks])  # type: ignore[attr-defined]
    return log_density, torch.zeros_like(log_density)

"""How often the shipped classifier sees the label that a conditional model was asked for."""

import math
from typing import Any

import torch
from torch import Tensor

from vaebench.metrics.answer import Answer, NotApplicable
from vaebench.metrics.classifier import Classifier, classifier_of
from vaebench.metrics.generation import generated_for
from vaebench.metrics.subject import Subject


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """Over draws, labels in the proportions of the training split; beside it, what it sees on real images."""
    if not subject.conditional:
        raise NotApplicable("the model is not asked for a label")
    classifier = classifier_of(subject.source.dataset, subject.source.device)
    samples = generated_for(subject, protocol)
    right = _right(classifier, samples.draw, samples.y)
    real = subject.split(protocol["split"])
    ceiling = float(_right(classifier, real.x, real.y).mean())
    value = float(right.mean())
    error = math.sqrt(value * (1.0 - value) / (len(right) - 1))
    details = {"real": ceiling, "classifier": classifier.hash}
    return [Answer(value, error, note=f"{ceiling:.1%} on real images", details=details)]


def _right(classifier: Classifier, x: Tensor, y: Tensor | None) -> Tensor:
    """1 where it sees the label, else 0; (image,), float64"""
    return torch.eq(classifier.labels(x), y).double()  # type: ignore[arg-type]

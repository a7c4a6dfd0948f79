"""What a model costs."""

from typing import Any

from torch import nn

from vaebench.metrics.answer import Answer, NotApplicable
from vaebench.metrics.subject import Subject

MEBIBYTE = 1 << 20


def train_seconds(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """Seconds of the fleet divided by its members."""
    if subject.train_seconds is None:
        raise NotApplicable("the model was not trained here")
    return [Answer(subject.train_seconds, 0.0)]


def peak_memory(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """MiB that the fleet's training held at most, divided by its members."""
    if subject.train_seconds is None:
        raise NotApplicable("the model was not trained here")
    if subject.peak_bytes is None:
        raise NotApplicable("measured on GPUs only, and this model was trained on none")
    return [Answer(subject.peak_bytes / MEBIBYTE, 0.0)]


def parameters(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """Learned scalars of encoder, decoder and prior."""
    if not isinstance(subject.model, nn.Module):
        raise NotApplicable("the model is no torch module")
    return [Answer(float(sum(value.numel() for value in subject.model.parameters())), 0.0)]

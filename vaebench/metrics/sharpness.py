"""Sharpness of generated images: the variance of their Laplacian, beside that of real ones."""

import math
from typing import Any

from torch import Tensor

from vaebench.metrics.answer import Answer, NotApplicable
from vaebench.metrics.generation import generated
from vaebench.metrics.subject import Subject


def sharpness(images: Tensor, side: int) -> Tensor:
    """Population variance of the valid response to [[0,1,0],[1,−4,1],[0,1,0]], nothing clipped; (image,)"""
    square = images.double().reshape(-1, side, side)
    inner = square[:, 1:-1, 1:-1]
    around = square[:, :-2, 1:-1] + square[:, 2:, 1:-1] + square[:, 1:-1, :-2] + square[:, 1:-1, 2:]
    return (around - 4.0 * inner).flatten(1).var(1, unbiased=False)


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """Decoder means against the grey test images, draws against the view's own x; codes from the prior."""
    side = subject.source.dataset.side
    if side is None:
        raise NotApplicable(f"{subject.source.dataset.name} has no images")
    samples = generated(subject, protocol["images"], protocol["seed"])
    generated_means, generated_draws = sharpness(samples.mean, side), sharpness(samples.draw, side)
    grey = float(sharpness(subject.source.grey_images(protocol["split"]), side).mean())
    own = float(sharpness(subject.source.images(protocol["split"]), side).mean())
    mean, mean_error = _mean(generated_means)
    ancestral, ancestral_error = _mean(generated_draws)
    return [
        Answer(mean, mean_error, part="mean"),
        Answer(ancestral, ancestral_error, part="ancestral"),
        Answer(own, 0.0, part="data"),
        Answer(mean / grey, mean_error / grey, part="mean_ratio", details={"grey": grey}),
        Answer(ancestral / own, ancestral_error / own, part="ancestral_ratio"),
    ]


def _mean(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std(unbiased=True)) / math.sqrt(len(values))

"""Sharpness of generated images: the variance of their Laplacian, beside that of real ones."""

import math
from typing import Any

from torch import Tensor

from vaebench.metrics.answer import Answer, NotApplicable
from vaebench.metrics.generation import by_part, generated_for
from vaebench.metrics.subject import Subject


def sharpness(images: Tensor, side: int) -> Tensor:
    """Population variance of the valid response to [[0,1,0],[1,−4,1],[0,1,0]], nothing clipped; (image,)"""
    square = images.double().reshape(-1, side, side)
    inner = square[:, 1:-1, 1:-1]
    around = square[:, :-2, 1:-1] + square[:, 2:, 1:-1] + square[:, 1:-1, :-2] + square[:, 1:-1, 2:]
    return (around - 4.0 * inner).flatten(1).var(1, unbiased=False)


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer | NotApplicable]:
    """Decoder means against the grey test images, draws against the view's own x."""
    side = subject.source.dataset.side
    if side is None:
        raise NotApplicable(f"{subject.source.dataset.name} has no images")
    samples = generated_for(subject, protocol)
    split = protocol["split"]
    real = {"grey": subject.source.grey_images(split), "own": subject.source.images(split)}
    sharp = {which: float(sharpness(images, side).mean()) for which, images in real.items()}

    def compared(part: str, images: Tensor, which: str) -> list[Answer]:
        value, error = _mean(sharpness(images, side))
        against = sharp[which]
        ratio = Answer(value / against, error / against, part=f"{part}_ratio", details={which: against})
        return [Answer(value, error, part=part), ratio]

    return by_part(
        {
            ("mean", "mean_ratio"): lambda: compared("mean", samples.mean, "grey"),
            ("ancestral", "ancestral_ratio"): lambda: compared("ancestral", samples.draw, "own"),
            ("data",): lambda: [Answer(sharp["own"], 0.0, part="data")],
        }
    )


def _mean(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std(unbiased=True)) / math.sqrt(len(values))

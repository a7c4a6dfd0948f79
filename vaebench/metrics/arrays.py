"""What a report shows of one model beside its numbers: samples, reconstructions, codes; at most 1 MB."""

import numpy as np
import torch
from torch import Tensor

from vaebench.metrics.draws import draw
from vaebench.metrics.generation import generated
from vaebench.metrics.subject import Subject
from vaebench.models.point import NoDensity

SAMPLES, RECONSTRUCTIONS, CODES = 64, 32, 1000


@torch.no_grad()
def keepsakes(subject: Subject) -> dict[str, np.ndarray]:
    """Name → array. Pixels and codes as float16: for the eye, not for numbers."""
    images = subject.split("test", torch.arange(min(CODES, len(subject.source.dataset.splits["test"].content))))
    shown = images[:RECONSTRUCTIONS]
    model = subject.given(shown.y)
    z = draw(model.posterior(shown.x), torch.arange(len(shown), device=shown.x.device), 0, 1)[0]
    arrays = {
        **_samples(subject),
        "originals": shown.x,
        "reconstructions": model.likelihood(z).mean,
        "codes": subject.codes(images),
    }
    kept = {name: value.to("cpu", torch.float16).numpy() for name, value in arrays.items()}
    return kept if images.y is None else {**kept, "labels": images.y.to("cpu", torch.uint8).numpy()}


def _samples(subject: Subject) -> dict[str, Tensor]:
    """None of a model that has no prior to draw codes from."""
    try:
        samples = generated(subject, SAMPLES, seed=0)
    except NoDensity:
        return {}
    return {"sample_means": samples.mean, "sample_draws": samples.draw}

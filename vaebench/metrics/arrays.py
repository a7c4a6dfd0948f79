"""What a report shows of one model beside its numbers: samples, reconstructions, codes; at most 1 MB."""

import numpy as np
import torch
from torch import Tensor

from vaebench.metrics.draws import draw
from vaebench.metrics.sharpness import generated
from vaebench.metrics.subject import Subject
from vaebench.models.point import NoDensity

SAMPLES, RECONSTRUCTIONS, CODES = 64, 32, 1000


@torch.no_grad()
def keepsakes(subject: Subject) -> dict[str, np.ndarray]:
    """Name → array. Pixels and codes as float16: for the eye, not for numbers."""
    x = subject.source.images("test")
    shown = x[:RECONSTRUCTIONS]
    codes = subject.codes(x[:CODES])
    q = subject.model.posterior(shown)
    z = draw(q, torch.arange(len(shown), device=shown.device), 0, 1)[0]
    arrays = {
        **_samples(subject),
        "originals": shown,
        "reconstructions": subject.model.likelihood(z).mean,
        "codes": codes,
    }
    kept = {name: value.to("cpu", torch.float16).numpy() for name, value in arrays.items()}
    labels = subject.source.labels("test")
    return kept if labels is None else {**kept, "labels": labels[:CODES].to(torch.uint8).numpy()}


def _samples(subject: Subject) -> dict[str, Tensor]:
    """None of a model that has no prior to draw codes from."""
    try:
        means, draws = generated(subject, SAMPLES, seed=0)
    except NoDensity:
        return {}
    return {"sample_means": means, "sample_draws": draws}

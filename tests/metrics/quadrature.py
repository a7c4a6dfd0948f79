"""Small models of two continuous latents, whose ln p(x) a grid finds."""

import dataclasses
import math

import torch

from tests.compositions import composition
from vaebench.data.dataset import Split
from vaebench.metrics.subject import Subject
from vaebench.models.composition import Composition

TEMPERATURES = {"temperature": 1.0, "final_temperature": 0.5}
JOINT = {
    "latent": 6,
    "posterior": {"name": "joint", "categories": 4, **TEMPERATURES},
    "prior": {"name": "normal-and-uniform", "categories": 4},
}
CATEGORICAL = {"posterior": {"name": "categorical", **TEMPERATURES}, "prior": {"name": "uniform-categorical"}}


def only(source, count):
    """A source with few test images, so that no error comes from choosing them."""
    test = source.dataset.splits["test"]
    few = Split(test.content[:count], None if test.labels is None else test.labels[:count])
    splits = {**source.dataset.splits, "test": few}
    return dataclasses.replace(source, dataset=dataclasses.replace(source.dataset, splits=splits))


def subject_of(source, turn=3.0, **choices):
    """An untrained model whose decoder turns on its code."""
    torch.manual_seed(0)
    model = Composition(composition(**{"latent": 2, **choices}), source.dataset.shape).double().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if "decoder" in name or "likelihood" in name:
            parameter.mul_(turn)
    return Subject(model, source)


def log_likelihood(subject):
    """Mean over the test images of ln 1/C Σ_c ∫ p(z) p(x|z, c) dz, c behind the two z if there is a category."""
    axis = torch.linspace(-6, 6, 161).double()
    grid = torch.cartesian_prod(axis, axis).unsqueeze(1)
    images = subject.split("test")
    model, prior = subject.given(images.y), subject.model.prior()
    codes = [torch.zeros(0)]
    if hasattr(prior, "gaussian"):
        prior, codes = prior.gaussian, list(torch.eye(prior.category.noise_size))
    parts = []
    for code in codes:
        z = torch.cat([grid, code.double().expand(len(grid), 1, -1)], dim=-1).expand(-1, len(images), -1)
        parts.append(model.likelihood(z).log_prob(images.x) + prior.log_prob(grid))
    area = 2 * math.log(float(axis[1] - axis[0]))
    return float((torch.cat(parts).logsumexp(0) + area - math.log(len(codes))).mean())

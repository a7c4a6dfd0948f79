"""What a report shows of one model beside its numbers: samples, reconstructions, codes, walks; at most 1 MB."""

import functools
from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.data import streams
from vaebench.metrics import walks
from vaebench.metrics.answer import NotApplicable
from vaebench.metrics.draws import draw
from vaebench.metrics.generation import generated
from vaebench.metrics.subject import Images, Subject
from vaebench.models.distributions import DiagonalNormal, IndependentPixels
from vaebench.models.likelihoods.lowrank_gaussian import LowRankNormal
from vaebench.models.likelihoods.truncated_gaussian import TruncatedNormal
from vaebench.models.point import NoDensity, Point

SAMPLES, RECONSTRUCTIONS, STRIPS = 64, 32, 8
CODES, CODE_NUMBERS = 1000, 100_000
"""Codes that are kept, and numbers that they may be altogether."""


@torch.no_grad()
def keepsakes(subject: Subject, chosen: Sequence[int] = (), priors: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Name → array. Pixels and codes as float16: for the eye, not for numbers.

    `chosen` are latents that the objective singles out, so that they are walked along whatever they carry. `priors` are
    laws that codes are to come from besides the model's own, by the catalog's names: what is generated from them is
    kept under names that end in `@PRIOR`.
    """
    test = subject.split("test")
    codes = subject.codes(test[:CODES])
    kept = max(1, CODE_NUMBERS // codes.shape[-1])
    floats = {
        **_samples(subject, "own"),
        **{f"{name}@{prior}": value for prior in priors for name, value in _samples(subject, prior).items()},
        **_strips(subject),
        **_reconstructions(subject, test[:RECONSTRUCTIONS]),
        **walks.walks(subject, test[:CODES], codes, chosen),
        "codes": codes[:kept],
    }
    arrays = {name: _for_the_eye(value) for name, value in floats.items()}
    if test.y is not None:
        arrays["labels"] = test.y[: len(arrays["codes"])].to("cpu", torch.uint8).numpy()
    counts = walks.code_counts(subject, test)
    return arrays if counts is None else {**arrays, "code_counts": counts.cpu().numpy()}


def _for_the_eye(value: Tensor) -> np.ndarray:
    """Floats in half precision, indices as small integers."""
    kind = torch.float16 if value.is_floating_point() else torch.int16
    array: np.ndarray = value.to("cpu", kind).numpy()
    return array


def _samples(subject: Subject, prior: str) -> dict[str, Tensor]:
    """None where there is no such law to draw codes from, as of codes that are not finite, or the decoder has no mean
    or gives nothing to draw."""
    try:
        samples = generated(subject, SAMPLES, seed=0, prior=prior)
        images = {"sample_means": samples.mean, "sample_draws": samples.draw}
    except (NoDensity, NotApplicable, ValueError):
        return {}
    return images if samples.y is None else {**images, "sample_labels": samples.y}


def _strips(subject: Subject) -> dict[str, Tensor]:
    """μ and σ of the pixels at the first samples' codes, from which μ − 2σ … μ + 2σ are made (Beaulac 2019, fig 5)."""
    try:
        samples = generated(subject, STRIPS, seed=0)
    except NoDensity:
        return {}
    found = location_and_scale(subject.given(samples.y).likelihood(samples.z))
    return {} if found is None else {"strip_means": found[0], "strip_sigmas": found[1]}


def _reconstructions(subject: Subject, images: Images) -> dict[str, Tensor]:
    """x, and the mean of p(x|z) and a draw from it at one z ~ q(z|x)."""
    model, device = subject.given(images.y), subject.source.device
    rows = range(len(images))
    z = draw(model.posterior(images.x), torch.arange(len(images), device=device), 0, 1)[0]
    p = model.likelihood(z)
    found = {"originals": images.x, "reconstructions": p.mean}
    if isinstance(p, Point):
        return found
    keys = streams.keys((("reconstructed x", row) for row in rows), device)
    return {**found, "reconstruction_draws": draw(p, keys, 0, 1)[0]}


@functools.singledispatch
def location_and_scale(p: Distribution) -> tuple[Tensor, Tensor] | None:
    """μ and σ of every pixel of a Gaussian p(x|z), None of any other; (image, pixel) each"""
    return None


@location_and_scale.register
def _(p: DiagonalNormal) -> tuple[Tensor, Tensor] | None:
    return p.base_dist.loc, p.base_dist.scale


@location_and_scale.register
def _(p: LowRankNormal) -> tuple[Tensor, Tensor] | None:
    """σ_d² + Σ_r W_dr², the variance of a pixel whatever the factors are"""
    return p.loc, (p.scale.square() + p.factors.square().sum(-1)).sqrt()


@location_and_scale.register
def _(p: IndependentPixels) -> tuple[Tensor, Tensor] | None:
    """Those of the normal before it is truncated."""
    return (p.base_dist.loc, p.base_dist.scale) if isinstance(p.base_dist, TruncatedNormal) else None

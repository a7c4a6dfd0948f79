"""Fréchet distance between generated and real images, in the features of the classifier that ships for the data set.

It is not FID, whose features are those of Inception on photographs.
"""

import functools
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vaebench.data import streams
from vaebench.metrics.answer import Answer, NotApplicable
from vaebench.metrics.classifier import classifier_of
from vaebench.metrics.fitted_mixture import CODES, COMPONENTS
from vaebench.metrics.generation import Generated, by_part, generated, generated_for
from vaebench.metrics.subject import Subject

TINY = 1e-12
"""Share of the largest eigenvalue below which one counts as 0."""


class Moments(NamedTuple):
    """Of a Gaussian, float64."""

    mean: Tensor
    """(feature,)"""
    covariance: Tensor
    """(feature, feature)"""


def moments(features: Tensor) -> Moments:
    """Mean and covariance, with divisor N − 1; (image, feature)"""
    return Moments(features.double().mean(0), torch.cov(features.double().mT))


def frechet_distance(first: Moments, second: Moments) -> float:
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½), where tr (Σ₁Σ₂)^½ = tr (Σ₂^½ Σ₁ Σ₂^½)^½, the root of a symmetric matrix"""
    root = _root(second.covariance)
    eigenvalues = torch.linalg.eigvalsh(root @ first.covariance @ root).clamp_min(0.0)
    distance = (first.mean - second.mean).square().sum()
    return float(distance + first.covariance.trace() + second.covariance.trace() - 2.0 * eigenvalues.sqrt().sum())


def standard_error(features: Tensor, real: Moments) -> float:
    """Of the distance, with the real images fixed, by the infinitesimal jackknife over the generated ones.

    The distance is a smooth function of the moments of the generated features f_i. Its derivatives are 2δ, with
    δ = μ₁ − μ₂, and I − T, with T = Σ₂^½ (Σ₂^½ Σ₁ Σ₂^½)^−½ Σ₂^½, so that one image moves it by 1/n of

        φ_i = 2 δᵀ(f_i − μ₁) + (f_i − μ₁)ᵀ (I − T) (f_i − μ₁),   se² = Var(φ)/n.

    One decomposition serves all images, where a jackknife that leaves out each in turn takes n of them, and a
    bootstrap adds once more the bias that the distance has from few images. features: (image, feature)
    """
    own = moments(features)
    root = _root(real.covariance)
    values, vectors = torch.linalg.eigh(root @ own.covariance @ root)
    inverse_roots = torch.where(values > TINY * values.amax(), values.abs().rsqrt(), 0.0)
    transport = root @ (vectors * inverse_roots) @ vectors.mT @ root
    centred = features.double() - own.mean
    curved = centred - centred @ transport
    influence = 2.0 * centred @ (own.mean - real.mean) + (centred * curved).sum(-1)
    return float(influence.std(unbiased=True)) / math.sqrt(len(features))


def floor(features: Tensor, count: int, seed: int) -> float:
    """What real images have from each other: of disjoint random parts, one of `count` images (half at most) and the
    rest; (image, feature)"""
    shuffled = features[streams.permutation(streams.key("floor", seed), 0, len(features)).to(features.device)]
    count = min(count, len(features) // 2)
    return frechet_distance(moments(shuffled[:count]), moments(shuffled[count:]))


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer | NotApplicable]:
    """Decoder means against grey images of the split, draws against the view's own x, all of them."""
    classifier = classifier_of(subject.source.dataset, subject.source.device)
    count, seed, split = protocol["images"], protocol["seed"], protocol["split"]
    real_images = {"grey": subject.source.grey_images, "own": subject.source.images}

    @functools.cache
    def real(which: str) -> tuple[Moments, float]:
        """And what its images have from each other."""
        features = classifier.features(real_images[which](split))
        return moments(features), floor(features, count, seed)

    def compared(part: str, images: Tensor, which: str, **details: Any) -> list[Answer]:
        features, (target, least) = classifier.features(images), real(which)
        value, error = frechet_distance(moments(features), target), standard_error(features, target)
        note = f"real images have {least:.3g} from each other"
        return [Answer(value, error, part, note, {"floor": least, "classifier": classifier.hash, **details})]

    @functools.cache
    def asked() -> Generated:
        return generated_for(subject, protocol)

    def fitted() -> Tensor:
        return generated(subject, count, seed, prior="fitted-gmm").mean

    return by_part(
        {
            ("mean",): lambda: compared("mean", asked().mean, "grey"),
            ("ancestral",): lambda: compared("ancestral", asked().draw, "own"),
            ("fitted_gmm",): lambda: compared("fitted_gmm", fitted(), "grey", components=COMPONENTS, codes=CODES),
        }
    )


def _root(matrix: Tensor) -> Tensor:
    """Of a symmetric positive semidefinite matrix; what rounding made negative counts as 0."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(0.0).sqrt()) @ vectors.mT

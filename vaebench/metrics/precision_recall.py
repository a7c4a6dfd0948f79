"""Precision and recall of generated images (Kynkäänniemi et al. 2019), in the features of the shipped classifier.

The manifold of some images is the union of balls around them, each as wide as the distance to the k-th nearest other.
Precision is the share of generated images on the manifold of the real ones, recall the share of real images on that
of the generated.
"""

import math
from typing import Any

import torch
from torch import Tensor

from vaebench.data import streams
from vaebench.metrics.answer import Answer
from vaebench.metrics.classifier import classifier_of
from vaebench.metrics.generation import generated_for
from vaebench.metrics.subject import Subject

PARTITIONS = 5
"""Of the centres of a manifold into thirds, for the standard error."""
NUMBERS = 1 << 22
"""Distances that are held at once."""


def precision(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """Draws on the manifold of the view's own images."""
    real, drawn, left_out, details = _features(subject, protocol)
    value, of_draws, of_images = _share(on_manifold(drawn, real, protocol["neighbours"], thirds_left_out(len(real))))
    return [Answer(value, math.sqrt(of_draws + left_out * of_images), details=details)]


def recall(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """The view's own images on the manifold of draws."""
    real, drawn, left_out, details = _features(subject, protocol)
    value, of_images, of_draws = _share(on_manifold(real, drawn, protocol["neighbours"], thirds_left_out(len(drawn))))
    return [Answer(value, math.sqrt(left_out * of_images + of_draws), details=details)]


def on_manifold(points: Tensor, centres: Tensor, neighbours: int, sets: Tensor) -> Tensor:
    """Whether ‖p − c‖ ≤ r_k(c) for some centre c of a set, r_k its distance to the k-th nearest other of the set.

    points, centres: (image, feature); sets: (set, centre), booleans → (set, point)
    """
    sets = sets.to(centres.device)
    size = max(1, NUMBERS // len(centres))
    radii = torch.cat([_radii(_distances(part, centres), neighbours, sets) for part in centres.split(size)], dim=1)
    radii = radii.masked_fill(~sets, -1.0)  # a ball that holds nothing
    inside = []
    for part in points.split(size):
        distances = _distances(part, centres)
        inside.append(torch.stack([(distances <= radius).any(-1) for radius in radii]))
    return torch.cat(inside, dim=1)


def thirds_left_out(count: int) -> Tensor:
    """All of them, then those without each third of each random partition; (1 + 3 partitions, image), booleans"""
    rows = [torch.ones(count, dtype=torch.bool)]
    for partition in range(PARTITIONS):
        third = streams.permutation(streams.key("thirds"), partition, count) % 3
        rows += [third != left_out for left_out in range(3)]
    return torch.stack(rows)


def _radii(distances: Tensor, neighbours: int, sets: Tensor) -> Tensor:
    """The k-th smallest distance to another centre of each set, found among the nearest of all; infinite where a set
    has fewer; distances: (row, centre) → (set, row)"""
    most = min(distances.shape[1], 8 * neighbours + 64)  # so many hold k of two thirds but for a chance below 10⁻²⁰
    nearest, index = distances.topk(most, largest=False, sorted=True)
    nearest, index = nearest[:, 1:], index[:, 1:]  # the first is the centre itself, or one that equals it
    rank = sets[:, index].cumsum(-1)
    place = (rank < neighbours).sum(-1)
    return torch.nn.functional.pad(nearest, (0, 1), value=torch.inf).gather(1, place.mT).mT


def _distances(points: Tensor, centres: Tensor) -> Tensor:
    """Without the matrix product that would lose the digits of small distances; (point, centre)"""
    return torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist")


def _share(inside: Tensor) -> tuple[float, float, float]:
    """Share p of the points on the manifold and its variance over points, p(1 − p)/(n − 1), and over centres.

    The latter is the jackknife that leaves out thirds, ⅔ Σ_t (p_−t − p̄)², averaged over partitions. With smaller parts
    it overstates the error by a third and more, for the distances of nearest neighbours move in jumps.
    """
    shares = inside.double().mean(1)
    value = float(shares[0])
    over_points = value * (1.0 - value) / max(1, inside.shape[1] - 1)
    over_centres = 2.0 * float(shares[1:].reshape(-1, 3).var(1, unbiased=False).mean())
    return value, over_points, over_centres


def _features(subject: Subject, protocol: dict[str, Any]) -> tuple[Tensor, Tensor, float, dict[str, Any]]:
    """Of real images and of as many draws; the share of the split that the real ones leave out, 1 − n/N, which weighs
    what they add to the error; and what is to be told."""
    classifier = classifier_of(subject.source.dataset, subject.source.device)
    images = subject.images(protocol)
    drawn = generated_for(subject, protocol, len(images)).draw
    left_out = 1.0 - len(images) / subject.population(protocol)
    details = {"images": len(images), "classifier": classifier.hash}
    return classifier.features(images.x), classifier.features(drawn), left_out, details

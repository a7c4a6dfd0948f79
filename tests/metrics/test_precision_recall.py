"""Precision and recall against brute force and on sets with known overlap."""

import math

import pytest
import torch

from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.metrics import precision_recall
from vaebench.metrics.classifier import HASHES, classifier_of
from vaebench.metrics.generation import generated
from vaebench.metrics.precision_recall import _share, on_manifold, precision, recall, thirds_left_out
from vaebench.metrics.subject import Subject
from vaebench.models.distributions import DiagonalNormal


def points(count, size, seed, centre=0.0):
    return centre + torch.randn(count, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def covered(inside):
    """Share of the points on the manifold of all centres."""
    return float(inside[0].double().mean())


def by_brute_force(asked, centres, neighbours):
    """One point and one centre at a time."""
    radii = []
    for i, centre in enumerate(centres):
        others = sorted(float((centre - other).norm()) for j, other in enumerate(centres) if j != i)
        radii.append(others[neighbours - 1])
    return [any(float((p - c).norm()) <= r for c, r in zip(centres, radii, strict=True)) for p in asked]


@pytest.mark.parametrize("neighbours", [1, 3, 7])
def test_the_manifold_is_that_of_brute_force_also_without_a_third(neighbours):
    asked, centres = points(30, 2, 0), points(40, 2, 1, centre=1.5)
    sets = thirds_left_out(40)
    inside = on_manifold(asked, centres, neighbours, sets)
    assert 0 < covered(inside) < 1
    for chosen, found in zip(sets[:7], inside[:7], strict=True):
        assert found.tolist() == by_brute_force(asked, centres[chosen], neighbours)


def test_a_ball_among_many_centres_is_found_without_sorting_them_all():
    """More centres than the search for the k-th neighbour of a set looks at."""
    asked, centres = points(50, 3, 0), points(400, 3, 1)
    sets = thirds_left_out(400)
    inside = on_manifold(asked, centres, 3, sets)
    for chosen, found in zip(sets, inside, strict=True):
        own = centres[chosen]
        radii = torch.cdist(own, own).kthvalue(4, dim=-1).values
        assert torch.equal(found, (torch.cdist(asked, own) <= radii).any(-1))


def test_the_size_of_blocks_moves_nothing(monkeypatch):
    asked, centres, sets = points(100, 4, 0), points(90, 4, 1), thirds_left_out(90)
    whole = on_manifold(asked, centres, 3, sets)
    monkeypatch.setattr(precision_recall, "NUMBERS", 7 * 90)
    assert torch.equal(on_manifold(asked, centres, 3, sets), whole)


def test_each_partition_leaves_out_every_centre_once():
    sets = thirds_left_out(100)
    assert bool(sets[0].all())
    for partition in sets[1:].reshape(-1, 3, 100):
        assert torch.equal((~partition).sum(0), torch.ones(100, dtype=torch.long))
    assert not torch.equal(sets[1], sets[4])


def test_precision_and_recall_are_the_known_overlap():
    """Real images in clusters A and B, generated ones in C and D and, copies of the real ones, in B."""
    a, b, c, d = (points(100, 8, seed, centre=1000.0 * seed) for seed in range(4))
    real, drawn = torch.cat([a, b]), torch.cat([b, c, d])
    assert covered(on_manifold(drawn, real, 3, thirds_left_out(200))) == pytest.approx(1 / 3)
    assert covered(on_manifold(real, drawn, 3, thirds_left_out(300))) == pytest.approx(1 / 2)
    other = torch.cat([points(100, 2, 4, centre=1000.0), points(100, 2, 5, centre=5000.0)])
    real = torch.cat([points(100, 2, 6, centre=1000.0), points(100, 2, 7)])
    assert covered(on_manifold(other, real, 3, thirds_left_out(200))) == pytest.approx(1 / 2, abs=0.05)


def test_a_set_covers_itself_and_sets_apart_do_not_meet():
    here, there = points(60, 5, 0), points(60, 5, 1, centre=1000.0)
    assert covered(on_manifold(here, here, 3, thirds_left_out(60))) == 1.0
    assert covered(on_manifold(here, there, 3, thirds_left_out(60))) == 0.0
    twice = here.repeat(5, 1)  # every image has its nearest others at distance 0
    assert covered(on_manifold(here, twice, 3, thirds_left_out(300))) == 1.0


def test_the_errors_are_the_spread_over_repetitions():
    """Of the points at fixed centres, and of the centres at fixed points, the latter roughly."""
    fixed_points, fixed_centres, sets = points(200, 3, 0, centre=0.8), points(200, 3, 1), thirds_left_out(200)
    of_points, of_centres = [], []
    for seed in range(150):
        of_points.append(_share(on_manifold(points(200, 3, 100 + seed, centre=0.8), fixed_centres, 3, sets)))
        of_centres.append(_share(on_manifold(fixed_points, points(200, 3, 1000 + seed), 3, sets)))
    values, variances, _ = (torch.tensor(column) for column in zip(*of_points, strict=True))
    assert float(variances.mean().sqrt()) == pytest.approx(float(values.std()), rel=0.15)
    values, _, variances = (torch.tensor(column) for column in zip(*of_centres, strict=True))
    assert 0.85 < float(variances.mean().sqrt() / values.std()) < 1.3


class Gallery:
    """Draws are training images of some labels, in black and white as the view has them."""

    def __init__(self, source, labels):
        chosen = torch.isin(source.labels("train"), torch.tensor(labels))
        self.images = source.images("train")[chosen]

    def prior(self):
        return DiagonalNormal(torch.zeros(1), torch.ones(1))

    def posterior(self, x):
        return DiagonalNormal(x[:, :1], torch.ones(len(x), 1))

    def likelihood(self, z):
        place = (torch.special.ndtr(z[..., 0]) * len(self.images)).long().clamp(max=len(self.images) - 1)
        return DiagonalNormal(self.images[place], torch.full((len(z), 64), 1e-9))


@pytest.fixture(scope="module")
def source():
    return Source(load_dataset("digits"), "binary")


def test_a_model_that_knows_half_of_the_labels_is_as_precise_and_recalls_less(source):
    protocol = {"images": 1000, "neighbours": 3, "split": "test", "seed": 0}
    every, some = (Subject(Gallery(source, labels), source) for labels in (list(range(10)), list(range(5))))
    (all_precise,), (all_recalled,) = precision(every, protocol), recall(every, protocol)
    (precise,), (recalled,) = precision(some, protocol), recall(some, protocol)
    assert precise.value == pytest.approx(all_precise.value, abs=0.1)
    assert recalled.value < all_recalled.value - 0.2
    assert precise.details == {"images": 300, "classifier": HASHES["digits"]}


def test_the_evaluators_compare_draws_with_the_views_images_in_the_classifiers_features(source):
    subject = Subject(Gallery(source, list(range(10))), source)
    protocol = {"images": 100, "neighbours": 3, "split": "test", "seed": 0}
    features = classifier_of(source.dataset).features
    real = features(subject.images(protocol).x)
    drawn = features(generated(subject, 100, seed=0).draw)
    sets = thirds_left_out(100)
    (precise,), (recalled,) = precision(subject, protocol), recall(subject, protocol)
    value, of_draws, of_images = _share(on_manifold(drawn, real, 3, sets))
    assert precise.value == value
    assert precise.stderr == pytest.approx(math.sqrt(of_draws + (1 - 100 / 300) * of_images))
    value, of_images, of_draws = _share(on_manifold(real, drawn, 3, sets))
    assert recalled.value == value
    assert recalled.stderr == pytest.approx(math.sqrt(of_draws + (1 - 100 / 300) * of_images))

"""The Fréchet distance against closed forms, against torchmetrics, and its error against repetition."""

import dataclasses
import math

import pytest
import torch

from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.metrics.classifier import HASHES, classifier_of
from vaebench.metrics.evaluation import evaluate
from vaebench.metrics.frechet import Moments, floor, frechet_distance, moments, standard_error
from vaebench.metrics.subject import Subject
from vaebench.models.classical.pca import PrincipalComponents
from vaebench.models.distributions import DiagonalNormal
from vaebench.store.record import MetricRequest

PROTOCOL = {"images": 300, "split": "test", "seed": 0}


def gaussian(size, seed):
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(size, size, dtype=torch.float64, generator=generator)
    return Moments(torch.randn(size, dtype=torch.float64, generator=generator), factor @ factor.mT / size)


def sampled(distribution, count, seed):
    """(image, feature)"""
    noise = torch.randn(
        count, len(distribution.mean), dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    return distribution.mean + noise @ torch.linalg.cholesky(distribution.covariance).mT


def test_the_distance_of_known_gaussians_is_the_closed_form():
    """Covariances that commute: ‖δ‖² + Σ (√a − √b)². Any of two rows: tr (AB)^½ = (tr AB + 2 |AB|^½)^½."""
    a, b = torch.tensor([4.0, 1.0, 0.0, 9.0]).double(), torch.tensor([1.0, 1.0, 2.0, 0.25]).double()
    turned = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    delta = torch.tensor([1.0, 0.0, -2.0, 0.5]).double()
    first = Moments(delta, turned @ torch.diag(a) @ turned.mT)
    second = Moments(torch.zeros(4).double(), turned @ torch.diag(b) @ turned.mT)
    expected = float(delta.square().sum() + (a.sqrt() - b.sqrt()).square().sum())
    assert frechet_distance(first, second) == pytest.approx(expected, abs=1e-6)
    assert frechet_distance(second, first) == pytest.approx(expected, abs=1e-6)

    first, second = gaussian(2, 1), gaussian(2, 2)
    product = first.covariance @ second.covariance
    root = math.sqrt(float(product.trace()) + 2 * math.sqrt(float(torch.linalg.det(product))))
    distance = float((first.mean - second.mean).square().sum())
    expected = distance + float(first.covariance.trace() + second.covariance.trace()) - 2 * root
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("size", [3, 64])
def test_torchmetrics_has_the_same_distance(size):
    oracle = pytest.importorskip("torchmetrics.image.fid")
    first, second = gaussian(size, 3), gaussian(size, 4)
    theirs = float(oracle._compute_fid(first.mean, first.covariance, second.mean, second.covariance))
    assert frechet_distance(first, second) == pytest.approx(theirs, rel=1e-9)


def test_a_set_has_no_distance_from_itself_also_where_its_covariance_is_singular():
    features = torch.randn(40, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(moments(features), moments(features)) == pytest.approx(0.0, abs=1e-5)
    many = sampled(gaussian(8, 0), 500, 0)
    assert frechet_distance(moments(many), moments(many)) == pytest.approx(0.0, abs=1e-10)


def test_moments_are_those_of_torchs_estimators():
    features = sampled(gaussian(5, 0), 50, 0)
    found = moments(features.float())
    centred = features - features.mean(0)
    assert found.mean.dtype == torch.float64
    assert torch.allclose(found.covariance, centred.mT @ centred / 49, rtol=1e-4, atol=1e-5)


def test_the_error_is_the_jackknife_that_leaves_out_one_image_at_a_time():
    real = gaussian(6, 1)
    features = sampled(gaussian(6, 2), 200, 0)
    without = [
        frechet_distance(moments(torch.cat([features[:i], features[i + 1 :]])), real) for i in range(len(features))
    ]
    jackknife = math.sqrt(199 / 200 * float((torch.tensor(without) - torch.tensor(without).mean()).square().sum()))
    assert standard_error(features, real) == pytest.approx(jackknife, rel=0.05)


def test_the_error_is_the_spread_over_repetitions():
    real, generator = gaussian(6, 1), gaussian(6, 2)
    sets = [sampled(generator, 300, seed) for seed in range(300)]
    spread = torch.tensor([frechet_distance(moments(features), real) for features in sets]).std()
    errors = torch.tensor([standard_error(features, real) for features in sets])
    assert float(errors.mean()) == pytest.approx(float(spread), rel=0.12)


def test_the_floor_is_the_distance_of_disjoint_parts_and_falls_with_their_size():
    features = sampled(gaussian(6, 0), 2000, 0)
    found = [floor(features, count, seed=0) for count in (50, 200, 1000, 5000)]
    assert found[0] > found[1] > found[2] > 0
    assert found[3] == found[2]  # half of them at most
    assert floor(features[:10].repeat(100, 1), 500, seed=0) < 0.1 * found[0]


class Gallery:
    """Decodes training images, which one by the code, with noise about them; the more noise, the worse its draws."""

    def __init__(self, source, noise=0.0, split="train"):
        self.images, self.noise = source.grey_images(split), noise

    def prior(self):
        return DiagonalNormal(torch.zeros(2), torch.ones(2))

    def posterior(self, x):
        return DiagonalNormal(x[:, :2], torch.full((len(x), 2), 0.1))

    def likelihood(self, z):
        place = (torch.special.ndtr(z[..., 0]) * len(self.images)).long().clamp(max=len(self.images) - 1)
        mean = self.images[place]
        return DiagonalNormal(mean, torch.full_like(mean, self.noise + 1e-9))


@pytest.fixture(scope="module")
def source():
    return Source(load_dataset("digits"), "grey")


def values(model, source, **more):
    asked = evaluate(Subject(model, source), [MetricRequest("frechet", {**PROTOCOL, **more})])
    return {value.metric.partition(".")[2]: value for value in asked}


def test_real_images_come_near_the_floor_and_noise_drives_draws_but_not_means_away(source):
    good, noisy = values(Gallery(source), source), values(Gallery(source, noise=0.5), source)
    assert good["mean"].value < 1.5 * good["mean"].details["floor"]
    assert good["ancestral"].value == pytest.approx(good["mean"].value, rel=1e-6)
    assert noisy["mean"].value == pytest.approx(good["mean"].value, rel=1e-6)
    assert noisy["ancestral"].value > 3 * good["ancestral"].value
    assert good["mean"].details["classifier"] == HASHES["digits"]
    assert 0 < good["mean"].stderr < good["mean"].value


def test_it_is_the_distance_of_the_features_of_grey_means_and_of_the_views_own_draws(source):
    """The code picks the images in their order, so the whole number can be taken by hand."""
    from vaebench.metrics.generation import generated

    binary = Source(source.dataset, "binary")
    model = Gallery(binary, noise=0.3)
    found = values(model, binary)
    samples = generated(Subject(model, binary), 300, seed=0)
    features = classifier_of(source.dataset).features
    against = {"mean": (samples.mean, binary.grey_images("test")), "ancestral": (samples.draw, binary.images("test"))}
    for part, (images, real) in against.items():
        assert found[part].value == frechet_distance(moments(features(images)), moments(features(real)))


def test_a_fitted_mixture_serves_a_model_whose_prior_misses_the_codes(source):
    """Codes far from N(0, I): the mixture finds them, so its images are those of the codes."""

    class Shifted(Gallery):
        """The image stands at its own place of a row of codes around 50; elsewhere there is noise."""

        def posterior(self, x):
            loc = torch.full((len(x), 2), 50.0)
            return DiagonalNormal(loc, torch.ones(len(x), 2))

        def likelihood(self, z):
            p = super().likelihood(z - 50.0)
            lost = (z[..., :1] - 50.0).abs() > 10
            return DiagonalNormal(torch.where(lost, 0.5, p.base_dist.loc), p.base_dist.scale)

    found = values(Shifted(source), source)
    assert found["fitted_gmm"].value < 1.5 * found["fitted_gmm"].details["floor"]
    assert found["mean"].value > 10 * found["fitted_gmm"].value


def test_principal_components_are_sampled_by_the_mixture_alone(source):
    model = PrincipalComponents(64, 8)
    x = source.images("train")
    model.mean.data = x.mean(0)
    model.basis.data = torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh[:8].mT
    found = values(model, source)
    assert found["mean"].status == found["ancestral"].status == "n/a"
    assert found["mean"].note == "PCA has no prior p(z)"
    assert found["fitted_gmm"].status == "done"
    sampled_so = values(model, source, generation_prior="fitted-gmm")
    assert sampled_so["mean"].value == found["fitted_gmm"].value
    assert "nothing to draw" in sampled_so["ancestral"].note


def test_where_no_classifier_ships_there_is_no_distance(source):
    other = dataclasses.replace(source, dataset=dataclasses.replace(source.dataset, name="kmnist"))
    found = values(Gallery(source), other)
    assert {value.status for value in found.values()} == {"n/a"}
    assert set(found) == {"mean", "ancestral", "fitted_gmm"}
    assert "no classifier ships for kmnist" in found["mean"].note

"""Train minus test, where both are known."""

import dataclasses

import pytest
import torch

from tests.compositions import composition
from vaebench.data.dataset import Split, load_dataset
from vaebench.data.source import Source
from vaebench.metrics import generalisation_gap
from vaebench.metrics.evaluation import evaluate
from vaebench.metrics.subject import Subject
from vaebench.models.classical.ppca import ProbabilisticPca
from vaebench.models.composition import Composition
from vaebench.store.record import MetricRequest

PROTOCOL = {"split": "test", "seed": 0, "elbo_samples": 8, "samples": 2, "images": 300}


@pytest.fixture(scope="module")
def log_densities(real, exact_subject):
    """ln p(x) of every training and test image, by torch's own normal."""
    known = exact_subject.model.exact
    covariance = known.weights @ known.weights.T + known.sigma**2 * torch.eye(20, dtype=torch.float64)
    normal = torch.distributions.MultivariateNormal(known.mean, covariance)
    return {split: normal.log_prob(real.images(split)) for split in ("train", "test")}


def test_an_exact_model_has_the_gap_of_its_log_densities(exact_subject, log_densities):
    """With the exact posterior every weight is p(x), so the gap is that of the very images that were asked about."""
    bound, likelihood = generalisation_gap.evaluate(exact_subject, PROTOCOL)
    means = {}
    for split, values in log_densities.items():
        index = exact_subject.index({**PROTOCOL, "split": split})
        assert len(index) == 300
        means[split] = float(values[index].mean())
    assert likelihood.value == pytest.approx(means["train"] - means["test"], rel=1e-9)
    assert abs(bound.value - likelihood.value) < 3 * bound.stderr
    assert likelihood.details == pytest.approx(means)


def test_its_interval_covers_the_gap_of_the_whole_splits(exact_subject, log_densities):
    """Both sides are subsets, and the error of both is in it: 91 to 99 % of 200 repetitions."""
    truth = float(log_densities["train"].mean() - log_densities["test"].mean())
    hits = 0
    for seed in range(200):
        _, answer = generalisation_gap.evaluate(
            exact_subject, {**PROTOCOL, "elbo_samples": 1, "images": 100, "seed": seed}
        )
        hits += abs(answer.value - truth) < 1.96 * answer.stderr
    assert 0.91 <= hits / 200 <= 0.99


def test_a_model_of_thirty_images_remembers_them(real):
    """Probabilistic PCA fitted to 30 images with 15 latents: its gap is large, and that of its own densities."""
    few = Split(real.dataset.splits["train"].content[:30])
    source = dataclasses.replace(
        real, dataset=dataclasses.replace(real.dataset, splits={**real.dataset.splits, "train": few})
    )
    x = source.images("train")
    values, vectors = torch.linalg.eigh((x - x.mean(0)).T @ (x - x.mean(0)) / 30)
    noise = values[:5].mean()
    model = ProbabilisticPca(20, 15).double().requires_grad_(False)
    model.weights.copy_(vectors[:, 5:] * (values[5:] - noise).sqrt())
    model.mean.copy_(x.mean(0))
    model.sigma.copy_(noise.sqrt())
    covariance = model.weights @ model.weights.T + noise * torch.eye(20, dtype=torch.float64)
    normal = torch.distributions.MultivariateNormal(model.mean, covariance)
    truth = float(normal.log_prob(x).mean() - normal.log_prob(source.images("test")).mean())
    bound, likelihood = generalisation_gap.evaluate(Subject(model, source), {**PROTOCOL, "elbo_samples": 64})
    assert truth > 5
    assert likelihood.value == pytest.approx(truth, rel=1e-9)
    assert likelihood.stderr == 0.0
    assert likelihood.note.startswith("exact")
    assert abs(bound.value - truth) < 4 * bound.stderr


@pytest.mark.parametrize("numbers", [20, 20 * 64])
def test_the_evaluation_batch_moves_no_number(wrong_subject, real, numbers):
    other = Subject(wrong_subject.model, real, block_numbers=numbers)
    pairs = zip(
        *(generalisation_gap.evaluate(each, {**PROTOCOL, "images": 50}) for each in (wrong_subject, other)), strict=True
    )
    for one, two in pairs:
        assert two.value == pytest.approx(one.value, rel=1e-10)
        assert two.stderr == pytest.approx(one.stderr, rel=1e-9)


def test_a_point_posterior_has_no_bound_on_either_side():
    source = Source(load_dataset("digits"), "grey", dtype=torch.float64)
    choices = composition(
        posterior={"name": "point"}, likelihood={"name": "gaussian-squared-error", "sigma_floor": 1e-3}
    )
    model = Composition(choices, source.dataset.shape).double().eval()
    values = evaluate(Subject(model, source), [MetricRequest("generalisation_gap", PROTOCOL)])
    assert {(value.metric, value.status, value.note) for value in values} == {
        ("generalisation_gap.elbo", "n/a", "q is a point"),
        ("generalisation_gap.log_likelihood", "n/a", "q is a point"),
    }

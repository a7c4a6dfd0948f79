"""ln Σ_y p(y) p(x|y) of conditional models, against normals whose density is known."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from vaebench.data.dataset import Split, load_dataset
from vaebench.data.source import Source
from vaebench.metrics import log_likelihood
from vaebench.metrics.answer import NotApplicable
from vaebench.metrics.subject import Subject
from vaebench.models.distributions import DiagonalNormal, FullNormal

TEST = {"split": "test", "seed": 0, "images": 300}


class LabelledLinear(nn.Module):
    """x = W z + m_y + σ ε with z ~ N(0, I₂), m_y the mean of the training images of y. q(z|x, y) is the exact
    posterior, or a diagonal one that is `wrong`."""

    conditional = True

    def __init__(self, source, wrong=0.0, sigma=0.25):
        super().__init__()
        x, y = source.images("train"), source.labels("train")
        self.means = torch.stack([x[y == label].mean(0) for label in range(10)])
        generator = torch.Generator().manual_seed(0)
        self.weights = 0.2 * torch.randn(64, 2, dtype=torch.float64, generator=generator)
        self.sigma, self.wrong = sigma, wrong
        precision = self.weights.T @ self.weights / self.sigma**2 + torch.eye(2, dtype=torch.float64)
        self.covariance = precision.inverse()

    def prior(self):
        return DiagonalNormal(torch.zeros(2).double(), torch.ones(2).double())

    def posterior(self, x, y):
        mean = (x - self.means[y]) @ self.weights @ self.covariance / self.sigma**2
        if self.wrong == 0.0:
            return FullNormal(mean, torch.linalg.cholesky(self.covariance).expand(len(x), 2, 2))
        deviation = self.covariance.diagonal().sqrt()
        return DiagonalNormal(mean + self.wrong * deviation, (deviation * (1 + self.wrong)).expand_as(mean))

    def likelihood(self, z, y):
        mean = z @ self.weights.T + self.means[y]
        return DiagonalNormal(mean, torch.full_like(mean, self.sigma))

    def truth(self, x):
        """ln p(x|y) of every label; (image, label)"""
        covariance = self.weights @ self.weights.T + self.sigma**2 * torch.eye(64, dtype=torch.float64)
        return torch.distributions.MultivariateNormal(self.means, covariance).log_prob(x.unsqueeze(1))


class SaysItself(LabelledLinear):
    """Knows its ln p(x|y)."""

    def log_prob(self, x, y):
        return self.truth(x).gather(1, y[:, None]).squeeze(1)


@pytest.fixture(scope="module")
def source():
    return Source(load_dataset("digits"), "grey", dtype=torch.float64)


def marginal_of(subject, **protocol):
    (answer,) = [each for each in log_likelihood.evaluate(subject, {**TEST, **protocol}) if each.part == "marginal"]
    return answer


def truth_of(source):
    shares = torch.bincount(source.labels("train")).double() / len(source.labels("train"))
    return (LabelledLinear(source).truth(source.images("test")) + shares.log()).logsumexp(1)


def test_with_exact_posteriors_one_draw_finds_the_mixture_of_the_labels(source):
    truth = truth_of(source)
    assert marginal_of(Subject(LabelledLinear(source), source), samples=1).value == pytest.approx(
        float(truth.mean()), rel=1e-10
    )
    answer = marginal_of(Subject(SaysItself(source), source), samples=1)
    assert answer.value == pytest.approx(float(truth.mean()), rel=1e-10)
    assert answer.stderr == 0.0


def test_with_wrong_posteriors_it_finds_it_within_its_error(source):
    answer = marginal_of(Subject(LabelledLinear(source, wrong=0.5), source), samples=200)
    assert 0 < answer.stderr < 0.05
    assert abs(answer.value - float(truth_of(source).mean())) < 3 * answer.stderr


@pytest.mark.parametrize("sigma", [0.25, 3.0])
def test_its_standard_error_is_that_of_many_repetitions(source, sigma):
    """Where the image tells its label, and where many labels share it, so that their errors average out."""
    few = dataclasses.replace(source, dataset=_only_first(source.dataset, 10))
    subject = Subject(LabelledLinear(source, wrong=0.5, sigma=sigma), few)
    answers = [marginal_of(subject, samples=10, seed=seed) for seed in range(100)]
    spread = torch.tensor([answer.value for answer in answers]).std()
    claimed = torch.tensor([answer.stderr for answer in answers]).mean()
    assert float(claimed) == pytest.approx(float(spread), rel=0.3)


def _only_first(dataset, count):
    test = dataset.splits["test"]
    kept = Split(test.content[:count], test.labels[:count])
    return dataclasses.replace(dataset, splits={**dataset.splits, "test": kept})


def test_a_label_that_no_training_image_has_takes_no_part(source):
    labels = source.labels("train")
    train = Split(source.dataset.splits["train"].content[labels < 7], labels[labels < 7])
    fewer = dataclasses.replace(
        source, dataset=dataclasses.replace(source.dataset, splits={**source.dataset.splits, "train": train})
    )
    shares = torch.bincount(train.labels).double() / len(train.labels)
    truth = (LabelledLinear(source).truth(source.images("test"))[:, :7] + shares.log()).logsumexp(1)
    answer = marginal_of(Subject(LabelledLinear(source), fewer), samples=1)
    assert answer.value == pytest.approx(float(truth.mean()), rel=1e-10)


def test_the_right_labels_say_more_than_none_and_wrong_ones_less(source):
    subject = Subject(LabelledLinear(source), source)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    test = source.dataset.splits["test"]
    shuffled = Split(test.content, test.labels[order])
    wrong = dataclasses.replace(
        source, dataset=dataclasses.replace(source.dataset, splits={**source.dataset.splits, "test": shuffled})
    )
    with_label = log_likelihood.evaluate(subject, {**TEST, "samples": 2})[0].value
    misled = log_likelihood.evaluate(Subject(subject.model, wrong), {**TEST, "samples": 2})[0].value
    without = marginal_of(subject, samples=2).value
    assert with_label > without > misled
    assert without > with_label - math.log(10) - 0.2  # a label is worth ln 10 at most, where p(y) is even
    assert marginal_of(Subject(subject.model, wrong), samples=2).value == pytest.approx(without, rel=1e-12)


@pytest.mark.parametrize("numbers", [64, 64 * 50])
def test_the_evaluation_batch_moves_no_number(source, numbers):
    model = LabelledLinear(source, wrong=0.5)
    one, two = (
        marginal_of(Subject(model, source, block_numbers=size), samples=5, images=40) for size in (None, numbers)
    )
    assert two.value == pytest.approx(one.value, rel=1e-12)
    assert two.stderr == pytest.approx(one.stderr, rel=1e-9)


def test_a_model_that_is_given_no_label_is_not_asked(exact_subject):
    answer = marginal_of(exact_subject, samples=2)
    assert isinstance(answer, NotApplicable)
    assert "not given the label" in str(answer)

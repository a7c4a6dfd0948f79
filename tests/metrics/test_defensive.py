"""A share of the draws from the prior, for a q that is too narrow."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from vaebench.data import streams
from vaebench.data.dataset import Split
from vaebench.metrics import log_likelihood
from vaebench.metrics.draws import draw
from vaebench.metrics.importance import importance_weights, proposed
from vaebench.metrics.subject import Images, Subject
from vaebench.models.distributions import DiagonalNormal

TEST = {"split": "test", "seed": 0, "images": 1000}


class Narrow(nn.Module):
    """z ~ N(0, 1) and 20 pixels N(0.2 z, 1), so that the posterior is N(m(x), 1/1.8); q has its mean and a twentieth of
    its deviation. `exact` is ln p(x)."""

    PRECISION = 1.0 + 20 * 0.2**2

    def prior(self):
        return DiagonalNormal(torch.zeros(1).double(), torch.ones(1).double())

    def posterior(self, x):
        mean = 0.2 * x.sum(-1, keepdim=True) / self.PRECISION
        return DiagonalNormal(mean, torch.full_like(mean, 0.05 / math.sqrt(self.PRECISION)))

    def likelihood(self, z):
        mean = (0.2 * z).expand(*z.shape[:-1], 20)
        return DiagonalNormal(mean, torch.ones_like(mean))

    def exact(self, x):
        covariance = torch.eye(20).double() + 0.04
        return torch.distributions.MultivariateNormal(torch.zeros(20).double(), covariance).log_prob(x)


@pytest.fixture(scope="module")
def own(real):
    """Images that the model itself drew."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1000, 1, dtype=torch.float64, generator=generator)
    x = 0.2 * z + torch.randn(1000, 20, dtype=torch.float64, generator=generator)
    dataset = dataclasses.replace(real.dataset, splits={**real.dataset.splits, "test": Split(x)})
    return dataclasses.replace(real, dataset=dataset)


@pytest.fixture(scope="module")
def narrow(own):
    return Subject(Narrow(), own)


@pytest.mark.parametrize("samples", [100, 1000])
def test_with_a_q_that_is_too_narrow_the_defensive_draws_find_the_truth_and_plain_ones_do_not(narrow, own, samples):
    """And the error that stands beside the plain number does not know: it is a hundredth of what is missing. What the
    logarithm of a mean of K weights loses is half the variance of that mean."""
    truth = float(Narrow().exact(own.images("test")).mean())
    plain = log_likelihood.evaluate(narrow, {**TEST, "samples": samples, "defensive": 0.0})[0]
    defended = log_likelihood.evaluate(narrow, {**TEST, "samples": samples, "defensive": 0.3})[0]
    assert truth - plain.value > 1.5
    assert truth - plain.value > 100 * plain.stderr
    loss = 0.5 * 1000 * defended.stderr**2
    assert abs(defended.value + loss - truth) < 3 * defended.stderr
    least = [answer.details["effective_sample_size"]["least"] for answer in (plain, defended)]
    assert least[0] < 1.1
    assert least[1] > 0.015 * samples


def test_the_mean_weight_is_unbiased_for_every_share(narrow, own):
    """E[1/K Σ w_k] = p(x), also where whole draws make the share another one than was asked."""
    x = own.images("test")[:1].expand(4000, -1) + 0.0
    keys = streams.keys(("repetition", number) for number in range(4000))
    model, prior, truth = Narrow(), Narrow().prior(), float(Narrow().exact(x[:1]).exp())
    for samples, share in ((5, 0.1), (5, 0.9), (8, 0.5)):
        ratios, decoded = [], []
        for _, z, log_ratio in proposed(model.posterior(x), prior, keys, samples, 3, share):
            ratios.append(log_ratio)
            decoded.append(model.likelihood(z).log_prob(x))
        weights = (torch.cat(ratios) + torch.cat(decoded)).exp()
        assert len(weights) == samples
        means = weights.mean(0)
        assert abs(float(means.mean()) - truth) < 3.5 * float(means.std()) / math.sqrt(4000)


def test_without_a_share_the_weights_are_those_of_q_alone_to_the_last_bit(wrong_subject, real):
    x = real.images("test")[:40]
    model = wrong_subject.model
    q = model.posterior(x)
    z = draw(q, streams.image_keys(x, "importance", 0), 0, 30)
    expected = torch.logsumexp(model.likelihood(z).log_prob(x) + (model.prior().log_prob(z) - q.log_prob(z)), 0)
    found = importance_weights(wrong_subject, Images(x), 30, 0, lambda p, x: p.log_prob(x))
    assert torch.equal(found.log_sum, expected)
    none = importance_weights(wrong_subject, Images(x), 30, 0, lambda p, x: p.log_prob(x), defensive=0.0)
    assert torch.equal(none.log_sum, expected)


@pytest.mark.parametrize("numbers", [20, 20 * 7, 20 * 5000])
def test_the_evaluation_batch_moves_no_number(narrow, own, numbers):
    protocol = {**TEST, "images": 60, "samples": 13, "defensive": 0.3}
    one = log_likelihood.evaluate(narrow, protocol)[0]
    two = log_likelihood.evaluate(Subject(Narrow(), own, block_numbers=numbers), protocol)[0]
    assert two.value == pytest.approx(one.value, rel=1e-12)
    assert two.stderr == pytest.approx(one.stderr, rel=1e-9)


def test_no_weight_exceeds_the_likelihood_over_the_share(narrow, own):
    x = own.images("test")[:20]
    weights = importance_weights(narrow, Images(x), 10, 0, lambda p, x: torch.zeros(p.batch_shape), defensive=0.2)
    assert float(weights.log_sum_squares.max()) <= math.log(10) + 2 * math.log(1 / 0.2)

"""`vaebench.evaluate`: what a suite would report of a model, whoever trained it."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal

import vaebench
from vaebench.project import UnknownName


class FairCoins:
    """Every pixel is a fair coin, whatever the code: ln p(x) = −64 ln 2."""

    def prior(self):
        return Independent(Normal(torch.zeros(2), torch.ones(2)), 1)

    def posterior(self, x):
        return Independent(Normal(torch.zeros(len(x), 2), torch.ones(len(x), 2)), 1)

    def likelihood(self, z):
        return Independent(Bernoulli(logits=torch.zeros(*z.shape[:-1], 64)), 1)


def test_a_foreign_model_gets_its_exact_numbers():
    values = vaebench.evaluate(FairCoins(), "digits/binary", ["elbo", "log_likelihood", "kl", "active_units"])
    assert values["elbo"].value == pytest.approx(-64 * math.log(2), rel=1e-5)
    assert values["log_likelihood"].value == pytest.approx(-64 * math.log(2), rel=1e-5)
    assert values["kl"].value == pytest.approx(0.0, abs=1e-6)
    assert values["active_units"].value == 0


def test_one_metric_may_be_named_by_itself_and_a_part_brings_its_family():
    assert set(vaebench.evaluate(FairCoins(), "digits/binary", "elbo")) == {"elbo"}
    assert "sharpness.mean_ratio" in vaebench.evaluate(FairCoins(), "digits/binary", "sharpness.mean")


@pytest.mark.parametrize(
    ("dataset", "metric", "expected"),
    [
        ("digits/grye", "elbo", "did you mean 'digits/grey'"),
        ("digits/binary", "elbow", "did you mean 'elbo'"),
        ("digits/binary", "bits_per_dim", "views grey and dequantised"),
    ],
)
def test_wrong_names_are_refused_with_the_nearest(dataset, metric, expected):
    with pytest.raises(UnknownName, match=expected):
        vaebench.evaluate(FairCoins(), dataset, [metric])

"""Models whose every number is known, to be asked by evaluators that do not know it."""

import pytest
import torch
from torch import nn

from vaebench.data.dataset import load_dataset
from vaebench.data.linear_gaussian import truth
from vaebench.data.source import Source
from vaebench.metrics.subject import Subject
from vaebench.models.classical.ppca import ProbabilisticPca
from vaebench.models.distributions import DiagonalNormal


class LinearGaussian(nn.Module):
    """The model that made the linear-Gaussian data. Its q is the exact posterior, or one that is wrong on purpose;
    it does not say what ln p(x) is unless asked for `exact`."""

    def __init__(self, wrong: float = 0.0) -> None:
        super().__init__()
        known = truth()
        self.exact = ProbabilisticPca(20, 5).double().requires_grad_(False)
        self.exact.weights.copy_(known.weights)
        self.exact.mean.copy_(known.mean)
        self.exact.sigma.fill_(known.sigma)
        self.wrong = wrong

    def prior(self):
        return self.exact.prior()

    def posterior(self, x):
        q = self.exact.posterior(x)
        if self.wrong == 0.0:
            return q
        deviation = q.covariance_matrix.diagonal(dim1=-2, dim2=-1).sqrt()
        return DiagonalNormal(q.loc + self.wrong * deviation, deviation * (1 + self.wrong))

    def likelihood(self, z):
        return self.exact.likelihood(z)


@pytest.fixture(scope="session")
def real():
    return Source(load_dataset("linear-gaussian"), "real", dtype=torch.float64)


@pytest.fixture(scope="session")
def exact_subject(real):
    return Subject(LinearGaussian(), real)


@pytest.fixture(scope="session")
def wrong_subject(real):
    return Subject(LinearGaussian(wrong=0.3), real)


@pytest.fixture(scope="session")
def log_density(real):
    """ln p(x) of each test image, by torch's own normal."""
    known = truth()
    covariance = known.weights @ known.weights.T + known.sigma**2 * torch.eye(20, dtype=torch.float64)
    return torch.distributions.MultivariateNormal(known.mean, covariance).log_prob(real.images("test"))

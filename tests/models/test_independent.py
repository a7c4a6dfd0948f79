"""Models without a code: frequencies, their histograms, and what a collapsed VAE is worth."""

import math

import pytest
import torch
from torch.distributions import Uniform

from tests.compositions import composition
from vaebench.data.dataset import Shape
from vaebench.data.views import bins
from vaebench.models.distributions import IndependentPixels
from vaebench.models.likelihoods.bins import log_bin_mass, log_mass
from vaebench.models.likelihoods.level_histogram import LevelHistogram
from vaebench.training.independent import Frequencies

LEVELS = 5


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def histogram():
    return LevelHistogram(torch.randn(3, LEVELS, dtype=torch.float64))


def choices(likelihood, **objective):
    return composition(
        network={"name": "none"},
        latent=1,
        likelihood=likelihood,
        posterior={"name": "exact"},
        prior={"name": "standard-normal"},
        objective={"name": "frequencies", "smoothing": 1.0, **objective},
    )


def test_a_histograms_density_integrates_to_one_and_to_its_distribution_function(histogram):
    x = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    grid = x.unsqueeze(-1).expand(-1, 3)
    density = histogram.log_prob(grid).exp()
    integral = density.cumsum(0) / 200_000
    torch.testing.assert_close(integral[-1], torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-4)
    torch.testing.assert_close(histogram.cdf(grid + 0.5 / 200_000), integral, rtol=0, atol=1e-4)
    torch.testing.assert_close(histogram.mean, (density * grid).mean(0), rtol=0, atol=1e-4)
    torch.testing.assert_close(
        histogram.variance, (density * grid.square()).mean(0) - (density * grid).mean(0).square(), rtol=0, atol=1e-4
    )


def test_nothing_lies_outside_of_0_and_1(histogram):
    outside = torch.tensor([[-1e-6] * 3, [1.0 + 1e-6] * 3], dtype=torch.float64)
    assert (histogram.log_prob(outside) == -torch.inf).all()
    assert (histogram.cdf(outside) == torch.tensor([[0.0], [1.0]])).all()


def test_its_inverse_undoes_its_distribution_function_also_in_a_batch(histogram):
    u = torch.rand(4, 7, 3, dtype=torch.float64)
    drawn = histogram.expand([7, 3]).icdf(u)
    torch.testing.assert_close(histogram.cdf(drawn), u, rtol=0, atol=1e-12)
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_the_mass_of_a_levels_bin_is_its_frequency(histogram):
    """Exactly π_k, the open outer bins too."""
    x = (torch.arange(LEVELS, dtype=torch.float64) / (LEVELS - 1)).unsqueeze(-1).expand(-1, 3)
    masses = log_mass(histogram, *bins(x, LEVELS, "grey"))
    torch.testing.assert_close(masses, histogram.logits.mT, rtol=1e-12, atol=0)


def test_even_levels_are_a_uniform_density_but_for_the_outer_bins():
    """Half as wide as the others, so twice as dense."""
    even = LevelHistogram(torch.zeros(1, LEVELS, dtype=torch.float64))
    x = torch.tensor([[0.3], [0.01]], dtype=torch.float64)
    inner = Uniform(*torch.tensor([-0.125, 1.125], dtype=torch.float64)).log_prob(x[0, 0])
    torch.testing.assert_close(even.log_prob(x).squeeze(-1), torch.stack([inner, inner + math.log(2.0)]))


def test_frequencies_are_those_that_were_counted():
    """Two images of three are lit at the first pixel, none at the second; one more image is spread over both levels."""
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    model = Frequencies().fit(choices({"name": "bernoulli"}), x, seed=0).model
    torch.testing.assert_close(model.logits.sigmoid(), torch.tensor([2.5 / 4, 0.5 / 4], dtype=torch.float64))
    levels = torch.tensor([[0.0], [0.5], [0.5]])
    model = Frequencies().fit(choices({"name": "level-histogram", "levels": 3}), levels, seed=0).model
    expected = torch.tensor([[4 / 3, 7 / 3, 1 / 3]], dtype=torch.float64) / 4
    torch.testing.assert_close(model.logits.exp(), expected)


@pytest.mark.parametrize("likelihood", [{"name": "bernoulli"}, {"name": "level-histogram", "levels": 3}])
def test_hardly_smoothed_they_are_more_likely_than_any_others(likelihood):
    """The maximum of the likelihood: every perturbation has less."""
    x = torch.randint(0, 3, (200, 4)).double() / 2
    x = (x > 0.4).double() if likelihood["name"] == "bernoulli" else x
    model = Frequencies().fit(choices(likelihood, smoothing=1e-9), x, seed=0).model
    best = model.log_prob(x).mean()
    for _ in range(20):
        other = Frequencies().model(choices(likelihood), Shape(4)).double()
        with torch.no_grad():
            other.logits.copy_(model.logits + 0.1 * torch.randn_like(model.logits))
        assert other.log_prob(x).mean() < best


def test_the_code_moves_nothing_and_importance_weights_are_exact():
    """ln p(z) + ln p(x|z) − ln q(z|x) = ln p(x) at every z."""
    x = torch.randint(0, 3, (50, 4)).double() / 2
    model = Frequencies().fit(choices({"name": "level-histogram", "levels": 3}), x, seed=0).model
    q = model.posterior(x)
    z = q.sample((6,))
    weights = model.prior().log_prob(z) + model.likelihood(z).log_prob(x) - q.log_prob(z)
    torch.testing.assert_close(weights, model.log_prob(x).expand(6, 50), rtol=1e-12, atol=0)
    masses = log_bin_mass(model.likelihood(z), *bins(x, 3, "grey"))
    assert masses.shape == (6, 50)
    assert isinstance(model.likelihood(z), IndependentPixels)

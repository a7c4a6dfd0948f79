"""Bits per dimension where they are known: sums over a category, and factors integrated by quadrature."""

import math

import pytest
import torch
from scipy.stats import norm
from torch import nn

from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.data.views import bins
from vaebench.metrics.bits_per_dim import evaluate
from vaebench.metrics.factors import at_mode, given_factors
from vaebench.metrics.subject import Subject
from vaebench.models.classical.gmm import DiagonalMixture
from vaebench.models.likelihoods.bins import log_bin_mass
from vaebench.models.likelihoods.lowrank_gaussian import LowRankNormal, log_prior
from vaebench.models.mixed import OneHot

DOUBLE, LEVELS = torch.float64, 256
PROTOCOL = {"samples": 50, "images": 1000, "seed": 0, "split": "test"}


@pytest.fixture(scope="module")
def digits():
    return Source(load_dataset("digits"), "grey", dtype=DOUBLE)


@pytest.fixture(scope="module")
def mixture(digits):
    """Ten components about as many images, their σ below the width of a bin at some pixels, far above it at others."""
    torch.manual_seed(0)
    model = DiagonalMixture(64, 10).double().requires_grad_(False)
    model.means.copy_(digits.images("train")[:10])
    model.sigma.copy_(0.04 + 0.4 * torch.rand(10, 64, dtype=DOUBLE) ** 3)
    model.log_weights.copy_(torch.randn(10, dtype=DOUBLE))
    return model


def test_of_a_mixture_they_are_the_sum_over_its_components(digits, mixture):
    """−1/(D ln 2) ln Σ_k π_k Π_d (Φ(b_d) − Φ(a_d)) by scipy, from the side where Φ is small; no error on all images."""
    answer, calibrated = evaluate(Subject(mixture, digits), PROTOCOL)
    x = digits.images("test").unsqueeze(1)
    edges = [(edge - mixture.means) / mixture.sigma for edge in bins(x, 17, "grey")]
    right = x > mixture.means
    low, high = torch.where(right, -edges[1], edges[0]), torch.where(right, -edges[0], edges[1])
    mass = torch.from_numpy(norm.cdf(high.numpy()) - norm.cdf(low.numpy()))
    log_joint = mixture.log_weights.log_softmax(-1) + mass.log().sum(-1)
    bits = -log_joint.logsumexp(-1) / (64 * math.log(2.0))
    assert bool(bits.isfinite().all())
    assert answer.value == pytest.approx(float(bits.mean()), rel=1e-9)
    assert answer.stderr == 0.0
    assert answer.note == "exact: a sum over 10 categories"
    assert calibrated.part == "calibrated"


def test_of_a_mixture_they_are_no_matter_of_blocks(digits, mixture):
    together, apart = (
        evaluate(Subject(mixture, digits, block_numbers=numbers), PROTOCOL)[0].value for numbers in (1 << 20, 64 * 30)
    )
    assert together == pytest.approx(apart, rel=1e-12)


def low_rank(images, pixels, black, rank, sigma, ratio):
    """Factors of the size `ratio` · σ, at `black` pixels about the lowest level; and images drawn of it."""
    torch.manual_seed(0)
    level = torch.where(torch.arange(pixels) < black, 0.0, 0.5).to(DOUBLE)
    loc = level + 0.01 * torch.randn(images, pixels, dtype=DOUBLE)
    scale = torch.full((images, pixels), sigma, dtype=DOUBLE)
    p = LowRankNormal(loc, sigma * ratio * torch.randn(images, pixels, rank, dtype=DOUBLE), scale)
    x = p.from_noise(torch.randn(images, p.noise_size, dtype=DOUBLE)).clamp(0, 1)
    return p, torch.round(x * (LEVELS - 1)) / (LEVELS - 1)


def log_weights(p, x, draws):
    many = LowRankNormal(*(value.expand(draws, *value.shape) for value in (p.loc, p.factors, p.scale)))
    conditional, log_ratio = given_factors(many, x, torch.arange(len(x)), 0, LEVELS, "grey")
    return log_bin_mass(conditional, *bins(x, LEVELS, "grey")) + log_ratio


@pytest.mark.parametrize("ratio", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("sigma", [0.001, 0.05, 1.0])
def test_many_black_pixels_together_are_no_harder_to_integrate_over(sigma, ratio):
    """Each open bin tells that a pixel's mean is low or lower; 200 of them shift the two factors to where none of them
    alone would. Against a grid of 10 deviations about the mode."""
    p, x = low_rank(4, 240, 200, 2, sigma, ratio)
    found = log_weights(p, x, 2000)
    estimate, error = found.logsumexp(0) - math.log(2000), (found - found.logsumexp(0)).exp().std(0) * math.sqrt(2000)
    lower, upper = bins(x, LEVELS, "grey")
    mode = at_mode(p, lower, upper, torch.zeros(4, 2, dtype=DOUBLE))
    line = torch.linspace(-10, 10, 101, dtype=DOUBLE)
    grid = torch.cartesian_prod(line, line).unsqueeze(1)
    u = mode.from_noise(grid.expand(-1, 4, -1))
    values = torch.cat([log_bin_mass(p.conditional(part), lower, upper) + log_prior(part) for part in u.split(2000)])
    area = 2.0 * math.log(0.2) + mode.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    exact = values.logsumexp(0) + area
    assert bool(((estimate - exact).abs() < 4 * error + 1e-6).all())
    assert float(error.max()) < 0.05
    assert float(torch.exp(2 * found.logsumexp(0) - (2 * found).logsumexp(0)).min()) > 0.4 * 2000


def test_eight_factors_behind_six_hundred_black_pixels_leave_draws_of_effect():
    """Of 784 pixels; with as many factors as a low-rank row has, at ten times the size that leaves one draw in 100."""
    p, x = low_rank(5, 784, 630, 8, 0.05, 1.0)
    found = log_weights(p, x, 100)
    assert float(torch.exp(2 * found.logsumexp(0) - (2 * found).logsumexp(0)).min()) > 30


class Labelled(nn.Module):
    """A category alone, each with a low-rank decoder: there is more to integrate over than the category."""

    def __init__(self):
        super().__init__()
        self.p, _ = low_rank(3, 64, 30, 2, 0.1, 1.0)

    def prior(self):
        return OneHot(torch.zeros(3, dtype=DOUBLE))

    def posterior(self, x):
        return OneHot(torch.zeros(len(x), 3, dtype=DOUBLE))

    def likelihood(self, z):
        return LowRankNormal(
            *(torch.tensordot(z, value, dims=1) for value in (self.p.loc, self.p.factors, self.p.scale))
        )


def test_factors_behind_a_category_are_drawn(digits):
    answer, _ = evaluate(Subject(Labelled(), digits), {**PROTOCOL, "images": 10})
    assert "effective sample size" in answer.note
    assert answer.stderr > 0

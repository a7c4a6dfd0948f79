"""Decoders made of torch's own distributions: their bits against closed forms, their densities against exact ones."""

import math

import pytest
import scipy.stats
import torch
from torch.distributions import (
    AffineTransform,
    Categorical,
    ContinuousBernoulli,
    Gumbel,
    Independent,
    Laplace,
    MixtureSameFamily,
    Normal,
    SigmoidTransform,
    StudentT,
    TransformedDistribution,
    Uniform,
)

from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.data.views import bins
from vaebench.metrics.contract import check_contract
from vaebench.metrics.evaluation import evaluate_model
from vaebench.models.likelihoods.bins import log_mass
from vaebench.models.point import NoDensity
from vaebench.store.record import MetricRequest

LEVELS = 256
TEST = {"split": "test", "seed": 0}


def logistic(loc, scale):
    unit = Uniform(torch.zeros_like(loc), torch.ones_like(loc))
    return TransformedDistribution(unit, [SigmoidTransform().inv, AffineTransform(loc, scale)])


def mirrored_logistic(loc, scale):
    """The same law by another road: −1 times its mirror image."""
    return TransformedDistribution(logistic(-loc, scale), [AffineTransform(0.0, -1.0)])


def mixture(loc, scale):
    weights = Categorical(torch.tensor([0.3, 0.7], dtype=loc.dtype).expand(*loc.shape, 2))
    return MixtureSameFamily(weights, Normal(torch.stack([loc, loc + 0.4], -1), torch.stack([scale, scale], -1)))


def edges(dtype):
    x = (torch.arange(LEVELS, dtype=torch.float64) / (LEVELS - 1)).unsqueeze(-1)
    return tuple(edge.to(dtype) for edge in bins(x, LEVELS, "grey"))


def log_difference(log_cdf, log_survival, lower, upper):
    """ln (F(b) − F(a)) by scipy, in the tail that keeps its digits."""
    left = log_cdf(lower), log_cdf(upper)
    right = log_survival(upper), log_survival(lower)
    small, large = (torch.where(left[1] < math.log(0.5), *pair) for pair in zip(left, right, strict=True))
    return large + torch.log1p(-(small - large).exp())


def by_scipy(law):
    """ln of the mass of each bin, in float64"""
    lower, upper = edges(torch.float64)
    return log_difference(
        *(lambda x, of=of: torch.as_tensor(of(x.numpy())) for of in (law.logcdf, law.logsf)), lower, upper
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.3, 0.02, 0.004])
@pytest.mark.parametrize(
    ("made", "law"),
    [
        (Laplace, scipy.stats.laplace),
        (logistic, scipy.stats.logistic),
        (mirrored_logistic, scipy.stats.logistic),
    ],
    ids=["laplace", "logistic", "mirrored"],
)
def test_bins_of_symmetric_laws_are_those_of_scipy_in_both_tails(made, law, scale, dtype):
    loc = torch.full((LEVELS, 1), 0.3, dtype=dtype)
    mass = log_mass(made(loc, torch.full_like(loc, scale)), *edges(dtype))
    expected = by_scipy(law(0.3, scale))
    assert float(expected.min()) < -1 / scale / 2
    assert torch.allclose(mass.double(), expected, rtol=1e-5 if dtype == torch.float32 else 1e-9, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bins_of_a_mixture_are_the_weighted_bins_of_its_parts(dtype):
    loc = torch.full((LEVELS, 1), 0.3, dtype=dtype)
    mass = log_mass(mixture(loc, torch.full_like(loc, 0.01)), *edges(dtype))
    parts = [by_scipy(scipy.stats.norm(mean, 0.01)) + math.log(w) for mean, w in ((0.3, 0.3), (0.7, 0.7))]
    assert torch.allclose(mass.double(), torch.logaddexp(*parts), rtol=2e-4)


def test_a_cdf_without_digits_is_told_and_gives_no_number():
    loc = torch.full((LEVELS, 1), 0.2)
    with pytest.raises(ArithmeticError, match=r"leaves no digits on \d+ of 256 decoded pixels; register"):
        log_mass(Gumbel(loc, torch.full_like(loc, 0.01), validate_args=False), *edges(torch.float32))
    wide = log_mass(Gumbel(loc, torch.full_like(loc, 0.1), validate_args=False), *edges(torch.float32))
    expected = by_scipy(scipy.stats.gumbel_r(0.2, 0.1))
    assert torch.allclose(wide.double(), expected, atol=2e-3)


def test_a_distribution_without_a_cdf_has_no_bins():
    loc = torch.zeros(LEVELS, 1)
    with pytest.raises(NoDensity, match="StudentT has no cdf"):
        log_mass(StudentT(torch.tensor(3.0), loc, 1.0), *edges(torch.float32))


class OfTorch:
    """Logits of any size, by torch's continuous Bernoulli; the code says nothing."""

    logits = torch.linspace(-40.0, 40.0, 64)

    def prior(self):
        return Independent(Normal(torch.zeros(2), torch.ones(2)), 1)

    def posterior(self, x):
        return Independent(Normal(torch.zeros(len(x), 2), torch.ones(len(x), 2)), 1)

    def likelihood(self, z):
        return Independent(ContinuousBernoulli(logits=self.logits.expand(*z.shape[:-1], 64)), 1)


class NearFlat(OfTorch):
    """λ just outside the region of torch's Taylor series, where its normaliser has lost its digits."""

    logits = torch.full((64,), 0.0041)


@pytest.mark.parametrize("model", [OfTorch(), NearFlat()], ids=["large logits", "near one half"])
def test_torchs_continuous_bernoulli_is_scored_as_what_it_means(model):
    """ln p(x) = Σ_d l x − ln((e^l − 1)/l), in closed form, since p(x|z) is the same for every z."""
    source = Source(load_dataset("digits"), "grey")
    x = source.images("test")
    check_contract(model, x[:12], None, "grey")
    requests = [MetricRequest("log_likelihood", {**TEST, "samples": 2, "images": 1000, "defensive": 0.0})]
    value, *_ = evaluate_model(model, "digits/grey", requests)
    size = model.logits.double().abs()
    partition = model.logits.double().clamp_min(0) + torch.log(-torch.expm1(-size)) - size.log()
    truth = float((x.double() * model.logits.double() - partition).sum(-1).mean())
    assert value.value == pytest.approx(truth, abs=1e-3)


def test_a_module_with_torchs_continuous_bernoulli_keeps_its_parameters():
    class Net(OfTorch, torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = torch.nn.Parameter(torch.zeros(64))

        def likelihood(self, z):
            return Independent(ContinuousBernoulli(logits=self.bias.expand(*z.shape[:-1], 64)), 1)

    (value,) = evaluate_model(Net(), "digits/grey", [MetricRequest("parameters", {})])
    assert value.value == 64

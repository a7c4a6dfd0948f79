"""Likelihoods against quadrature, scipy, mpmath and closed forms, at ordinary values and at the extremes."""

import math

import mpmath
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import nn
from torch.distributions import MultivariateNormal
from torch.distributions import Normal as TorchNormal
from torch.func import functional_call, grad, stack_module_state, vmap

from tests.compositions import cell, composition
from vaebench.catalog.catalog import load_catalog
from vaebench.data.dataset import Shape, load_dataset
from vaebench.data.source import Source
from vaebench.data.views import bins
from vaebench.metrics.bits_per_dim import evaluate as bits_per_dim
from vaebench.metrics.draws import draw
from vaebench.metrics.factors import given_factors
from vaebench.metrics.subject import Subject
from vaebench.models.composition import Composition
from vaebench.models.distributions import DiagonalNormal, IndependentPixels
from vaebench.models.likelihoods.bins import log_bin_mass
from vaebench.models.likelihoods.continuous_bernoulli import (
    ContinuousBernoulli,
    UnnormalisedBernoulli,
    log_partition,
    mean_of,
)
from vaebench.models.likelihoods.discretised_logistic import DiscretisedLogistic
from vaebench.models.likelihoods.lowrank_gaussian import LowRankNormal, log_prior
from vaebench.models.likelihoods.optimal_gaussian import SelfScaledNormal
from vaebench.models.likelihoods.truncated_gaussian import TruncatedNormal
from vaebench.suite.expansion import CHECKS
from vaebench.training.fleet import Surroundings, train_fleet

DOUBLE = torch.float64


def doubles(*values):
    return tuple(torch.as_tensor(value, dtype=DOUBLE) for value in values)


def continuous_bernoulli(logit):
    return ContinuousBernoulli(*doubles(logit))


def truncated(loc, scale):
    return TruncatedNormal(*doubles(loc, scale))


DENSITIES = {
    **{f"continuous Bernoulli {logit}": continuous_bernoulli(logit) for logit in (0.0, 1e-4, -0.3, 0.49, 0.51, 7, -40)},
    **{
        f"truncated {loc} {scale}": truncated(loc, scale)
        for loc, scale in ((0.3, 0.2), (0.0, 0.01), (1.0, 0.05), (0.5, 30.0), (0.9, 1e-3))
    },
}


@pytest.mark.parametrize("pixel", DENSITIES.values(), ids=DENSITIES)
def test_a_density_on_the_pixels_range_integrates_to_one_and_has_the_mean_that_it_says(pixel):
    centre = float(pixel.mean)

    def density(x):
        return math.exp(float(pixel.log_prob(torch.tensor(x, dtype=DOUBLE))))

    def integral(function):
        points = sorted({min(max(centre + shift, 1e-6), 1 - 1e-6) for shift in (-0.05, -0.005, 0.0, 0.005, 0.05)})
        return scipy.integrate.quad(function, 0.0, 1.0, points=points, limit=400)[0]

    assert integral(density) == pytest.approx(1.0, abs=1e-7)
    assert integral(lambda x: x * density(x)) == pytest.approx(centre, abs=1e-7)


@pytest.mark.parametrize("view", ["grey", "dequantised"])
@pytest.mark.parametrize("pixel", DENSITIES.values(), ids=DENSITIES)
def test_bin_masses_are_the_integrals_of_the_density_and_sum_to_one(pixel, view):
    k = torch.arange(17, dtype=DOUBLE)
    x = (k / 16 if view == "grey" else (k + 0.5) / 17).unsqueeze(-1)
    lower, upper = bins(x, 17, view)
    masses = log_bin_mass(one_pixel(pixel, len(x)), lower, upper).exp()
    assert float(masses.sum()) == pytest.approx(1.0, abs=1e-9)
    nodes = torch.linspace(0.0, 1.0, 20001, dtype=DOUBLE)
    for number in (0, 4, 16):
        inside = lower[number].clamp(0, 1) + nodes * (upper[number].clamp(0, 1) - lower[number].clamp(0, 1))
        assert float(masses[number]) == pytest.approx(
            float(torch.trapezoid(pixel.log_prob(inside).exp(), inside)), abs=1e-6
        )


def one_pixel(pixel, rows):
    """The same distribution as rows of one pixel."""
    parameters = (pixel.logits,) if isinstance(pixel, ContinuousBernoulli) else (pixel.loc, pixel.scale)
    return IndependentPixels(type(pixel)(*(value.expand(rows, 1) for value in parameters)))


def partition_in_many_digits(logit):
    """A(l) = ln ((e^l − 1)/l), its slope and its curvature, in 200 digits."""
    with mpmath.workdps(200):
        exact = mpmath.mpf(logit)
        if exact == 0:
            return 0.0, 0.5, 1 / 12
        grown = mpmath.e ** (-abs(exact))
        below = 1 / abs(exact) - grown / (1 - grown)
        value = max(exact, 0) + mpmath.log((1 - grown) / abs(exact))
        return float(value), float(below if exact < 0 else 1 - below), float(1 / exact**2 - grown / (1 - grown) ** 2)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize(
    "logit", [0.0, 1e-30, 1e-8, -1e-4, 1e-3, 0.0999, 0.4999, 0.5001, -0.5001, 3.0, -25.0, 1e4, -1e4]
)
def test_the_continuous_bernoulli_holds_from_a_half_to_the_extremes(logit, dtype):
    """A and its first two derivatives to rounding at every l, and with them density, mean and gradients."""
    rounding = torch.finfo(dtype).eps
    logits = torch.tensor(logit, dtype=dtype, requires_grad=True)
    partition, slope, curvature = partition_in_many_digits(float(logits.detach()))
    size = max(1.0, abs(logit))
    assert log_partition(logits).item() == pytest.approx(partition, abs=8 * rounding * size)
    assert mean_of(logits).item() == pytest.approx(slope, abs=16 * rounding)
    assert torch.autograd.grad(log_partition(logits), logits)[0].item() == pytest.approx(slope, abs=16 * rounding)
    assert torch.autograd.grad(mean_of(logits), logits)[0].item() == pytest.approx(curvature, abs=64 * rounding)
    for x in (0.0, 0.5, 1.0):
        log_density = ContinuousBernoulli(logits).log_prob(torch.tensor(x, dtype=dtype))
        assert log_density.item() == pytest.approx(logit * x - partition, abs=32 * rounding * size)
        assert torch.autograd.grad(log_density, logits)[0].item() == pytest.approx(x - slope, abs=32 * rounding)


def test_the_continuous_bernoulli_is_torchs_where_torchs_is_right():
    logits = torch.linspace(-8, 8, 33, dtype=DOUBLE)
    theirs = torch.distributions.ContinuousBernoulli(logits=logits)
    ours, x = ContinuousBernoulli(logits), torch.rand(33, dtype=DOUBLE)
    assert torch.allclose(ours.log_prob(x), theirs.log_prob(x), atol=1e-8)
    assert torch.allclose(ours.mean, theirs.mean, atol=1e-8)
    assert torch.allclose(ours.icdf(x), theirs.icdf(x), atol=1e-6)


def test_the_cross_entropy_of_grey_pixels_is_the_continuous_bernoulli_without_its_normaliser():
    """ln C(λ) = ln(2 artanh(1 − 2λ)/(1 − 2λ)), of Loaiza-Ganem & Cunningham, eq. 7."""
    logits, x = torch.linspace(-6, 6, 14, dtype=DOUBLE), torch.rand(14, dtype=DOUBLE)
    probability = logits.sigmoid()
    normaliser = torch.log(2 * torch.atanh(1 - 2 * probability) / (1 - 2 * probability))
    gap = ContinuousBernoulli(logits).log_prob(x) - UnnormalisedBernoulli(logits).log_prob(x)
    assert torch.allclose(gap, normaliser, rtol=1e-10)
    cross_entropy = x * probability.log() + (1 - x) * (1 - probability).log()
    assert torch.allclose(UnnormalisedBernoulli(logits).log_prob(x), cross_entropy, rtol=1e-10)


@pytest.mark.parametrize(("loc", "scale"), [(0.3, 0.2), (0.0, 1e-3), (1.0, 1e-3), (0.5, 50.0), (0.97, 0.01)])
def test_the_truncated_normal_is_scipys(loc, scale):
    theirs = scipy.stats.truncnorm(-loc / scale, (1 - loc) / scale, loc, scale)
    pixel = truncated(loc, scale)
    for x in (0.0, 1e-4, 0.3, 0.5, 0.9, 1.0):
        assert float(pixel.log_prob(torch.tensor(x, dtype=DOUBLE))) == pytest.approx(
            float(theirs.logpdf(x)), rel=1e-8, abs=1e-8
        )
    for u in (1e-6, 0.1, 0.5, 0.9, 1 - 1e-6):
        assert float(pixel.icdf(torch.tensor(u, dtype=DOUBLE))) == pytest.approx(float(theirs.ppf(u)), abs=1e-7)
    single = TruncatedNormal(torch.tensor(loc), torch.tensor(scale))
    assert float(single.mean) == pytest.approx(float(pixel.mean), abs=2e-5)
    assert float(single.log_prob(torch.tensor(0.7))) == pytest.approx(
        float(pixel.log_prob(torch.tensor(0.7).double())), rel=1e-5, abs=1e-6
    )


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize(("loc", "scale"), [(0.3, 0.05), (-2.0, 0.3), (0.5, 1e-4), (1.4, 1e-3), (0.1, 40.0)])
def test_the_discretised_logistic_is_a_mass_function_on_the_levels(loc, scale, levels):
    k = torch.arange(levels, dtype=DOUBLE)
    x = (k / (levels - 1)).unsqueeze(-1)
    pixel = DiscretisedLogistic(torch.full_like(x, loc), torch.full_like(x, scale), levels)
    rows = IndependentPixels(pixel)
    masses = rows.log_prob(x).exp()
    assert float(masses.sum()) == pytest.approx(1.0, abs=1e-12)
    assert float((masses * x.squeeze(-1)).sum()) == pytest.approx(float(pixel.mean[0]), abs=1e-12)
    assert torch.allclose(log_bin_mass(rows, *bins(x, levels, "grey")), rows.log_prob(x), rtol=1e-10)
    edges = (torch.arange(1, levels, dtype=DOUBLE) - 0.5) / (levels - 1)
    cdf = scipy.stats.logistic(loc, scale).cdf(edges)
    theirs = torch.from_numpy(cdf).diff(prepend=torch.zeros(1).double(), append=torch.ones(1).double())
    assert torch.allclose(masses, theirs, atol=1e-12)


def test_the_discretised_logistic_keeps_its_digits_far_in_the_tail():
    """At distance t ≫ s the mass of an inner level is e^{−t/s} (e^{h/s} − e^{−h/s}), in float32 too."""
    scale, levels = 1e-4, 256
    pixel = DiscretisedLogistic(torch.tensor(0.0), torch.tensor(scale), levels)
    x, half = 100 / 255, 0.5 / 255
    expected = -x / scale + half / scale + math.log1p(-math.exp(-2 * half / scale))
    assert float(pixel.log_prob(torch.tensor(x))) == pytest.approx(expected, rel=1e-5)


LAWS = {
    **{f"continuous Bernoulli {logit}": continuous_bernoulli(logit) for logit in (-9.0, -0.11, 0.0, 0.09, 4.0)},
    **{f"truncated {loc} {scale}": truncated(loc, scale) for loc, scale in ((0.0, 0.05), (0.4, 0.3), (0.9, 5.0))},
}


@pytest.mark.parametrize("pixel", LAWS.values(), ids=LAWS)
def test_draws_follow_the_law(pixel):
    """Kolmogorov and Smirnov against the integral of the density, by bin masses from 0."""
    u = torch.rand(20_000, 1, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    rows = one_pixel(pixel, 1)
    x = rows.from_noise(u).squeeze(-1)

    def cdf(values):
        upper = torch.from_numpy(values).unsqueeze(-1)
        return log_bin_mass(one_pixel(pixel, len(values)), torch.zeros_like(upper), upper).exp().numpy()

    assert scipy.stats.kstest(x.numpy(), cdf).pvalue > 0.01
    assert float(x.mean()) == pytest.approx(float(pixel.mean), abs=4 * float(x.std()) / math.sqrt(len(x)))
    assert float(x.min()) >= 0.0
    assert float(x.max()) <= 1.0


def test_draws_of_the_discretised_logistic_have_its_masses():
    pixel = DiscretisedLogistic(*doubles([0.2], [0.1]), 5)
    x = IndependentPixels(pixel).from_noise(torch.rand(100_000, 1, dtype=DOUBLE)).squeeze(-1)
    levels = torch.arange(5, dtype=DOUBLE).unsqueeze(-1) / 4
    counts = (x.unsqueeze(-1) == levels.T).sum(0).double()
    expected = IndependentPixels(DiscretisedLogistic(*doubles([0.2], [0.1]), 5)).log_prob(levels).exp() * len(x)
    assert scipy.stats.chisquare(counts.numpy(), expected.numpy()).pvalue > 0.01


HEADS = {
    "gaussian": {"sigma_floor": 1e-3},
    "gaussian-scalar": {"sigma_floor": 1e-3},
    "gaussian-pixel": {"sigma_floor": 1e-3},
    "gaussian-shared": {"sigma_floor": 1e-3},
    "gaussian-fixed": {"sigma": 0.3},
    "gaussian-optimal": {"sigma_floor": 1e-3},
    "gaussian-lowrank": {"rank": 3, "sigma_floor": 1e-3},
    "truncated-gaussian": {"sigma_floor": 1e-3},
    "continuous-bernoulli": {},
    "bernoulli-unnormalised": {},
    "discretised-logistic": {"scale_floor": 1e-4},
}


def model_with(name, seed=0):
    torch.manual_seed(seed)
    return Composition(composition(likelihood={"name": name, **HEADS[name]}, latent=3), Shape(16, 4, levels=17))


@pytest.mark.parametrize("name", HEADS)
def test_every_head_maps_over_members_like_a_loop_and_keeps_the_contract(name):
    models = [model_with(name, seed) for seed in range(3)]
    z, x = torch.randn(3, 2, 5, 3), torch.randint(0, 17, (3, 5, 16)) / 16

    def loss(parameters, buffers, z, x):
        return functional_call(Asked(models[0]), prefixed({**parameters, **buffers}), (z, x))

    parameters, buffers = stack_module_state(models)
    values, gradients = vmap(loss)(parameters, buffers, z, x), vmap(grad(loss))(parameters, buffers, z, x)
    for member, model in enumerate(models):
        alone = Asked(model)(z[member], x[member])
        assert torch.allclose(values[member], alone, rtol=1e-4)
        alone.backward()
        for key, parameter in model.named_parameters():
            if parameter.grad is not None:
                assert torch.allclose(gradients[key][member], parameter.grad, rtol=1e-3, atol=1e-3), key
    p = models[0].eval().likelihood(z[0])
    assert p.log_prob(x[0]).shape == (2, 5)
    assert p.mean.shape == (2, 5, 16)
    assert draw(models[0].likelihood(z[0, 0]), torch.arange(5), 0, 4).shape == (4, 5, 16)


class Asked(nn.Module):
    """−mean ln p(x|z) as a module."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, z, x):
        return -self.model.likelihood(z).log_prob(x).mean()


def prefixed(state):
    return {f"model.{name}": value for name, value in state.items()}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("size", [0.0, 1e4])
def test_values_and_gradients_are_finite_at_the_extremes(name, size):
    """Features so large that logits reach ±10⁴ and σ its floor, or all zero; pixels exactly 0 and 1 and in between."""
    model = model_with(name)
    for value in model.likelihood_head.parameters():
        value.data = torch.sign(value.data) if size else torch.zeros_like(value)
    width = model.decoder.features
    features = (torch.linspace(-size, size, 2 * width) / width).reshape(2, width)
    x = torch.tensor([0.0, 0.5, 1.0, 1 / 16] * 4)
    loss = -model.likelihood_head(features).log_prob(x).mean()
    loss.backward()
    assert bool(loss.isfinite())
    for key, value in model.likelihood_head.named_parameters():
        assert bool(value.grad.isfinite().all()), key


def test_the_gaussians_differ_in_what_sigma_depends_on():
    z = torch.randn(6, 3)
    spread = {name: model_with(name).likelihood(z).stddev.detach() for name in list(HEADS)[:5]}
    assert float(spread["gaussian-scalar"].std(1).max()) < 1e-7 < float(spread["gaussian-scalar"].std(0).min())
    pixelwise = model_with("gaussian-pixel")
    pixelwise.likelihood_head.log_sigma.data = torch.randn(16)
    expected = (1e-3 + pixelwise.likelihood_head.log_sigma.exp()).expand(6, 16)
    assert torch.allclose(pixelwise.likelihood(z).stddev, expected)
    assert float(spread["gaussian-shared"].std()) < 1e-7
    assert float(spread["gaussian"].std(0).min()) > 0 < float(spread["gaussian"].std(1).min())


def test_the_optimal_sigma_has_the_closed_form_and_is_the_best():
    """−D/2 (ln 2πσ² + 1) with σ² the mean squared error; no other σ gives more; the gradient is that of −D/2 ln MSE."""
    loc = torch.rand(2, 7, 5, dtype=DOUBLE, requires_grad=True)
    x = torch.rand(7, 5, dtype=DOUBLE)
    error = (x - loc).square().mean()
    value = SelfScaledNormal(loc, 1e-3).log_prob(x).mean()
    assert value.item() == pytest.approx(-2.5 * (math.log(2 * math.pi * error.item()) + 1), rel=1e-12)
    for sigma in torch.linspace(0.05, 2.0, 40, dtype=DOUBLE):
        assert float(DiagonalNormal(loc.detach(), sigma.expand_as(loc)).log_prob(x).mean()) <= value.item()
    ours = torch.autograd.grad(value, loc, retain_graph=True)[0]
    closed = torch.autograd.grad(-2.5 * error.log(), loc)[0]
    assert torch.allclose(ours, closed, rtol=1e-10)
    at_floor = SelfScaledNormal(loc, 3.0).log_prob(x)
    assert torch.allclose(at_floor, DiagonalNormal(loc, torch.full_like(loc, 3.0)).log_prob(x))


def test_when_training_ends_the_optimal_sigma_is_fixed_by_the_training_images():
    source = Source(load_dataset("digits"), "grey", dtype=DOUBLE)
    choices = composition(likelihood={"name": "gaussian-optimal", "sigma_floor": 1e-3})
    (trained,) = train_fleet([cell(source="digits/grey", choices=choices)], Surroundings(source))
    model, x = trained.model, source.images("train")
    assert not model.training
    with torch.no_grad():
        q = model.posterior(x)
        squares = [(x - model.likelihood(q.rsample()).mean).square().mean() for _ in range(20)]
    assert float(model.state_dict()["likelihood_head.sigma"]) == pytest.approx(
        float(torch.stack(squares).mean().sqrt()), rel=0.01
    )
    assert float(model.likelihood(q.mean).stddev.std()) < 1e-12


def low_rank(pixels, rank, scale=0.1, batch=(3,)):
    torch.manual_seed(1)
    loc, factors = torch.rand(*batch, pixels, dtype=DOUBLE), torch.randn(*batch, pixels, rank, dtype=DOUBLE)
    return LowRankNormal(loc, factors, scale * (torch.rand(*batch, pixels, dtype=DOUBLE) + 0.5))


def dense(p):
    return MultivariateNormal(p.loc, p.factors @ p.factors.mT + torch.diag_embed(p.scale.square()))


@pytest.mark.parametrize(("pixels", "rank"), [(2, 1), (9, 3), (20, 8)])
def test_the_low_rank_normal_is_the_dense_one(pixels, rank):
    p = low_rank(pixels, rank)
    x = torch.rand(4, 3, pixels, dtype=DOUBLE)
    assert torch.allclose(p.log_prob(x), dense(p).log_prob(x), rtol=1e-9)
    theirs = torch.distributions.LowRankMultivariateNormal(p.loc, p.factors, p.scale.square())
    assert torch.allclose(p.log_prob(x), theirs.log_prob(x), rtol=1e-9)
    noise = torch.randn(100_000, 1, p.noise_size, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    drawn = p.from_noise(noise)[:, 0]
    assert torch.allclose(drawn.mean(0), p.loc[0], atol=0.03)
    assert torch.allclose(drawn.T.cov(), dense(p).covariance_matrix[0], atol=0.3)


def test_the_low_rank_normal_obeys_bayes_rule_for_every_factor():
    p = low_rank(9, 3)
    x, u = torch.rand(3, 9, dtype=DOUBLE), torch.randn(5, 3, 3, dtype=DOUBLE)
    ratio = p.conditional(u).log_prob(x) + log_prior(u) - p.factor_posterior(x).log_prob(u)
    assert torch.allclose(ratio, p.log_prob(x).expand(5, 3), rtol=1e-9)


def test_the_low_rank_normal_holds_in_single_precision_at_the_floor_of_sigma():
    """σ = 10⁻³ against factors of size 1 at 784 pixels: torch's own factorisation is lost there."""
    torch.manual_seed(0)
    loc, factors, scale = torch.rand(784), torch.randn(784, 8), torch.full((784,), 1e-3)
    x = loc + factors @ torch.randn(8) + 1e-3 * torch.randn(784)
    exact = LowRankNormal(loc.double(), factors.double(), scale.double())
    single = LowRankNormal(loc, factors, scale).log_prob(x)
    assert single.dtype == torch.float32
    assert float(single) == pytest.approx(float(dense(exact).log_prob(x.double())), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("scale", [0.3, 0.01])
def test_low_rank_masses_with_the_factor_integrated_agree_with_brute_force_in_two_pixels(scale):
    """ln ∫ P(bin of x|u) p(u) du: importance-weighted over u, against a fine grid, σ above and below a bin."""
    p = LowRankNormal(*doubles([0.4, 0.6]), *doubles([[0.3], [-0.2]]), torch.tensor([scale, 2 * scale], dtype=DOUBLE))
    levels, draws = 17, 200_000
    x = torch.tensor([[6.0, 9.0], [0.0, 16.0], [3.0, 12.0]], dtype=DOUBLE) / 16
    lower, upper = bins(x, levels, "grey")
    many = LowRankNormal(*(value.expand(draws, len(x), *value.shape) for value in (p.loc, p.factors, p.scale)))
    conditional, log_ratio = given_factors(many, x, torch.arange(len(x)), 0, levels, "grey")
    log_weights = log_bin_mass(conditional, lower, upper) + log_ratio
    estimate = torch.logsumexp(log_weights, 0) - math.log(draws)
    u = torch.linspace(-9, 9, 200_001, dtype=DOUBLE)
    grid = p.conditional(u.reshape(-1, 1, 1).expand(-1, len(x), 1))
    integrand = log_bin_mass(grid, lower, upper).exp() * TorchNormal(0.0, 1.0).log_prob(u).exp().unsqueeze(-1)
    brute = torch.trapezoid(integrand, u, dim=0).log()
    error = log_weights.sub(estimate).exp().std(0) / math.sqrt(draws)
    assert bool(((estimate - brute).abs() < 4 * error + 1e-6).all())
    assert float(error.max()) < 0.02


def test_pixels_that_are_independent_need_no_factor():
    p = DiagonalNormal(torch.zeros(2, 3), torch.ones(2, 3))
    conditional, log_ratio = given_factors(p, torch.zeros(2, 3), torch.arange(2), 0, 17, "grey")
    assert conditional is p
    assert float(log_ratio) == 0.0


def test_the_shortcut_on_grey_pixels_is_scored_as_the_continuous_bernoulli():
    shortcut, right = model_with("bernoulli-unnormalised"), model_with("continuous-bernoulli")
    right.load_state_dict(shortcut.state_dict())
    z, x = torch.randn(5, 3), torch.rand(5, 16)
    assert torch.equal(shortcut.eval().likelihood(z).log_prob(x), right.likelihood(z).log_prob(x))
    trained_by = shortcut.train().likelihood(z).log_prob(x)
    expected = -nn.functional.binary_cross_entropy_with_logits(
        shortcut.likelihood_head.logits(shortcut.decoder(z)).squeeze(-2), x, reduction="none"
    ).sum(-1)
    assert torch.allclose(trained_by, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["continuous-bernoulli", "bernoulli-unnormalised"])
def test_a_floor_under_the_probability_bounds_the_density_and_leaves_it_one(name):
    """With the floor c it is at most ln (ln((1 − c)/c) (1 − c)/(1 − 2c)): 2.22 nats for 1e-4."""
    torch.manual_seed(0)
    choices = composition(likelihood={"name": name, "probability_floor": 1e-4}, latent=3)
    model = Composition(choices, Shape(16, 4, levels=17)).double().eval()
    free = model_with(name).double().eval()
    free.load_state_dict(model.state_dict())
    z = 3 * torch.randn(5, 3, dtype=DOUBLE)
    assert torch.equal(model.likelihood(z).base_dist.logits, free.likelihood(z).base_dist.logits)
    far = 1e4 * z
    kept, unkept = model.likelihood(far).base_dist.logits, free.likelihood(far).base_dist.logits
    largest = math.log(0.9999 / 0.0001)
    assert float(unkept.abs().max()) > 100 > largest == pytest.approx(float(kept.abs().max()), abs=1e-9)
    assert torch.allclose(kept, unkept.clamp(-largest, largest), atol=1e-9)
    assert torch.equal(model.train().likelihood(far).base_dist.logits, kept)
    model.eval()
    x = torch.linspace(0, 1, 20001, dtype=DOUBLE).view(-1, 1, 1).expand(-1, 5, 16)
    density = model.likelihood(far).base_dist.log_prob(x)
    assert float(density.max()) == pytest.approx(math.log(largest * 0.9999 / 0.9998), abs=1e-9)
    assert torch.allclose(
        torch.trapezoid(density.exp(), dx=1 / 20000, dim=0), torch.ones(5, 16, dtype=DOUBLE), atol=1e-6
    )


@pytest.mark.parametrize("view", ["grey", "dequantised"])
def test_bits_of_a_low_rank_decoder_do_not_depend_on_how_many_images_are_scored_at_once(view):
    source = Source(load_dataset("digits"), view, dtype=DOUBLE)
    torch.manual_seed(0)
    choices = composition(likelihood={"name": "gaussian-lowrank", **HEADS["gaussian-lowrank"]})
    model = Composition(choices, source.dataset.shape).double().eval()
    protocol = {"samples": 7, "images": 20, "seed": 0, "split": "test"}
    with torch.no_grad():
        (together, _), (apart, _) = (
            bits_per_dim(Subject(model, source, block_numbers=numbers), protocol) for numbers in (1 << 20, 64 * 3)
        )
    assert together.value == pytest.approx(apart.value, rel=1e-12)


def test_a_rank_as_large_as_the_image_is_refused():
    digits = load_catalog().datasets["digits"]
    full = composition(likelihood={"name": "gaussian-lowrank", "rank": 64, "sigma_floor": 1e-3})
    assert CHECKS["rank-below-pixels"](full, digits) == "rank must be below the 64 pixels of digits, is 64"
    assert CHECKS["rank-below-pixels"](composition(likelihood={"name": "gaussian-lowrank", "rank": 63}), digits) is None

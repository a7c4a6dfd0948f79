"""The variance of two gradient estimators, against moments of normals."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from tests.compositions import composition
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.metrics import gradient_variance
from vaebench.metrics.answer import average_of_batches
from vaebench.metrics.evaluation import evaluate
from vaebench.metrics.gradient_variance import (
    batch_variances,
    by_the_score,
    encoder_parameters,
    gradient_of,
    surrogates,
    trace_of_covariance,
)
from vaebench.metrics.subject import Images, Subject
from vaebench.models.classical.gmm import DiagonalMixture
from vaebench.models.classical.ppca import ProbabilisticPca
from vaebench.models.composition import Composition
from vaebench.models.distributions import DiagonalNormal
from vaebench.store.record import MetricRequest

PROTOCOL = {"split": "test", "seed": 0, "images": 20, "draws": 4}
TEMPERATURES = {"temperature": 1.0, "final_temperature": 0.5}


def of_each_draw(surrogate, parameters):
    """Parameters with a row for each draw have, from one pass, the gradient of each draw; one tuple a draw."""
    return [tuple(rows) for rows in zip(*gradient_of(surrogate.sum(), parameters), strict=True)]


@pytest.mark.parametrize("theta", [0.0, 1.0, 2.0])
def test_wangs_example_has_the_variances_of_the_closed_forms(theta):
    """q = N(θ, 1), f(z) = z²: variance θ⁴ + 14 θ² + 15 by the score and 4 through the draw (Wang 2018 §2.2)."""
    parameter = torch.full((20000,), theta, dtype=torch.float64, requires_grad=True)
    z = parameter + torch.special.ndtri((torch.arange(20000).double() + 0.5) / 20000)
    fixed = z.detach()
    by_score = of_each_draw(by_the_score(fixed**2, -0.5 * (fixed - parameter) ** 2), [parameter])
    assert float(trace_of_covariance(by_score)) == pytest.approx(theta**4 + 14 * theta**2 + 15, rel=0.01)
    assert float(trace_of_covariance(of_each_draw(z**2, [parameter]))) == pytest.approx(4.0, rel=1e-3)


class OneLatent(nn.Module):
    """p(x, z) = N(z; 0, 1) Π_d N(x_d; w_d z, 1); q(z|x) = N(a + b·x, s²), its parameters a, b and ln s."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.shift = nn.Parameter(torch.tensor(0.3).double())
        self.slopes = nn.Parameter(0.1 * torch.randn(20, dtype=torch.float64, generator=generator))
        self.log_scale = nn.Parameter(torch.tensor(-0.5).double())
        self.weights = nn.Parameter(0.5 * torch.randn(20, dtype=torch.float64, generator=generator))

    def prior(self):
        return DiagonalNormal(torch.zeros(1).double(), torch.ones(1).double())

    def posterior(self, x):
        mean = (self.shift + x @ self.slopes).unsqueeze(-1)
        return DiagonalNormal(mean, self.log_scale.exp().expand_as(mean))

    def likelihood(self, z):
        mean = z * self.weights
        return DiagonalNormal(mean, torch.ones_like(mean))

    def quadratic(self, x):
        """(c, P, C): with z = μ + s ε, f(z) = C + c s ε − ½ P s² ε² + ½ ε²; (image,) but for P"""
        mean, scale = self.posterior(x).mean.squeeze(-1), self.log_scale.exp()
        precision = 1 + self.weights.square().sum()
        slope = x @ self.weights - precision * mean
        at_mean = -0.5 * (x - mean.unsqueeze(-1) * self.weights).square().sum(-1) - 0.5 * mean**2 + scale.log()
        constant = at_mean - 10 * math.log(2 * math.pi)
        return slope, precision, constant


class Closed(NamedTuple):
    """Of one estimator: the variance of its gradient along μ and along ln s; (image,) each."""

    of_mean: Tensor
    of_log_scale: Tensor


def closed_forms(model, x):
    """Through the draw: ∂f/∂μ = c − P s ε and ∂f/∂ln s = ε s (c − P s ε) + 1. By the score: f ε/s and f (ε² − 1)."""
    slope, precision, constant = model.quadratic(x)
    scale = model.log_scale.exp()
    linear, square = slope * scale, 0.5 * (1 - precision * scale**2)
    return {
        "reparametrised": Closed(
            variance([slope, -precision * scale]), variance([1, slope * scale, -precision * scale**2])
        ),
        "score": Closed(
            variance([0, constant, linear, square]) / scale**2,
            variance([-constant, -linear, constant - square, linear, square]),
        ),
    }


def variance(coefficients):
    """Of Σ_k a_k ε^k, ε ~ N(0, 1), by the moments of ε"""
    moments = [1, 0, 1, 0, 3, 0, 15, 0, 105]
    mean = sum(a * moments[k] for k, a in enumerate(coefficients))
    square = sum(a * b * moments[j + k] for j, a in enumerate(coefficients) for k, b in enumerate(coefficients))
    return square - mean**2


@torch.no_grad()
def traces(model, x):
    """Estimator → trace of its covariance; a and b see the gradient along μ times 1 and times x; (image,)"""
    inputs = 1 + x.square().sum(-1)
    return {part: inputs * of_mean + of_scale for part, (of_mean, of_scale) in closed_forms(model, x).items()}


def test_both_estimators_have_the_mean_and_the_variance_of_the_closed_forms(real):
    model, draws = OneLatent().requires_grad_(False), 200000
    x = real.images("test")[:1]
    slope, precision, _ = model.quadratic(x)
    expected = torch.stack([slope, 1 - precision * model.log_scale.exp() ** 2 + 0 * slope], dim=-1)
    mean = model.posterior(x).mean.expand(draws, 1).clone().requires_grad_()
    log_scale = model.log_scale.expand(draws, 1).clone().requires_grad_()
    q = DiagonalNormal(mean, log_scale.exp())
    noise = torch.randn(draws, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = surrogates(model, model.prior(), q, x, q.from_noise(noise))
    for part, closed in closed_forms(model, x).items():
        gradients = torch.cat(gradient_of(found[part].sum(), [mean, log_scale]), dim=-1)
        spread = torch.cat(closed)
        assert torch.allclose(gradients.var(0), spread, rtol=0.05)
        assert bool(((gradients.mean(0) - expected[0]).abs() < 4 * (spread / draws).sqrt()).all())


def test_the_evaluator_finds_the_trace_of_the_closed_forms(real):
    subject = Subject(OneLatent(), real)
    protocol = {**PROTOCOL, "images": 20, "draws": 300}
    answers = gradient_variance.evaluate(subject, protocol)
    images = subject.images(protocol)
    with torch.enable_grad():
        parameters = encoder_parameters(subject, images)
        groups = [batch_variances(subject, batch, parameters, protocol) for batch in images.split(10)]
    assert {id(each) for each in parameters} == {
        id(subject.model.shift),
        id(subject.model.slopes),
        id(subject.model.log_scale),
    }
    for answer in answers:
        by_group = torch.stack([of_batch[answer.part] for of_batch in groups]).mean(0)
        error = float(by_group.std()) / len(by_group) ** 0.5
        truth = float(traces(subject.model, images.x)[answer.part].mean())
        assert answer.value == pytest.approx(float(by_group.mean()), rel=1e-12)
        assert error < 0.15 * truth
        assert abs(answer.value - truth) < 3 * error


def test_the_error_of_batches_covers_the_mean_of_the_whole():
    """Batches of unequal size, each with noise of its own, out of 400 images: against the spread over many subsets."""
    generator = torch.Generator().manual_seed(0)
    of_image = torch.randn(400, generator=generator).double()
    estimates, errors = [], []
    for _ in range(2000):
        chosen = of_image[torch.randperm(400, generator=generator)[:95]].split(10)
        sizes = [len(batch) for batch in chosen]
        means = torch.stack([batch.mean() for batch in chosen])
        noise = torch.randn(5, len(sizes), generator=generator).double() / torch.tensor(sizes).sqrt()
        value, error = average_of_batches(means + noise, sizes, 400)
        estimates.append(value)
        errors.append(error)
    assert np.mean(estimates) == pytest.approx(float(of_image.mean()), abs=0.01)
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.08)


@pytest.fixture(scope="module")
def digits():
    return Source(load_dataset("digits"), "binary", dtype=torch.float64)


def composed(digits, **choices):
    torch.manual_seed(0)
    return Subject(Composition(composition(**choices), digits.dataset.shape).double().eval(), digits)


def parts_of(subject, **protocol):
    values = evaluate(subject, [MetricRequest("gradient_variance", {**PROTOCOL, **protocol})])
    return {value.metric.partition(".")[2]: value for value in values}


VAMPPRIOR = {"prior": {"name": "vampprior", "components": 5}}
FLOW = {"posterior": {"name": "iaf", "steps": 1, "hidden": [8], "context": True}}


@pytest.mark.parametrize("choices", [{}, VAMPPRIOR, FLOW], ids=["diagonal", "vampprior", "flow"])
def test_the_encoder_is_what_q_depends_on_and_the_decoder_does_not(digits, choices):
    subject = composed(digits, **choices)
    with torch.enable_grad():
        found = encoder_parameters(subject, Images(digits.images("test")[:3]))
    expected = [*subject.model.encoder.parameters(), *subject.model.posterior_head.parameters()]
    assert {id(parameter) for parameter in found} == {id(parameter) for parameter in expected}
    values = parts_of(subject)
    assert all(value.status == "done" and value.value > 0 for value in values.values())


class Blind:
    """A decoder to which every code is the same."""

    def likelihood(self, z):
        pixel = torch.ones(*z.shape[:-1], 1, dtype=z.dtype)
        return DiagonalNormal(pixel, pixel)


def test_a_prior_that_shares_the_encoder_moves_the_gradient_by_both_estimators_alike(digits):
    """VampPrior: the score estimator has ∇φ ln p(z) in it, which the draw's path has by itself."""
    model = composed(digits, **VAMPPRIOR).model
    model.posterior_head.mean_and_log_scale.weight.data.mul_(5.0)
    x = digits.images("test")[:1].expand(40000, -1)
    q, prior = model.posterior(x), model.prior()
    noise = torch.randn(40000, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = surrogates(Blind(), prior, q, x[:, :1], q.from_noise(noise))
    bias = [model.posterior_head.mean_and_log_scale.bias]
    one, two = (gradient_of(found[part].mean(), bias)[0] for part in ("reparametrised", "score"))
    without = gradient_of(prior.log_prob(q.from_noise(noise).detach()).mean(), bias)[0]
    assert float(without.norm()) > 0.5
    assert float((one - two).norm()) < 0.1 * float(without.norm())


@pytest.mark.parametrize(
    "choices",
    [
        {"posterior": {"name": "categorical", **TEMPERATURES}, "prior": {"name": "uniform-categorical"}},
        {
            "latent": 7,
            "posterior": {"name": "joint", "categories": 4, **TEMPERATURES},
            "prior": {"name": "normal-and-uniform", "categories": 4},
        },
    ],
    ids=["categorical", "joint"],
)
def test_a_code_with_a_category_has_the_score_part_only(digits, choices):
    values = parts_of(composed(digits, **choices))
    assert values["score"].status == "done"
    assert values["reparametrised"].status == "n/a"
    assert "no gradient" in values["reparametrised"].note


class Silent(nn.Module):
    """Probabilistic PCA that hides that it knows ln p(x): its posterior is made of what its decoder is made of."""

    def __init__(self):
        super().__init__()
        self.exact = ProbabilisticPca(64, 2)
        self.prior, self.posterior, self.likelihood = self.exact.prior, self.exact.posterior, self.exact.likelihood


def test_points_and_exact_posteriors_have_neither(digits):
    point = composed(digits, posterior={"name": "point"})
    assert {(value.status, value.note) for value in parts_of(point).values()} == {("n/a", "q is a point")}
    for model in (ProbabilisticPca(64, 2), DiagonalMixture(64, 3), Silent()):
        exact = parts_of(Subject(model.double(), digits))
        assert {value.status for value in exact.values()} == {"n/a"}
        assert "no parameters of its own" in exact["score"].note


class Foreign(nn.Module):
    """Torch's own distributions, one of which is not drawn from given noise."""

    def __init__(self, family):
        super().__init__()
        self.encoder, self.decoder, self.family = nn.Linear(64, 2).double(), nn.Linear(2, 64).double(), family

    def prior(self):
        return Independent(Normal(torch.zeros(2).double(), torch.ones(2).double()), 1)

    def posterior(self, x):
        return Independent(self.family(self.encoder(x), torch.ones(len(x), 2).double()), 1)

    def likelihood(self, z):
        return Independent(Normal(self.decoder(z), torch.ones(64).double()), 1)


@pytest.mark.parametrize("family", [Normal, torch.distributions.Laplace])
def test_a_foreign_models_draws_carry_their_gradients(digits, family):
    torch.manual_seed(0)
    values = parts_of(Subject(Foreign(family), digits), draws=20)
    assert values["score"].value > values["reparametrised"].value > 0


@pytest.mark.parametrize("images", [20, 27])
def test_the_evaluation_batch_moves_no_number(digits, images):
    subject = composed(digits)
    one, two = (parts_of(Subject(subject.model, digits, block_numbers=size), images=images) for size in (None, 64))
    assert {name: value.value for name, value in one.items()} == {name: value.value for name, value in two.items()}

"""Numbers at the σ that fits the training images, for models whose σ is a constant that was chosen."""

import copy

import pytest
import torch
from torch import nn

from tests.compositions import composition
from vaebench.data import streams
from vaebench.data.dataset import load_dataset
from vaebench.data.linear_gaussian import truth
from vaebench.data.source import Source
from vaebench.metrics import bits_per_dim, calibrated, elbo, log_likelihood
from vaebench.metrics.answer import NotApplicable
from vaebench.metrics.calibrated import training_error
from vaebench.metrics.draws import draw
from vaebench.metrics.subject import Subject
from vaebench.models.composition import Composition
from vaebench.models.distributions import DiagonalNormal

PROTOCOL = {"split": "test", "seed": 0, "samples": 4, "images": 100, "kl": "analytic"}
FAMILIES = [elbo.evaluate, log_likelihood.evaluate, bits_per_dim.evaluate]


@pytest.fixture(scope="module")
def source():
    return Source(load_dataset("digits"), "grey", dtype=torch.float64)


def untrained(source, likelihood, **choices):
    torch.manual_seed(0)
    return Composition(composition(likelihood=likelihood, **choices), source.dataset.shape).double().eval()


def calibrated_of(evaluate, asked):
    with torch.no_grad():
        (answer,) = [each for each in evaluate(asked, PROTOCOL) if each.part == "calibrated"]
    return answer


class ChosenWrongly(nn.Module):
    """The model that made the linear-Gaussian data and its posterior, but for σ = 1 in its decoder."""

    def __init__(self, right):
        super().__init__()
        self.right = right
        self.likelihood_head = self

    def prior(self):
        return self.right.prior()

    def posterior(self, x):
        return self.right.posterior(x)

    def likelihood(self, z):
        return self.with_sigma(self.right.likelihood(z), torch.ones((), dtype=z.dtype))

    def with_sigma(self, p, sigma):
        return DiagonalNormal(p.mean, sigma.expand_as(p.mean))


def test_the_right_sigma_is_found_and_with_it_the_right_density(exact_subject, real, log_density):
    """With z ~ p(z|x) the pair (x, z) has the model's own distribution, so E‖x − μ(z)‖²/D is the true σ²."""
    asked = Subject(ChosenWrongly(exact_subject.model), real)
    assert float(training_error(asked)) == pytest.approx(float(truth().sigma) ** 2, rel=0.02)
    exact = float(log_density.mean())
    for evaluate in (elbo.evaluate, log_likelihood.evaluate):
        own, refitted = evaluate(asked, {**PROTOCOL, "samples": 200, "images": 1000})[:2]
        assert own.value < exact - 5
        assert abs(refitted.value - exact) < 3 * refitted.stderr + 0.01


@pytest.mark.parametrize("evaluate", FAMILIES, ids=lambda each: each.__module__)
def test_it_is_the_same_evaluation_of_the_model_with_another_sigma(source, evaluate):
    model = untrained(source, {"name": "gaussian-fixed", "sigma": 1.0})
    with torch.no_grad():
        x = source.images("train")
        z = draw(model.posterior(x), streams.image_keys(x, "calibration"), 0, 1)[0]
        variance = (x - model.likelihood(z).mean).square().mean()
        other = copy.deepcopy(model)
        other.likelihood_head.sigma.fill_(float(variance.sqrt()))
        expected = evaluate(Subject(other, source), PROTOCOL)[0]
    found = calibrated_of(evaluate, Subject(model, source))
    assert found.value == pytest.approx(expected.value, rel=1e-9)
    assert found.stderr == pytest.approx(expected.stderr, rel=1e-9)


def test_no_other_sigma_gives_the_training_images_more(source):
    model = untrained(source, {"name": "gaussian-fixed", "sigma": 1.0})
    protocol = {**PROTOCOL, "split": "train", "images": 1197, "samples": 16}
    with torch.no_grad():
        best = elbo.evaluate(Subject(model, source), protocol)[1]
        sigma = float(training_error(Subject(model, source)).sqrt())
        for factor in (0.5, 0.9, 1.1, 2.0):
            model.likelihood_head.sigma.fill_(factor * sigma)
            assert elbo.evaluate(Subject(model, source), protocol)[0].value < best.value - 0.1


def test_the_refit_happens_once_a_subject_and_never_where_nothing_was_chosen(source, monkeypatch):
    calls = []
    original = calibrated.mean_squared_error
    monkeypatch.setattr(calibrated, "mean_squared_error", lambda *given: calls.append(1) or original(*given))
    asked = Subject(untrained(source, {"name": "gaussian-fixed", "sigma": 1.0}), source)
    for evaluate in FAMILIES:
        calibrated_of(evaluate, asked)
    assert len(calls) == 1
    for likelihood in (
        {"name": "gaussian", "sigma_floor": 1e-3},
        {"name": "gaussian-shared", "sigma_floor": 1e-3},
        {"name": "gaussian-squared-error", "sigma_floor": 1e-3},
    ):
        for evaluate in FAMILIES:
            answer = calibrated_of(evaluate, Subject(untrained(source, likelihood), source))
            assert isinstance(answer, NotApplicable)
            assert "not a constant that was chosen" in str(answer)
    assert len(calls) == 1


def test_a_joint_code_is_calibrated_with_the_same_sum_over_its_category(source):
    temperatures = {"temperature": 1.0, "final_temperature": 0.5}
    joint = {
        "latent": 7,
        "posterior": {"name": "joint", "categories": 4, **temperatures},
        "prior": {"name": "normal-and-uniform", "categories": 4},
    }
    model = untrained(source, {"name": "gaussian-fixed", "sigma": 1.0}, **joint)
    asked = Subject(model, source)
    found = calibrated_of(elbo.evaluate, asked)
    other = copy.deepcopy(model)
    other.likelihood_head.sigma.fill_(float(asked.once(training_error).sqrt()))
    with torch.no_grad():
        expected = elbo.evaluate(Subject(other, source), PROTOCOL)[0]
    assert found.value == pytest.approx(expected.value, rel=1e-9)

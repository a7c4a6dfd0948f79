"""Importance weights from a q that is fitted to each image: against densities that are known, and by a grid."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from tests.metrics.conftest import LinearGaussian
from tests.metrics.quadrature import JOINT, only, subject_of
from tests.metrics.test_calibrated import ChosenWrongly
from tests.metrics.test_inference_gap import Posed, wrong_diagonal, wrong_full
from vaebench.data import streams
from vaebench.data.dataset import load_dataset
from vaebench.data.linear_gaussian import truth
from vaebench.data.source import Source
from vaebench.data.views import bins
from vaebench.metrics import bits_per_dim, log_likelihood
from vaebench.metrics.calibrated import training_error
from vaebench.metrics.proposals import as_distribution
from vaebench.metrics.refined import family
from vaebench.metrics.subject import Subject
from vaebench.models.distributions import DiagonalNormal, FullNormal
from vaebench.models.flows import InverseAutoregressive, Made, Step
from vaebench.models.likelihoods.bins import log_bin_mass

PROTOCOL = {"split": "test", "seed": 0, "samples": 20, "images": 40}


@pytest.fixture(scope="module")
def forty(real):
    return only(real, 40)


def answers(evaluate, subject, **protocol):
    with torch.no_grad():
        return {answer.part: answer for answer in evaluate(subject, {**PROTOCOL, **protocol})}


def exact(subject, sigma):
    """Mean of ln N(x; μ, W Wᵀ + σ²I)."""
    known = truth()
    covariance = known.weights @ known.weights.T + sigma**2 * torch.eye(20, dtype=torch.float64)
    return float(MultivariateNormal(known.mean, covariance).log_prob(subject.source.images("test")).mean())


def test_where_the_posterior_is_in_the_family_few_draws_find_the_density(forty):
    """A weight is then p(x), but for the half that comes from the q that is wrong: at most twice that."""
    subject = Subject(Posed(wrong_full), forty)
    plain = answers(log_likelihood.evaluate, subject)[""]
    found = answers(log_likelihood.evaluate, subject, refine=200)[""]
    known = exact(subject, truth().sigma)
    assert plain.value < known - 0.2
    assert found.value == pytest.approx(known, abs=3 * found.stderr)
    assert found.stderr < 0.03
    assert found.note.endswith("half of them from a q fitted to the image, better on 100%")
    assert found.details["effective_sample_size"]["least"] > 10
    assert "fitted" not in plain.note


def test_where_it_is_not_the_number_is_surer_all_the_same(forty):
    subject = Subject(Posed(wrong_diagonal), forty)
    plain, found = (answers(log_likelihood.evaluate, subject, refine=steps, samples=200)[""] for steps in (0, 200))
    known = exact(subject, truth().sigma)
    assert found.value == pytest.approx(known, abs=3 * found.stderr)
    assert found.stderr < 0.6 * plain.stderr


def test_the_exact_posterior_is_left_as_it_is(exact_subject):
    found = answers(log_likelihood.evaluate, exact_subject, refine=10)[""]
    assert found.value == pytest.approx(answers(log_likelihood.evaluate, exact_subject)[""].value, abs=1e-9)
    assert found.stderr == pytest.approx(0.0, abs=0.5)


def test_each_decoder_has_a_q_of_its_own(forty):
    """σ = 1 in place of the true one has a wider posterior."""
    subject = Subject(ChosenWrongly(Posed(wrong_full)), forty)
    found = answers(log_likelihood.evaluate, subject, refine=200, samples=100)
    for part, sigma in {"": 1.0, "calibrated": float(training_error(subject).sqrt())}.items():
        assert found[part].value == pytest.approx(exact(subject, sigma), abs=3 * found[part].stderr + 0.005)
        assert found[part].stderr < 0.02


def affine(kind):
    torch.manual_seed(3)
    loc, scale = torch.randn(7, 3).double(), 0.3 + torch.rand(7, 3).double()
    if kind == "diagonal":
        return DiagonalNormal(loc, scale)
    if kind == "full":
        return FullNormal(loc, torch.tril(0.3 * torch.randn(7, 3, 3).double(), -1) + torch.diag_embed(scale))
    made = [Made(3, [8], None).double().requires_grad_(False) for _ in range(2)]
    return InverseAutoregressive(DiagonalNormal(loc, scale), [Step(each, None) for each in made])


@pytest.mark.parametrize("kind", ["diagonal", "full", "flow"])
def test_the_refined_law_as_a_distribution_draws_and_weighs_the_same(kind):
    of = family(affine(kind), spread_is_free=True)
    torch.manual_seed(4)
    parameters = {name: 0.3 * torch.randn_like(value) for name, value in of.start(torch.zeros(7, 1).double()).items()}
    noise = torch.randn(5, 7, 3).double()
    z, log_q = of.draw(parameters, noise)
    law = as_distribution(of, parameters)
    torch.testing.assert_close(law.from_noise(noise), z)
    torch.testing.assert_close(law.log_prob(z), log_q)


@pytest.mark.parametrize("name", ["gaussian-pixel", "gaussian", "truncated-gaussian"])
def test_bits_by_a_refined_q_are_those_of_a_grid(name):
    """Two latents and an untrained encoder, which knows nothing of the posterior."""
    source = only(Source(load_dataset("digits"), "grey", dtype=torch.float64), 6)
    subject = subject_of(source, turn=2.0, likelihood={"name": name, "sigma_floor": 0.05})
    plain, found = (answers(bits_per_dim.evaluate, subject, samples=300, refine=steps)[""] for steps in (0, 150))
    known = bits_by_grid(subject)
    assert found.details["refined"] > 0.5
    assert found.value == pytest.approx(known, abs=3 * found.stderr + 1e-3)
    assert abs(found.value - known) <= abs(plain.value - known) + 1e-4


@torch.no_grad()
def bits_by_grid(subject):
    axis = torch.linspace(-6, 6, 241).double()
    grid = torch.cartesian_prod(axis, axis).unsqueeze(1)
    x = subject.source.images("test")
    lower, upper = bins(x, subject.source.dataset.levels, "grey")
    p = subject.model.likelihood(grid.expand(-1, len(x), -1))
    log_joint = log_bin_mass(p, lower, upper) + subject.model.prior().log_prob(grid)
    area = 2 * math.log(float(axis[1] - axis[0]))
    return float((log_joint.logsumexp(0) + area).mean()) / (-subject.source.pixels * math.log(2.0))


def test_a_category_is_left_as_it_is():
    source = only(Source(load_dataset("digits"), "binary", dtype=torch.float64), 6)
    subject = subject_of(source, **JOINT)
    plain, found = (answers(log_likelihood.evaluate, subject, refine=steps)[""] for steps in (0, 20))
    assert (found.value, found.note) == (plain.value, plain.note)


def test_an_image_meets_the_same_q_in_whatever_company(forty):
    """Blocks of any size, and a subset of the images."""
    model = LinearGaussian(wrong=0.4)
    whole = answers(log_likelihood.evaluate, Subject(model, forty), refine=20)[""]
    parts = answers(log_likelihood.evaluate, Subject(model, forty, block_numbers=20 * 64), refine=20)[""]
    assert parts.value == pytest.approx(whole.value, abs=1e-9)
    keys = streams.image_keys(forty.images("test"))
    assert len(set(keys.tolist())) == 40

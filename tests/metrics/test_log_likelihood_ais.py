"""Annealed importance sampling of models whose ln p(x) is known, by a formula or by quadrature."""

import math

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, OneHotCategorical

from tests.metrics.conftest import LinearGaussian
from tests.metrics.quadrature import CATEGORICAL, JOINT, log_likelihood, only, subject_of
from vaebench.data import streams
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.metrics.evaluation import evaluate as evaluated
from vaebench.metrics.log_likelihood_ais import Annealer, evaluate
from vaebench.metrics.subject import Subject
from vaebench.models.classical.gmm import DiagonalMixture
from vaebench.models.classical.pca import PrincipalComponents
from vaebench.models.priors.normal_and_uniform import NormalAndUniform
from vaebench.store.record import MetricRequest

PROTOCOL = {"split": "test", "seed": 0, "images": 12, "chains": 4, "steps": 40, "leapfrog": 2}


@pytest.fixture(scope="module")
def source():
    return only(Source(load_dataset("digits"), "binary", dtype=torch.float64), 12)


def linear_gaussian(bridges=60, chains=4):
    return Annealer(LinearGaussian().prior(), chains, bridges, 2)


@pytest.fixture(scope="module")
def few(exact_subject, log_density):
    """The linear-Gaussian model on forty images, and its truth there."""
    return Subject(exact_subject.model, only(exact_subject.source, 40)), float(log_density[:40].mean())


@torch.no_grad()
def test_on_the_linear_gaussian_model_it_is_within_its_error_of_the_exact_likelihood(few):
    subject, truth = few
    head, gap = evaluate(subject, {**PROTOCOL, "images": 40, "steps": 250, "chains": 16})
    assert head.stderr < 0.08
    assert abs(head.value - truth) < 3 * head.stderr
    assert head.details["acceptance"]["mean"] == pytest.approx(0.65, abs=0.06)
    assert -3 * gap.stderr < gap.value < 0.3


@torch.no_grad()
def test_its_error_is_that_of_repetitions(few):
    """Over seeds the estimates spread by as much as each says."""
    heads = [evaluate(few[0], {**PROTOCOL, "images": 40, "steps": 20, "seed": seed})[0] for seed in range(12)]
    spread = float(torch.tensor([head.value for head in heads]).double().std())
    assert 0.6 < spread / (sum(head.stderr for head in heads) / 12) < 1.6


@torch.no_grad()
def test_a_subset_adds_the_error_of_choosing_its_images(exact_subject, log_density):
    head, _ = evaluate(exact_subject, {**PROTOCOL, "images": 100})
    assert 0.9 < head.stderr / (float(log_density.std()) / 10 * math.sqrt(0.9)) < 2.0


def test_weights_are_unbiased_with_the_path_that_is_tuned(exact_subject, log_density):
    """E[w] = p(x): one image met by thousands of streams, each with β and step sizes of its own."""
    count = 4000
    x = exact_subject.source.images("test", torch.tensor([3])).expand(count, -1)
    keys = streams.keys(("unbiased", number) for number in range(count))
    annealer = linear_gaussian(bridges=12, chains=1)
    with torch.no_grad():
        run, path = annealer.run(annealer.densities(exact_subject.model, x), keys)
    weights = torch.exp(run.log_weights[0] - log_density[3])
    assert float(path.step_sizes.std()) > 0
    assert abs(float(weights.mean()) - 1) < 4 * float(weights.std()) / math.sqrt(count)
    assert float(weights.log().mean()) < -0.1


def test_the_bounds_on_simulated_images_lie_on_either_side_of_the_truth(exact_subject):
    """And the gap between them is what one is below the other, whatever the truth."""
    keys = streams.keys(("simulated", number) for number in range(400))
    annealer = linear_gaussian(bridges=25)
    with torch.no_grad():
        z, x = annealer.simulated(exact_subject.model, keys)
        ahead, back = annealer.both_ways(exact_subject.model, keys)
    truth = exact_subject.model.exact.log_prob(x)
    below = truth - (ahead.log_weights.logsumexp(0) - math.log(4))
    above = math.log(4) - back.log_weights.logsumexp(0) - truth
    for side in (below, above):
        assert float(side.mean()) > 3 * float(side.std()) / 20 > 0
    assert torch.allclose(z.mean(0), torch.zeros(5).double(), atol=4.5 / 20)


def test_more_bridges_close_the_gap(exact_subject):
    gaps = [evaluate(exact_subject, {**PROTOCOL, "images": 60, "steps": steps})[1] for steps in (10, 30, 90)]
    assert gaps[0].value > 1.5 * gaps[1].value > 2.25 * gaps[2].value > -3 * gaps[2].stderr
    for gap in gaps:
        assert gap.value == pytest.approx(gap.details["upper"] - gap.details["lower"])
        assert gap.stderr > 0


def test_nothing_depends_on_the_block_or_on_the_order_of_images(exact_subject):
    protocol = {**PROTOCOL, "images": 13, "steps": 10}
    whole = evaluate(exact_subject, protocol)
    pieces = evaluate(Subject(exact_subject.model, exact_subject.source, block_numbers=20 * 4 * 5), protocol)
    for a, b in zip(whole, pieces, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-12)
        assert a.stderr == pytest.approx(b.stderr, rel=1e-9)

    class Turned(Subject):
        def images(self, protocol):
            return super().images(protocol)[torch.arange(12, -1, -1)]

    turned = evaluate(Turned(exact_subject.model, exact_subject.source), protocol)
    assert [answer.value for answer in turned] == pytest.approx([answer.value for answer in whole], rel=1e-12)


def test_more_chains_go_on_from_the_same_ones(exact_subject):
    keys = streams.keys(("chains", number) for number in range(5))
    x = exact_subject.source.images("test", torch.arange(5))
    alone = linear_gaussian(bridges=1, chains=2)
    more = linear_gaussian(bridges=1, chains=4)
    with torch.no_grad():
        few = alone.run(alone.densities(exact_subject.model, x), keys)[0].log_weights
        many = more.run(more.densities(exact_subject.model, x), keys)[0].log_weights
    assert torch.equal(few, many[:2])


def test_no_parameter_gets_a_gradient_or_changes(source):
    subject = subject_of(source)
    subject.model.requires_grad_(True)
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    with torch.no_grad():
        evaluate(subject, {**PROTOCOL, "images": 5, "steps": 4})
    assert all(parameter.grad is None and parameter.requires_grad for parameter in subject.model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in subject.model.state_dict().items())


@torch.no_grad()
@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"prior": {"name": "vampprior", "components": 6}},
        JOINT,
        {"posterior": {"name": "point"}, "likelihood": {"name": "gaussian-fixed", "sigma": 0.4}, "turn": 1.5},
    ],
    ids=["bernoulli", "vampprior", "a category summed over", "an autoencoder, whose q is a point"],
)
def test_a_decoder_of_pixels_agrees_with_quadrature(source, choices):
    assert_found(subject_of(source, **choices))


@torch.no_grad()
def test_a_conditional_model_is_given_the_labels(source):
    subject = subject_of(source, conditional=True)
    images, z = subject.split("test"), torch.zeros(12, 2).double()
    right, wrong = (subject.given(y).likelihood(z).log_prob(images.x) for y in (images.y, (images.y + 1) % 10))
    assert float((right - wrong).abs().min()) > 0.1
    assert_found(subject)


def assert_found(subject):
    head, gap = evaluate(subject, {**PROTOCOL, "chains": 16})
    assert head.stderr < 0.3
    assert abs(head.value - log_likelihood(subject)) < 3 * head.stderr + 0.02
    assert -3 * gap.stderr < gap.value < 2.0


@torch.no_grad()
def test_where_a_category_is_all_there_is_the_answer_is_exact(source):
    subject = subject_of(source, latent=4, **CATEGORICAL)
    codes = torch.eye(4).double().unsqueeze(1)
    truth = (subject.model.likelihood(codes).log_prob(subject.images(PROTOCOL).x) - math.log(4)).logsumexp(0)
    head, gap = evaluate(subject, PROTOCOL)
    assert head.value == pytest.approx(float(truth.mean()), rel=1e-12)
    assert (gap.value, gap.stderr) == (0.0, 0.0)
    assert head.stderr == 0.0


@torch.no_grad()
def test_a_mixture_of_gaussians_is_summed_to_its_exact_density(source):
    torch.manual_seed(0)
    mixture = DiagonalMixture(64, 5).double().requires_grad_(False)
    mixture.means.normal_(std=0.3)
    mixture.log_weights.normal_()
    grey = Source(source.dataset, "grey", dtype=torch.float64)
    head, _ = evaluate(Subject(mixture, grey), PROTOCOL)
    assert head.value == pytest.approx(float(mixture.log_prob(grey.images("test")).mean()), rel=1e-9)
    assert "exact" in head.note


def test_what_has_no_density_or_no_gradient_is_not_applicable(source):
    class Discrete(LinearGaussian):
        def prior(self):
            return OneHotCategorical(torch.ones(5) / 5)

    class Many(LinearGaussian):
        def prior(self):
            return NormalAndUniform(103, categories=101)()

    pca = PrincipalComponents(64, 3).double()
    cases = ((pca, "no prior"), (Discrete(), "discrete"), (Many(), "101 categories"))
    for model, reason in cases:
        values = evaluated(Subject(model, source), [MetricRequest("log_likelihood_ais", PROTOCOL)])
        assert [value.status for value in values] == ["n/a", "n/a"]
        assert all(reason in value.note for value in values)


@torch.no_grad()
def test_a_model_of_torchs_own_distributions_is_annealed_too(few):
    """A full-covariance prior, here the model with its latents turned and stretched: p(x) stays."""

    class Stretched(LinearGaussian):
        turn = torch.eye(5).double() + 0.5 * torch.tril(torch.ones(5, 5)).double()

        def prior(self):
            return MultivariateNormal(torch.zeros(5).double(), self.turn @ self.turn.mT)

        def likelihood(self, z):
            straight = torch.linalg.solve_triangular(self.turn, z.mT, upper=False).mT
            return Independent(super().likelihood(straight).base_dist, 1)

    subject, truth = few
    stretched = Subject(Stretched(), subject.source)
    head, _ = evaluate(stretched, {**PROTOCOL, "images": 40, "steps": 120, "chains": 16})
    assert abs(head.value - truth) < 3 * head.stderr + 0.2
    assert head.stderr < 0.1


@torch.no_grad()
def test_one_chain_has_no_error_and_chains_that_hardly_move_are_told(few):
    head, gap = evaluate(few[0], {**PROTOCOL, "images": 5, "chains": 1, "steps": 5})
    assert head.stderr is None
    assert gap.stderr is not None

    class Rough(LinearGaussian):
        """Its density jumps so wildly that next to no proposal is accepted."""

        def likelihood(self, z):
            return super().likelihood(z + 3.0 * torch.sign(torch.sin(1e5 * z)))

    answers = evaluate(Subject(Rough(), few[0].source), {**PROTOCOL, "steps": 30})
    assert all("hardly move" in answer.note for answer in answers)
    moving = evaluate(few[0], {**PROTOCOL, "steps": 30})
    assert not any("hardly move" in answer.note for answer in moving)

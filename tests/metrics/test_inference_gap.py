"""The two inference gaps where both have a closed form, and per-image q against distributions written out."""

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from tests.metrics.conftest import LinearGaussian
from tests.metrics.quadrature import CATEGORICAL, JOINT, log_likelihood, only, subject_of
from vaebench.data import streams
from vaebench.data.dataset import Split, load_dataset
from vaebench.data.source import Source
from vaebench.metrics import elbo
from vaebench.metrics.evaluation import evaluate as evaluated
from vaebench.metrics.inference_gap import evaluate
from vaebench.metrics.refined import ascended, family
from vaebench.metrics.subject import Subject
from vaebench.models.distributions import DiagonalNormal, FullNormal
from vaebench.models.flows import InverseAutoregressive, Made, Step
from vaebench.models.mixed import GaussianAndOneHot, OneHot
from vaebench.store.record import MetricRequest

PROTOCOL = {
    "split": "test", "seed": 0, "images": 40, "steps": 150, "draws": 8, "samples": 400, "learning_rate": 0.1
}  # fmt: skip


@pytest.fixture(scope="module")
def forty(real):
    return only(real, 40)


@pytest.fixture(scope="module")
def digits():
    return only(Source(load_dataset("digits"), "binary", dtype=torch.float64), 12)


class Posed(LinearGaussian):
    """The linear-Gaussian model with a q made of the exact posterior, N(m, S)."""

    def __init__(self, pose):
        super().__init__()
        self.pose = pose

    def posterior(self, x):
        return self.pose(self.exact.posterior(x))


class Known(Posed):
    """It says what ln p(x) is."""

    def log_prob(self, x):
        return self.exact.log_prob(x)


def deviations(p):
    return p.covariance_matrix.diagonal(dim1=-2, dim2=-1).sqrt()


def conditional_deviations(p):
    """1/√(S⁻¹)_uu: those of the diagonal Gaussian that is nearest to p in KL(q ‖ p)"""
    return p.precision_matrix.diagonal(dim1=-2, dim2=-1).rsqrt()


def wrong_diagonal(p):
    return DiagonalNormal(p.loc + 0.5 * deviations(p), 1.4 * deviations(p))


def wrong_sphere(p):
    return DiagonalNormal(p.loc + 0.4, torch.tensor(0.15).double().expand_as(p.loc))


def wrong_full(p):
    return FullNormal(p.loc - 0.5 * deviations(p), torch.diag_embed(0.6 * deviations(p)))


def divergence(q, p):
    """KL(q ‖ p), averaged over images"""
    full = MultivariateNormal(q.mean, scale_tril=torch.diag_embed(q.stddev)) if isinstance(q, DiagonalNormal) else q
    return float(kl_divergence(full, MultivariateNormal(p.loc, p.covariance_matrix)).mean())


@torch.no_grad()
@pytest.mark.parametrize("model", [Posed, Known], ids=["importance-weighted", "exact"])
@pytest.mark.parametrize(
    ("pose", "best"),
    [
        (wrong_diagonal, lambda p: DiagonalNormal(p.loc, conditional_deviations(p))),
        (wrong_sphere, lambda p: DiagonalNormal(p.loc, torch.full_like(p.loc, 0.15))),
        (wrong_full, lambda p: p),
    ],
    ids=["diagonal", "its mean alone", "full covariance"],
)
def test_both_gaps_are_their_closed_forms_on_the_linear_gaussian_model(forty, pose, best, model):
    """ELBO[q] = ln p(x) − KL(q ‖ p(z|x)), and the q of its family nearest to p(z|x) is known."""
    subject = Subject(model(pose), forty)
    exact = subject.model.exact.posterior(forty.images("test"))
    approximation, amortisation = evaluate(subject, PROTOCOL)
    nearest = divergence(best(exact), exact)
    found = divergence(pose(exact), exact) - nearest
    assert found > 0.5
    assert abs(approximation.value - nearest) < 3 * approximation.stderr + 0.01
    assert abs(amortisation.value - found) < 3 * amortisation.stderr + 0.01
    assert approximation.stderr < 0.05
    assert amortisation.stderr < 0.1
    assert ("exact" in approximation.note) == (model is Known)
    assert amortisation.details["refined"] == 1.0


@torch.no_grad()
@pytest.mark.parametrize("model", [Posed, Known])
def test_the_exact_posterior_leaves_no_gap(forty, model):
    """Every draw has weight p(x), so nothing is left even of the noise."""
    for answer in evaluate(Subject(model(lambda p: p), forty), {**PROTOCOL, "steps": 10}):
        assert answer.value == pytest.approx(0.0, abs=1e-9)
        assert answer.stderr == pytest.approx(0.0, abs=1e-9)


@torch.no_grad()
def test_where_the_ascent_ends_below_its_start_q_stays(forty):
    """The best diagonal q to start with, and steps so long that they only lose: no gap is negative."""
    pose = lambda p: DiagonalNormal(p.loc, conditional_deviations(p))  # noqa: E731
    subject = Subject(Known(pose), forty)
    approximation, amortisation = evaluate(subject, {**PROTOCOL, "steps": 3, "learning_rate": 20.0})
    assert amortisation.details["refined"] == 0.0
    assert (amortisation.value, amortisation.stderr) == (0.0, 0.0)
    exact = subject.model.exact.posterior(forty.images("test"))
    assert abs(approximation.value - divergence(pose(exact), exact)) < 3 * approximation.stderr


@torch.no_grad()
def test_common_draws_make_the_differences_surer_than_either_number(forty):
    """Where q is near p(z|x), what a draw adds to ln p(x) and to the ELBO is the same but for a square."""
    pose = lambda p: FullNormal(p.loc + 0.05 * deviations(p), 1.05 * p.scale_tril)  # noqa: E731
    subject = Subject(Posed(pose), forty)
    (bound,) = (answer for answer in elbo.evaluate(subject, {**PROTOCOL, "kl": "monte-carlo"}) if not answer.part)
    approximation, amortisation = evaluate(subject, {**PROTOCOL, "steps": 2, "learning_rate": 1e-3})
    assert 0 < amortisation.stderr < 0.1 * bound.stderr
    assert 0 < approximation.stderr < 0.3 * bound.stderr
    exact = subject.model.exact.posterior(forty.images("test"))
    assert abs(approximation.value + amortisation.value - divergence(pose(exact), exact)) < 3 * approximation.stderr


@torch.no_grad()
def test_the_errors_are_those_of_repetitions(forty):
    subject = Subject(Posed(wrong_diagonal), forty)
    runs = [evaluate(subject, {**PROTOCOL, "steps": 40, "samples": 60, "seed": seed}) for seed in range(12)]
    for part in zip(*runs, strict=True):
        spread = float(torch.tensor([answer.value for answer in part]).double().std())
        assert 0.5 < spread / (sum(answer.stderr for answer in part) / 12) < 1.8


@torch.no_grad()
def test_nothing_depends_on_the_block_or_on_the_order_of_images(forty):
    protocol = {**PROTOCOL, "images": 7, "steps": 12, "samples": 30}
    whole = evaluate(Subject(Posed(wrong_diagonal), forty), protocol)
    pieces = evaluate(Subject(Posed(wrong_diagonal), forty, block_numbers=20 * 8 * 3), protocol)

    class Turned(Subject):
        def images(self, protocol):
            return super().images(protocol)[torch.arange(6, -1, -1)]

    turned = evaluate(Turned(Posed(wrong_diagonal), forty), protocol)
    for others in (pieces, turned):
        for ours, theirs in zip(whole, others, strict=True):
            assert theirs.value == pytest.approx(ours.value, rel=1e-9)
            assert theirs.stderr == pytest.approx(ours.stderr, rel=1e-9)


@torch.no_grad()
@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"posterior": {"name": "full-gaussian"}},
        {"posterior": {"name": "iaf", "steps": 2, "hidden": [8], "context": True}},
        {"posterior": {"name": "constant-variance", "sigma": 0.7}},
        {"prior": {"name": "vampprior", "components": 6}},
        {"conditional": True},
        JOINT,
    ],
    ids=["diagonal", "full", "flow", "constant variance", "vampprior", "conditional", "joint"],
)
def test_both_together_are_what_the_elbo_lacks(digits, choices):
    """ln p(x) by quadrature, ELBO[q(z|x)] by the evaluator that knows nothing of q*."""
    subject = subject_of(digits, turn=1.5, **choices)
    approximation, amortisation = evaluate(subject, {**PROTOCOL, "steps": 60, "samples": 2000})
    (bound,) = (
        answer for answer in elbo.evaluate(subject, {**PROTOCOL, "samples": 2000, "kl": "analytic"}) if not answer.part
    )
    error = math.hypot(approximation.stderr, amortisation.stderr, bound.stderr)
    missing = log_likelihood(subject) - bound.value
    assert abs(approximation.value + amortisation.value - missing) < 4 * error + 0.01
    assert error < 0.1
    assert amortisation.value > 0.1
    assert approximation.value > -3 * approximation.stderr


class Factorised(nn.Module):
    """Two pixels tell z and three tell c, apart from noise: p(z, c|x) = p(z|x) p(c|x), and p(z|x) is diagonal."""

    def __init__(self):
        super().__init__()
        self.means = torch.tensor([[0.0, 0.5, 1.0], [0.5, 1.0, 0.0], [1.0, 0.0, 0.5]]).double()

    def prior(self):
        zero = torch.zeros(2).double()
        return GaussianAndOneHot(DiagonalNormal(zero, zero + 1), OneHot(torch.tensor([0.5, 0.2, 0.3]).double().log()))

    def likelihood(self, code):
        mean = torch.cat([code[..., :2], code[..., 2:] @ self.means], dim=-1)
        return DiagonalNormal(mean, torch.full_like(mean, 0.5))

    def exact(self, x):
        """N(x/1.25, 0.2) for z, Bayes' rule for c"""
        log_category = self.prior().category.log_probs + Normal(self.means, 0.5).log_prob(x[:, None, 2:]).sum(-1)
        mean = x[:, :2] / 1.25
        return GaussianAndOneHot(DiagonalNormal(mean, torch.full_like(mean, math.sqrt(0.2))), OneHot(log_category))

    def posterior(self, x):
        exact = self.exact(x)
        wider = torch.tensor([0.9, 1.0]).double().expand(len(x), 2)
        return GaussianAndOneHot(
            DiagonalNormal(exact.gaussian.mean + 0.3, wider), OneHot(torch.zeros(len(x), 3).double())
        )


@torch.no_grad()
def test_a_category_is_refined_together_with_the_latents_before_it(forty):
    """Where the posterior is of the family: no approximation gap, and the other is KL(q(z, c|x) ‖ p(z, c|x))."""

    content = forty.images("test")[:, :5]
    dataset = dataclasses.replace(forty.dataset, splits={"test": Split(content)}, pixels=5)
    source = dataclasses.replace(forty, dataset=dataset)
    model = Factorised()
    truth = float(kl_divergence(model.posterior(content), model.exact(content)).mean())
    approximation, amortisation = evaluate(Subject(model, source), PROTOCOL)
    assert truth > 1.0
    assert abs(amortisation.value - truth) < 3 * amortisation.stderr + 0.01
    assert abs(approximation.value) < 3 * approximation.stderr + 0.01


@torch.no_grad()
def test_of_a_category_alone_both_are_exact(digits):
    """q* is p(c|x), whatever the image."""
    subject = subject_of(digits, latent=4, **CATEGORICAL)
    x, codes = digits.images("test"), torch.eye(4).double().unsqueeze(1)
    log_joint = (subject.model.likelihood(codes).log_prob(x) - math.log(4)).mT
    q = subject.model.posterior(x).mean
    by_hand = float((log_joint.logsumexp(-1) - (q * (log_joint - q.log())).sum(-1)).mean())
    approximation, amortisation = evaluate(subject, PROTOCOL)
    assert (approximation.value, approximation.stderr) == (0.0, 0.0)
    assert amortisation.value == pytest.approx(by_hand, rel=1e-9)
    assert amortisation.stderr == 0.0


def flow(base):
    torch.manual_seed(1)
    made = [Made(3, [8], None).double().requires_grad_(False) for _ in range(2)]
    for network in made:
        for parameter in network.parameters():
            parameter.mul_(2.0)
    return InverseAutoregressive(base, [Step(network, None) for network in made])


def lower(values):
    """Row by row below the diagonal of 3 × 3, by hand"""
    matrix = torch.zeros(*values.shape[:-1], 3, 3).double()
    matrix[..., 1, 0], matrix[..., 2, 0], matrix[..., 2, 1] = values.unbind(-1)
    return matrix


@torch.no_grad()
@pytest.mark.parametrize("kind", ["diagonal", "mean", "full", "flow", "torch's own"])
def test_the_refined_q_is_the_distribution_that_its_parameters_say(kind):
    """Its draws and densities are those of μ + σ m and σ e^s, of μ + L m and L A, and of the flow behind the former."""
    noise = streams.normal(streams.keys(("noise", i) for i in range(4)), 0, 5, 3, torch.float64)
    mean, shift, scale, below = (
        streams.normal(torch.tensor(streams.key(name)), 0, 4, 3, torch.float64)
        for name in ("mean", "shift", "scale", "below")
    )
    deviation, factor = (0.3 * scale + mean).exp(), torch.diag_embed(scale.exp()) + lower(below * mean)
    base = DiagonalNormal(mean, deviation)
    scale = 0 * scale if kind == "mean" else scale
    moved = DiagonalNormal(mean + deviation * shift, deviation * scale.exp())
    relative = torch.diag_embed(scale.exp()) + lower(below)
    q, expected = {
        "diagonal": (base, moved),
        "mean": (base, moved),
        "torch's own": (Independent(Normal(mean, deviation), 1), moved),
        "flow": (flow(base), flow(moved)),
        "full": (
            FullNormal(mean, factor),
            FullNormal(mean + (factor @ shift.unsqueeze(-1)).squeeze(-1), factor @ relative),
        ),
    }[kind]
    of = family(q, spread_is_free=kind != "mean")
    given = {"shift": shift, "log_scale": scale, "below": below}
    z, log_density = of.draw({name: given[name] for name in of.free}, noise)
    assert torch.allclose(z, expected.from_noise(noise), atol=1e-10)
    assert torch.allclose(log_density, expected.log_prob(expected.from_noise(noise)), atol=1e-9)
    z, log_density = of.draw(of.start(mean), noise)
    assert torch.equal(z, of.continuous.from_noise(noise))
    assert torch.allclose(log_density, of.continuous.log_prob(z), atol=1e-12)


def test_the_ascent_finds_a_maximum_and_leaves_its_start_alone():
    start = {"shift": torch.zeros(3, 2).double()}
    peak = torch.tensor([[1.0, -2.0], [0.5, 0.0], [3.0, 3.0]]).double()
    end, seen = ascended(lambda p, step: -(p["shift"] - peak).square().sum(-1), start, 200, 0.1)
    assert torch.allclose(end["shift"], peak, atol=1e-3)
    assert torch.equal(start["shift"], torch.zeros(3, 2).double())
    assert torch.equal(seen[0], -peak.square().sum(-1))
    assert not end["shift"].requires_grad


@pytest.mark.parametrize(
    "choices", [{}, {"posterior": {"name": "iaf", "steps": 1, "hidden": [8], "context": True}}, JOINT]
)
def test_no_parameter_gets_a_gradient_or_changes(digits, choices):
    subject = subject_of(digits, **choices)
    subject.model.requires_grad_(True)
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    with torch.no_grad():
        evaluate(subject, {**PROTOCOL, "images": 5, "steps": 4, "samples": 10})
    assert all(parameter.grad is None and parameter.requires_grad for parameter in subject.model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in subject.model.state_dict().items())


def test_what_cannot_be_refined_is_not_applicable(digits, forty):
    point = subject_of(digits, posterior={"name": "point"})
    foreign = Subject(Posed(lambda p: Independent(torch.distributions.Laplace(p.loc, 1.0), 1)), forty)
    for subject, reason in ((point, "q is a point"), (foreign, "Independent")):
        values = evaluated(subject, [MetricRequest("inference_gap", PROTOCOL)])
        assert [value.metric for value in values] == ["inference_gap.approximation", "inference_gap.amortisation"]
        assert [value.status for value in values] == ["n/a", "n/a"]
        assert all(reason in value.note for value in values)


@torch.no_grad()
def test_what_is_held_is_said(digits):
    protocol = {**PROTOCOL, "steps": 2, "samples": 4}
    held = {
        "iaf": ({"name": "iaf", "steps": 1, "hidden": [8], "context": False}, "steps of the flow are held"),
        "constant-variance": ({"name": "constant-variance", "sigma": 0.3}, "free in its mean"),
    }
    for posterior, words in held.values():
        answers = evaluate(subject_of(digits, posterior=posterior), protocol)
        assert all(words in answer.note for answer in answers)
    free = evaluate(subject_of(digits), protocol)
    assert not any("held" in answer.note or "free" in answer.note for answer in free)

"""The numbers of popular code: each equals that code's formula, and errs in the direction that theory says."""

import math

import pytest
import torch
from torch.nn import functional

from tests.compositions import composition
from tests.metrics.conftest import LinearGaussian
from tests.metrics.test_mi_lower_bound import Decoded, coded
from tests.metrics.test_mutual_information import (
    CATEGORIES,
    IMAGES,
    LATENTS,
    MEANS,
    NORMAL,
    SCALES,
    UNIFORM,
    numbers,
    source_of,
)
from vaebench.data import streams
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.metrics import claimed, elbo, log_likelihood, mi_lower_bound
from vaebench.metrics.answer import NotApplicable
from vaebench.metrics.claimed import log_density_at_own_sigma, weighted_log_weight
from vaebench.metrics.draws import draw
from vaebench.metrics.subject import Subject
from vaebench.models.composition import Composition
from vaebench.models.distributions import DiagonalNormal
from vaebench.models.mixed import GaussianAndOneHot, OneHot

READER = {"steps": 8, "batch": 16, "hidden": [32], "learning_rate": 0.01, "q": "diagonal", "images": 1000, "draws": 40}
PROTOCOL = {"split": "test", "seed": 0, "samples": 5, "batch": 100, "surrogate_images": 1000}
PROTOCOL |= {f"reader_{name}": value for name, value in READER.items()}
FLOOR = {"sigma_floor": 1e-3}
TEMPERATURES = {"temperature": 1.0, "final_temperature": 0.5}


@pytest.fixture(scope="module")
def grey():
    return Source(load_dataset("digits"), "grey", dtype=torch.float64)


@pytest.fixture(scope="module")
def binary():
    return Source(load_dataset("digits"), "binary", dtype=torch.float64)


def composed(source, **choices):
    torch.manual_seed(0)
    model = Composition(composition(**choices), source.dataset.shape).double().eval().requires_grad_(False)
    return Subject(model, source)


def parts_of(subject, **protocol):
    with torch.no_grad():
        return {answer.part: answer for answer in claimed.evaluate(subject, {**PROTOCOL, **protocol})}


def bound_of(subject, samples=2):
    """On the two draws that the claims are made on."""
    with torch.no_grad():
        return elbo.evaluate(subject, {"split": "test", "seed": 0, "samples": samples, "kl": "analytic"})[0]


def popular_tensors(subject, *words):
    """x, q and the two draws of z that popular code would have decoded one at a time."""
    x = subject.source.images("test")
    q = subject.model.posterior(x)
    return x, q, draw(q, streams.image_keys(x, *words, 0), 0, 2)


def test_at_the_mean_of_q_the_bound_is_the_popular_formula_and_too_high_by_the_decoders_curvature(wrong_subject):
    """ln p(x|μ) − E_q ln p(x|z) = ½ Σ_u Var_q(z_u) ‖W_u‖²/σ² in a linear-Gaussian model."""
    known = wrong_subject.model.exact
    x, q, _ = popular_tensors(wrong_subject, "elbo")
    mu, variance = q.mean, q.variance
    reconstruction = -0.5 * ((x - mu @ known.weights.T - known.mean) ** 2 / known.sigma**2).sum(1)
    reconstruction -= 10 * torch.log(2 * torch.pi * known.sigma**2)
    kld = -0.5 * torch.sum(1 + variance.log() - mu.pow(2) - variance, dim=1)
    printed = parts_of(wrong_subject)["at_mean"]
    assert printed.value == pytest.approx(float((reconstruction - kld).mean()), rel=1e-10)
    assert printed.stderr == 0.0
    curvature = 0.5 * float((variance * known.weights.square().sum(0)).sum(1).mean() / known.sigma**2)
    bound = bound_of(wrong_subject, samples=64)
    assert curvature > 1
    assert abs(printed.value - bound.value - curvature) < 3 * bound.stderr


def test_the_surrogate_is_the_popular_formula_and_lies_above_the_bound(wrong_subject):
    """w = softmax(log_weight); loss = −Σ w · log_weight, as in the code of IWAE's many reimplementations."""
    x = wrong_subject.source.images("test")
    q, prior = wrong_subject.model.posterior(x), wrong_subject.model.prior()
    z = draw(q, streams.image_keys(x, "importance", 0), 0, 10)
    log_weight = wrong_subject.model.likelihood(z).log_prob(x) + prior.log_prob(z) - q.log_prob(z)
    losses = []
    for one in (log_weight[:5], log_weight[5:]):
        shifted = torch.exp(one - one.max(0).values)
        losses.append(-torch.mean(torch.sum(shifted / shifted.sum(0) * one, 0)))
    printed = parts_of(wrong_subject)["surrogate"]
    assert printed.value == pytest.approx(-float(sum(losses)) / 2, rel=1e-10)
    bounds = [log_weight[first : first + 5].logsumexp(0) - math.log(5) for first in (0, 5)]
    bound = float(torch.stack(bounds).mean())
    assert printed.details["bound"] == pytest.approx(bound, rel=1e-10)
    assert bound + 10 * printed.stderr < printed.value < bound + math.log(5)
    (true, *_) = log_likelihood.evaluate(wrong_subject, {"split": "test", "seed": 0, "samples": 5, "images": 1000})
    assert true.value == pytest.approx(float(bounds[0].mean()), rel=1e-10)
    assert true.value < printed.value


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0, 30.0])
def test_the_surrogate_exceeds_the_bound_by_ln_k_less_the_entropy_of_the_weights(scale):
    """0 where all weights are one, ln K where one of them is all."""
    log_weights = scale * torch.randn(50, 7, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    excess = weighted_log_weight(log_weights) - (log_weights.logsumexp(-2) - math.log(7))
    weights = log_weights.softmax(-2)
    entropy = -torch.special.xlogy(weights, weights).sum(-2)
    assert torch.allclose(excess, math.log(7) - entropy, atol=1e-10)
    assert bool((excess > -1e-10).all())
    assert bool((excess < math.log(7) + 1e-10).all())


def test_the_error_of_the_surrogate_is_that_of_many_repetitions(wrong_subject):
    answers = [parts_of(wrong_subject, seed=seed)["surrogate"] for seed in range(40)]
    spread = torch.tensor([answer.value for answer in answers]).std()
    claimed_error = torch.tensor([answer.stderr for answer in answers]).mean()
    assert float(claimed_error) == pytest.approx(float(spread), rel=0.35)


@pytest.mark.parametrize("batch", [100, 130, 1000])
def test_the_batchs_own_sigma_is_the_popular_formula_and_beats_every_other(grey, batch):
    """σ-VAE: log_sigma = ((x − x̂)²).mean().sqrt().log(); rec = gaussian_nll(x̂, log_sigma, x).sum(), batch by batch."""
    subject = composed(grey, likelihood={"name": "gaussian-shared", **FLOOR})
    x, q, z = popular_tensors(subject, "elbo")
    kl = torch.distributions.kl_divergence(q, subject.model.prior())
    total = 0.0
    for decoded in (subject.model.likelihood(each).mean for each in z):
        for here, x_hat, divergence in zip(x.split(batch), decoded.split(batch), kl.split(batch), strict=True):
            log_sigma = ((here - x_hat) ** 2).mean().sqrt().log()
            rec = 0.5 * torch.pow((here - x_hat) / log_sigma.exp(), 2) + log_sigma + 0.5 * math.log(2 * math.pi)
            total += float(-rec.sum() - divergence.sum()) / 2
    printed = parts_of(subject, batch=batch, **FLOOR)["batch_sigma"]
    assert printed.value == pytest.approx(total / 300, rel=1e-10)
    for log_sigma in (-2.0, -1.2, -1.0, -0.8, 0.0):
        subject.model.likelihood_head.log_sigma.fill_(log_sigma)
        assert bound_of(subject).value < printed.value


def test_the_smaller_the_batch_the_more_its_own_sigma_claims(grey):
    subject = composed(grey, likelihood={"name": "gaussian-shared", **FLOOR})
    values = [parts_of(subject, batch=batch)["batch_sigma"].value for batch in (1, 10, 100, 300)]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[3] + 0.5


def test_a_batch_without_error_stops_at_the_floor():
    nothing = torch.zeros(3, 7, dtype=torch.float64)
    expected = -32 * math.log(2 * math.pi * 1e-6)
    assert log_density_at_own_sigma(nothing, 64, 1e-3).tolist() == pytest.approx([expected] * 3)


@pytest.mark.parametrize("name", ["continuous-bernoulli", "bernoulli-unnormalised"])
def test_the_cross_entropy_of_grey_pixels_is_the_popular_formula_and_misses_the_normaliser(grey, name):
    """The normaliser of the continuous Bernoulli is 2 at least, so it lies below the ELBO by D ln 2 at least."""
    subject = composed(grey, likelihood={"name": name})
    x, q, z = popular_tensors(subject, "elbo")
    kl = torch.distributions.kl_divergence(q, subject.model.prior())
    losses = []
    for each in z:
        recon = torch.sigmoid(subject.model.likelihood(each).base_dist.logits)
        losses.append((functional.binary_cross_entropy(recon, x, reduction="sum") + kl.sum()) / len(x))
    printed = parts_of(subject)["grey_cross_entropy"]
    assert printed.value == pytest.approx(-float(sum(losses)) / 2, rel=1e-8)
    assert bound_of(subject).value - printed.value >= 64 * math.log(2) * (1 - 1e-12)


def reasons_of(subject, **protocol):
    found = parts_of(subject, **protocol)
    return {part: str(answer) for part, answer in found.items() if isinstance(answer, NotApplicable)}


def test_each_part_is_asked_only_where_popular_code_could_have_printed_it(grey, binary):
    cross_entropy = {"grey_cross_entropy": "p(x|z) has no logits of independent pixels"}
    for name in ("gaussian-shared", "gaussian-optimal", "gaussian-squared-error"):
        assert reasons_of(composed(grey, likelihood={"name": name, **FLOOR})) == cross_entropy
    assert reasons_of(composed(grey, likelihood={"name": "gaussian-fixed", "sigma": 0.3})) == cross_entropy
    several = {"batch_sigma": "p(x|z) has more than one σ", **cross_entropy}
    assert reasons_of(composed(grey, likelihood={"name": "gaussian", **FLOOR})) == several
    assert reasons_of(composed(grey, likelihood={"name": "gaussian-scalar", **FLOOR})) == several
    on_binary = reasons_of(composed(binary))
    assert set(on_binary) == {"batch_sigma", "grey_cross_entropy"}
    assert "no Gaussian" in on_binary["batch_sigma"]


def test_a_point_posterior_claims_nothing_and_a_category_has_no_mean(grey):
    point = composed(grey, posterior={"name": "point"}, likelihood={"name": "gaussian-squared-error", **FLOOR})
    reasons = reasons_of(point)
    assert set(reasons) == set(claimed.PARTS)
    assert set(list(reasons.values())[:3]) == {"q is a point"}
    joint = composed(
        grey,
        latent=7,
        posterior={"name": "joint", "categories": 4, **TEMPERATURES},
        prior={"name": "normal-and-uniform", "categories": 4},
        likelihood={"name": "gaussian-shared", **FLOOR},
    )
    assert reasons_of(joint)["at_mean"] == "the mean of one-hot codes is no code"
    assert "batch_sigma" not in reasons_of(joint)


@pytest.mark.parametrize("numbers", [64, 64 * 7])
def test_the_evaluation_batch_moves_no_number(grey, numbers):
    subject = composed(grey, likelihood={"name": "gaussian-shared", **FLOOR})
    others = parts_of(Subject(subject.model, grey, block_numbers=numbers), images=45, batch=20)
    for part, one in parts_of(subject, images=45, batch=20).items():
        two = others[part]
        if not isinstance(one, NotApplicable):
            assert two.value == pytest.approx(one.value, rel=1e-12)
            assert two.stderr == pytest.approx(one.stderr, rel=1e-8)


def test_the_priors_entropy_claims_all_for_codes_that_say_little_or_nothing():
    """ln 10 both for a constant code, whose I(x; c) is 0, and for q(c) = (.91, .01 × 9), whose I is 0.500 (truth 8)."""
    thorough = {"reader_steps": 250, "reader_batch": 256, "reader_draws": 4000}
    for code_of in (lambda i: torch.full_like(i, 3), lambda i: (i - 900).clamp_min(0) // 10):
        printed = parts_of(coded(code_of), **thorough)["prior_entropy"]
        assert printed.value == pytest.approx(math.log(10), abs=0.005)


def test_the_claim_is_what_the_metric_of_the_same_settings_calls_no_bound(wrong_subject):
    with torch.no_grad():
        parts = {
            answer.part: answer
            for answer in mi_lower_bound.evaluate(wrong_subject, {"split": "test", "seed": 0, **READER})
        }
    printed, named = parts_of(wrong_subject)["prior_entropy"], parts["encoder_prior_entropy"]
    assert (printed.value, printed.stderr) == (named.value, named.stderr)


def test_the_surrogate_is_taken_on_the_images_and_draws_of_the_log_likelihood(wrong_subject):
    """The bound of its first repetition is log_likelihood on the same subset, so only the formula differs."""
    few = parts_of(wrong_subject, surrogate_images=100)["surrogate"]
    with torch.no_grad():
        (bound, *_) = log_likelihood.evaluate(wrong_subject, {"split": "test", "seed": 0, "samples": 5, "images": 100})
    assert few.value > bound.value
    assert few.details["bound"] == pytest.approx(bound.value, abs=0.2)
    assert few.value - few.details["bound"] < math.log(5)


def test_of_a_joint_code_the_claim_is_about_its_category_however_much_the_latents_say():
    """A constant category beside latents that pixels show: ln K is claimed of a category that says nothing."""

    def posterior_of(i):
        always = torch.nn.functional.one_hot(torch.zeros_like(i), CATEGORIES).double()
        return GaussianAndOneHot(DiagonalNormal(MEANS[i], SCALES[i]), OneHot(always.clamp_min(1e-300).log()))

    weights = torch.block_diag(numbers(20, LATENTS, seed=4), 2 * torch.eye(CATEGORIES).double())
    subject = Subject(Decoded(posterior_of, GaussianAndOneHot(NORMAL, UNIFORM), weights, 0.3), source_of(IMAGES))
    printed = parts_of(subject, reader_steps=250, reader_batch=256)["prior_entropy"]
    assert printed.value == pytest.approx(math.log(CATEGORIES), abs=0.005)


def test_the_claim_at_the_mean_has_the_error_of_a_kl_that_is_drawn(real):
    """Against its spread over seeds, where the KL has no closed form; where it has one the error is 0."""

    class Drawn(LinearGaussian):
        def posterior(self, x):
            q = super().posterior(x)
            return torch.distributions.Independent(torch.distributions.Laplace(q.mean, q.stddev), 1)

        def prior(self):
            p = self.exact.prior()
            return torch.distributions.MultivariateNormal(p.mean, torch.diag_embed(p.variance))

    subject = Subject(Drawn(wrong=0.3), real)
    answers = [claimed.at_mean(subject, {"split": "test", "seed": seed}) for seed in range(40)]
    spread = torch.tensor([answer.value for answer in answers]).double().std()
    assert float(torch.tensor([answer.stderr for answer in answers]).mean() / spread) == pytest.approx(1.0, abs=0.3)
    assert claimed.at_mean(Subject(LinearGaussian(wrong=0.3), real), {"split": "test", "seed": 0}).stderr == 0.0

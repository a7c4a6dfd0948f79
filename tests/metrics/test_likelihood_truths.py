"""Section 7.1: what the evaluators must find on a model whose ln p(x) is known."""

import math
import re

import pytest
import torch
from torch.distributions import kl_divergence

from tests.metrics.conftest import LinearGaussian
from vaebench.data import streams
from vaebench.data.source import Source
from vaebench.metrics import bits_per_dim, elbo, kl, log_likelihood, reconstruction
from vaebench.metrics.answer import NotApplicable
from vaebench.metrics.draws import draw
from vaebench.metrics.importance import importance_weights
from vaebench.metrics.subject import Images, Subject
from vaebench.models.distributions import DiagonalNormal

TEST = {"split": "test", "seed": 0}


@pytest.mark.parametrize("samples", [1, 2, 33])
def test_with_the_exact_posterior_one_draw_is_enough(exact_subject, log_density, samples):
    """p(x, z)/q(z|x) = p(x) for every z: the Monte Carlo ELBO and every L_K equal ln p(x) to rounding."""
    truth = float(log_density.mean())
    bound, *_ = elbo.evaluate(exact_subject, {**TEST, "samples": samples, "kl": "monte-carlo"})
    likelihood, *_ = log_likelihood.evaluate(exact_subject, {**TEST, "samples": samples, "images": 1000})
    assert bound.value == pytest.approx(truth, rel=1e-10)
    assert likelihood.value == pytest.approx(truth, rel=1e-10)
    if samples > 1:
        assert likelihood.stderr == pytest.approx(0.0, abs=1e-7)
        assert likelihood.details["effective_sample_size"]["least"] == pytest.approx(samples)


def test_the_analytic_kl_form_finds_the_truth_within_three_standard_errors(exact_subject, log_density):
    bound, *_ = elbo.evaluate(exact_subject, {**TEST, "samples": 16, "kl": "analytic"})
    assert abs(bound.value - float(log_density.mean())) < 3 * bound.stderr
    assert 0 < bound.stderr < 0.1


def test_more_samples_never_lower_the_mean_bound_and_none_passes_the_truth(wrong_subject, log_density, real):
    """On the same K' = mK draws in groups: mean of L_K ≤ L_K', exactly; both below ln p(x) within 3 errors."""
    x = real.images("test")[:200]
    q, prior = wrong_subject.model.posterior(x), wrong_subject.model.prior()
    z = draw(q, streams.image_keys(x, "importance", 0), 0, 60)
    weights = prior.log_prob(z) - q.log_prob(z) + wrong_subject.model.likelihood(z).log_prob(x)
    of_60 = torch.logsumexp(weights, 0) - math.log(60)
    of_10 = (torch.logsumexp(weights.reshape(6, 10, -1), 1) - math.log(10)).mean(0)
    of_1 = weights.mean(0)
    assert bool((of_1 <= of_10 + 1e-12).all())
    assert bool((of_10 <= of_60 + 1e-12).all())
    error = float(weights.std(0).mean()) / math.sqrt(60 * 200)
    assert float(of_60.mean() - log_density[:200].mean()) < 3 * error
    ours = importance_weights(wrong_subject, Images(x), 60, 0, lambda p, x: p.log_prob(x))
    assert torch.allclose(ours.log_mean, of_60, rtol=1e-12)


def test_a_wrong_posterior_loses_its_divergence_from_the_right_one(wrong_subject, exact_subject, log_density, real):
    """ln p(x) − ELBO = KL(q(z|x) ‖ p(z|x)), here in closed form."""
    bound, *_ = elbo.evaluate(wrong_subject, {**TEST, "samples": 64, "kl": "analytic"})
    x = real.images("test")
    q, right = wrong_subject.model.posterior(x), exact_subject.model.posterior(x)
    as_full = torch.distributions.MultivariateNormal(q.mean, scale_tril=torch.diag_embed(q.stddev))
    gap = float(
        kl_divergence(as_full, torch.distributions.MultivariateNormal(right.loc, right.covariance_matrix)).mean()
    )
    assert gap > 0.3
    assert abs(float(log_density.mean()) - bound.value - gap) < 3 * bound.stderr


def test_importance_samples_close_the_gap_and_say_how_far_to_trust_them(wrong_subject, log_density):
    truth = float(log_density.mean())
    values = [
        log_likelihood.evaluate(wrong_subject, {**TEST, "samples": samples, "images": 1000})[0]
        for samples in (1, 10, 300)
    ]
    assert values[0].value < values[1].value < values[2].value
    assert values[0].stderr is None
    assert abs(values[2].value - truth) < 3 * values[2].stderr + 0.01


def test_exact_models_are_scored_by_their_own_density_on_the_whole_split(exact_subject, log_density, real):
    answer, *_ = log_likelihood.evaluate(Subject(exact_subject.model.exact, real), {**TEST, "samples": 3, "images": 7})
    assert answer.value == pytest.approx(float(log_density.mean()), rel=1e-12)
    assert answer.stderr == 0.0


def test_an_exact_density_that_lies_below_the_monte_carlo_bound_is_refused_and_one_that_does_not_is_believed(
    exact_subject, real, log_density
):
    """Here a weight is p(x) whatever the draw, so that 0.1 nats too few of 1,000 images can be no chance."""

    class Says:
        def __init__(self, off):
            self.known, self.off = exact_subject.model, off
            self.prior, self.posterior, self.likelihood = self.known.prior, self.known.posterior, self.known.likelihood

        def log_prob(self, x):
            return self.known.exact.log_prob(x) + self.off

    protocol = {**TEST, "samples": 3, "images": 1000}
    answer, *_ = log_likelihood.evaluate(Subject(Says(0.0), real), protocol)
    assert answer.value == pytest.approx(float(log_density.mean()), rel=1e-12)
    with pytest.raises(ValueError, match=r"log_prob\(x\) must be ln p\(x\), exactly; .* nats more, a mean over images"):
        log_likelihood.evaluate(Subject(Says(-0.1), real), protocol)


def test_kl_and_reconstruction_are_the_closed_forms(wrong_subject, real):
    x = real.images("test")
    q = wrong_subject.model.posterior(x)
    answer, _ = kl.evaluate(wrong_subject, {**TEST, "samples": 8})
    closed = 0.5 * (q.variance + q.mean.square() - 1 - q.variance.log())
    assert answer.value == pytest.approx(float(closed.sum(-1).mean()), rel=1e-12)
    assert answer.stderr == 0.0
    assert answer.details["by_latent"] == pytest.approx(closed.mean(0).tolist())
    known = wrong_subject.model.exact
    residual = (x - q.mean @ known.weights.T - known.mean).square().sum(-1)
    spread = (q.variance * known.weights.square().sum(0)).sum(-1)
    density = -0.5 * ((residual + spread) / known.sigma**2 + 20 * torch.log(2 * torch.pi * known.sigma**2))
    log_density, squared = reconstruction.evaluate(wrong_subject, {**TEST, "samples": 32})
    assert abs(log_density.value - float(density.mean())) < 3 * log_density.stderr
    assert abs(squared.value - float((residual + spread).mean())) < 3 * squared.stderr


@pytest.mark.parametrize("images", [1000, 100])
def test_intervals_cover_the_closed_form(wrong_subject, real, images):
    """Section 7.9: 95 % intervals of the Monte Carlo ELBO at fixed images cover in 91 to 99 % of 200 repetitions;
    for a subset of images they cover the value of the whole split."""
    x = real.images("test")
    q = wrong_subject.model.posterior(x)
    known = wrong_subject.model.exact
    residual = (x - q.mean @ known.weights.T - known.mean).square().sum(-1)
    spread = (q.variance * known.weights.square().sum(0)).sum(-1)
    closed = -0.5 * ((residual + spread) / known.sigma**2 + 20 * torch.log(2 * torch.pi * known.sigma**2))
    target = float((closed - kl_divergence(q, wrong_subject.model.prior())).mean())
    hits = 0
    for seed in range(200):
        answer, *_ = elbo.evaluate(
            wrong_subject, {"split": "test", "seed": seed, "samples": 4, "kl": "monte-carlo", "images": images}
        )
        hits += abs(answer.value - target) < 1.96 * answer.stderr
    assert 0.91 <= hits / 200 <= 0.99


@pytest.mark.parametrize("samples", [10, 300])
def test_the_error_of_the_likelihood_is_its_spread_over_seeds_also_where_few_draws_count(real, samples):
    """A q that is too narrow and off by a deviation; the delta method, which stops at 1, says half of the spread."""

    class Off(LinearGaussian):
        def posterior(self, x):
            q = super().posterior(x)
            return DiagonalNormal(q.mean, 0.7 * q.stddev)

    subject = Subject(Off(wrong=0.6), real)
    protocol = {**TEST, "samples": samples, "images": 1000}
    answers = [log_likelihood.evaluate(subject, {**protocol, "seed": seed})[0] for seed in range(25)]
    spread = torch.tensor([answer.value for answer in answers]).double().std()
    assert answers[0].details["effective_sample_size"]["mean"] < samples / 2
    assert 0.72 < sum(answer.stderr for answer in answers) / len(answers) / float(spread) < 1.35
    told = re.search(r"it is below 10 on ([\d,]+) of 1,000 images", answers[0].note)
    assert told is not None
    few = int(told[1].replace(",", ""))
    assert few == 1000 if samples == 10 else 1 <= few <= 20


def test_draws_that_float32_rounds_to_the_mean_are_told(real):
    """Where σ < ε |μ| a draw is μ, and ln p(x, z)/q(z|x) is the same for every draw and wrong."""

    class Narrow(LinearGaussian):
        def posterior(self, x):
            mean = torch.tensor([1.0, -2.0, 0.0, 0.5, 3.0]).expand(len(x), 5)
            return DiagonalNormal(mean, torch.tensor([1e-12, 1e-12, 1e-12, 1e-3, 1.0]).expand(len(x), 5))

        def prior(self):
            return DiagonalNormal(torch.zeros(5), torch.ones(5))

        def likelihood(self, z):
            return DiagonalNormal(z.repeat_interleave(4, -1), torch.ones(20))

    protocol = {**TEST, "samples": 3, "images": 100}
    source = Source(real.dataset, "real")
    answer, *_ = log_likelihood.evaluate(Subject(Narrow(), source), protocol)
    assert "σ of q(z|x) is below the rounding of μ on 40% of the latents" in answer.note
    wide, *_ = log_likelihood.evaluate(Subject(LinearGaussian(wrong=0.3), real), protocol)
    assert "rounding" not in wide.note


def test_codes_that_are_longer_than_images_are_drawn_in_smaller_blocks(real):
    class Long(LinearGaussian):
        def prior(self):
            return DiagonalNormal(torch.zeros(200), torch.ones(200))

    assert Subject(Long(), real, block_numbers=20_000).rows == 100
    assert Subject(LinearGaussian(), real, block_numbers=20_000).rows == 1000


class TestNothingDependsOnCompany:
    """Section 7.10."""

    @pytest.mark.parametrize("numbers", [20, 20 * 7, 20 * 5000])
    @pytest.mark.parametrize(
        "evaluator",
        [elbo.evaluate, log_likelihood.evaluate, kl.evaluate, reconstruction.evaluate],
        ids=lambda e: e.__module__,
    )
    def test_the_evaluation_batch_moves_no_number(self, wrong_subject, real, evaluator, numbers):
        protocol = {**TEST, "samples": 12, "images": 300, "kl": "analytic"}
        other = Subject(wrong_subject.model, real, block_numbers=numbers)
        for one, two in zip(evaluator(wrong_subject, protocol), evaluator(other, protocol), strict=True):
            if isinstance(one, NotApplicable):
                continue
            assert two.value == pytest.approx(one.value, rel=1e-12)
            assert two.stderr == pytest.approx(one.stderr, rel=1e-9, abs=1e-15)

    def test_the_order_of_the_images_moves_no_number(self, wrong_subject, real):
        x = real.images("test")[:200]
        weights = importance_weights(wrong_subject, Images(x), 20, 0, lambda p, x: p.log_prob(x))
        order = torch.randperm(200)
        permuted = importance_weights(wrong_subject, Images(x[order]), 20, 0, lambda p, x: p.log_prob(x))
        assert torch.allclose(permuted.log_sum, weights.log_sum[order], rtol=1e-12)

    def test_an_image_alone_gets_the_number_it_gets_among_others(self, wrong_subject, real):
        x = real.images("test")[:50]
        together = importance_weights(wrong_subject, Images(x), 20, 0, lambda p, x: p.log_prob(x)).log_sum
        alone = importance_weights(wrong_subject, Images(x[17:18]), 20, 0, lambda p, x: p.log_prob(x)).log_sum
        assert torch.allclose(alone, together[17:18], rtol=1e-12)


def test_bits_per_dim_is_not_asked_where_there_are_no_levels(exact_subject):
    with pytest.raises(NotApplicable, match="grey levels"):
        bits_per_dim.evaluate(exact_subject, {**TEST, "samples": 2, "images": 10})

"""What docs/theory says that a shortcut changes, held against numbers: identities that no other test states."""

import math

import pytest
import torch
from scipy import integrate
from torch.distributions import MultivariateNormal, kl_divergence

from vaebench.metrics.claimed import cross_entropy, weighted_log_weight
from vaebench.models.distributions import DiagonalNormal, IndependentBernoulli, IndependentPixels
from vaebench.models.likelihoods.continuous_bernoulli import ContinuousBernoulli
from vaebench.objectives.critic import critic_loss
from vaebench.objectives.elbo import monte_carlo_kl
from vaebench.objectives.iwae import importance_bound, surrogate_of_losses


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_the_bound_at_the_mean_leaves_out_what_the_spread_of_a_linear_code_costs(generator):
    """ln p(x|μ) − E_q ln p(x|z) = 1/(2σ²) Σ_u s_u² ‖W_u‖²"""
    weights = torch.randn(5, 2, generator=generator, dtype=torch.float64)
    x, mean = torch.randn(5, generator=generator).double(), torch.tensor([0.4, -1.1], dtype=torch.float64)
    spread, sigma = torch.tensor([0.3, 0.8], dtype=torch.float64), 0.6
    noise = torch.randn(200_000, 2, generator=generator, dtype=torch.float64)

    def log_density(z):
        return DiagonalNormal(z @ weights.mT, torch.full((5,), sigma, dtype=torch.float64)).log_prob(x)

    draws = log_density(mean + spread * noise)
    expected = float((spread.square() * weights.square().sum(0)).sum() / (2 * sigma**2))
    assert float(log_density(mean) - draws.mean()) == pytest.approx(expected, abs=4 * float(draws.std()) / 200_000**0.5)


@pytest.mark.parametrize("beta", [0.3, 1.0, 2.5])
def test_the_best_posterior_under_beta_is_tempered_and_its_value_a_power_mean(beta, generator):
    """max_q E_q ln p(x|z) − β KL(q ‖ p) = β ln E_p p(x|z)^{1/β}, at q ∝ p(z) p(x|z)^{1/β}; it falls with β"""
    prior = torch.rand(6, generator=generator, dtype=torch.float64)
    prior, log_density = prior / prior.sum(), 3 * torch.randn(6, generator=generator, dtype=torch.float64)

    def objective(q):
        return float((q * log_density).sum() - beta * (q * (q / prior).log()).sum())

    best = (prior.log() + log_density / beta).softmax(0)
    value = beta * float((prior.log() + log_density / beta).logsumexp(0))
    assert objective(best) == pytest.approx(value)
    for _ in range(100):
        other = torch.rand(6, generator=generator, dtype=torch.float64)
        assert objective(other / other.sum()) < value
    heavier = beta * 1.1
    assert heavier * float((prior.log() + log_density / heavier).logsumexp(0)) < value


@pytest.mark.parametrize("logit", [-7.0, 0.3, 4.0])
def test_the_cross_entropy_of_a_grey_pixel_integrates_to_a_half_at_most(logit):
    """∫ e^{lx}/(1 + e^l) dx = tanh(l/2)/l, and the continuous Bernoulli divides by it"""
    bernoulli, normalised = (made(torch.tensor([[logit]], dtype=torch.float64)) for made in LAWS)
    integral, _ = integrate.quad(lambda x: math.exp(-float(cross_entropy(bernoulli, torch.tensor([[x]])))), 0, 1)
    assert integral == pytest.approx(math.tanh(logit / 2) / logit)
    assert integral <= 0.5
    x = torch.tensor([[0.3]], dtype=torch.float64)
    assert float(normalised.log_prob(x) + cross_entropy(bernoulli, x)) == pytest.approx(-math.log(integral))
    assert abs(float(normalised.mean) - 0.5) < abs(float(bernoulli.mean) - 0.5)


LAWS = (IndependentBernoulli, lambda logits: IndependentPixels(ContinuousBernoulli(logits)))


def test_the_best_diagonal_posterior_lacks_half_the_log_ratio_of_determinants(generator):
    """min over diagonal q of KL(q ‖ N(0, Λ⁻¹)) = ½ (Σ ln Λ_uu − ln det Λ), at variances 1/Λ_uu"""
    root = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    precision = root @ root.mT + torch.eye(4, dtype=torch.float64)
    posterior = MultivariateNormal(torch.zeros(4, dtype=torch.float64), precision_matrix=precision)

    def lacking(variances):
        return float(
            kl_divergence(MultivariateNormal(torch.zeros(4, dtype=torch.float64), variances.diag()), posterior)
        )

    best = 1 / precision.diagonal()
    expected = 0.5 * float(precision.diagonal().log().sum() - precision.logdet())
    assert lacking(best) == pytest.approx(expected)
    for _ in range(20):
        assert lacking(best * (1 + 0.2 * torch.rand(4, generator=generator, dtype=torch.float64))) > expected


def test_a_diagonal_posterior_is_never_wider_than_the_posterior(generator):
    """1/Λ_uu ≤ (Λ⁻¹)_uu"""
    root = torch.randn(50, 4, 4, generator=generator, dtype=torch.float64)
    precision = root @ root.mT + 0.1 * torch.eye(4, dtype=torch.float64)
    assert (1 / precision.diagonal(dim1=-2, dim2=-1) <= precision.inverse().diagonal(dim1=-2, dim2=-1) + 1e-12).all()


@pytest.mark.parametrize("variance", [0.01, 0.5, 1.0, 3.0])
def test_a_variance_drawn_as_a_deviation_is_charged_too_little(variance):
    """KL of N(μ, s²) less KL of N(μ, s) = ½ (s² − s − ln s) ≥ 0, where s = σ² was drawn as the deviation"""
    mean, drawn = torch.tensor([0.7], dtype=torch.float64), torch.tensor([variance], dtype=torch.float64)
    prior = DiagonalNormal(torch.zeros_like(mean), torch.ones_like(mean))
    true, charged = (kl_divergence(DiagonalNormal(mean, scale), prior) for scale in (drawn, drawn.sqrt()))
    expected = 0.5 * (variance**2 - variance - math.log(variance))
    assert float(true - charged) == pytest.approx(expected)
    assert expected > 0 or variance == 1.0


def test_a_model_that_draws_noise_ninety_nine_times_of_a_hundred_lacks_ln_100_at_most():
    """ln p − ln(0.01 p + 0.99 n) ≤ ln 100, and is nearly that where noise gives the image nothing"""
    image = torch.full((1, 784), 1.0, dtype=torch.float64)
    good = IndependentBernoulli(torch.full((1, 784), 2.0, dtype=torch.float64)).log_prob(image)
    noise = IndependentBernoulli(torch.zeros(1, 784, dtype=torch.float64)).log_prob(image)
    mixed = torch.logaddexp(good + math.log(0.01), noise + math.log(0.99))
    assert float(good - mixed) == pytest.approx(math.log(100))


@pytest.mark.parametrize("beta", [0.5, 3.0])
def test_beta_with_a_sigma_for_each_pixel_is_a_plain_bound_and_a_term_in_the_widths_alone(beta, generator):
    """O_β(σ) = β [ELBO(τ) + ½ (1 − 1/β) Σ_d ln τ_d²] + const, τ_d = σ_d √β"""
    left = []
    for _ in range(3):
        x, mean = torch.randn(2, 1, 5, generator=generator, dtype=torch.float64)
        sigma = 0.1 + torch.rand(1, 5, generator=generator, dtype=torch.float64)
        kl, tau = float(torch.rand((), generator=generator)), sigma * beta**0.5
        weighed = float(DiagonalNormal(mean, sigma).log_prob(x)) - beta * kl
        plain = float(DiagonalNormal(mean, tau).log_prob(x)) - kl
        left.append(weighed - beta * (plain + 0.5 * (1 - 1 / beta) * float(tau.square().log().sum())))
    assert left == pytest.approx([left[0]] * 3)


def test_a_dequantised_black_pixel_has_at_most_ln_512_less_one_nats_on_average():
    """Of the continuous Bernoulli, at logit −512; between 1e-4 and 1 − 1e-4 its density is never above e^2.22"""
    logits = -torch.logspace(0, 4, 4001, dtype=torch.float64)[:, None]
    x = (torch.arange(1000, dtype=torch.float64)[:, None, None] + 0.5) / 1000 / 256
    means = IndependentPixels(ContinuousBernoulli(logits)).log_prob(x).mean(0)
    assert float(means.max()) == pytest.approx(math.log(512) - 1, abs=1e-4)
    assert float(logits[means.argmax()]) == pytest.approx(-512, rel=0.01)
    kept = IndependentPixels(ContinuousBernoulli(torch.full((1, 1), -math.log(9999), dtype=torch.float64)))
    assert float(kept.log_prob(torch.zeros(1, 1, dtype=torch.float64))) == pytest.approx(2.22, abs=0.005)


def test_a_draw_of_the_kl_scatters_by_its_closed_form_and_not_at_all_where_q_is_the_posterior(generator):
    """Var[ln q − ln p] = μ²σ² + ½(σ² − 1)²"""
    mean, sigma = torch.tensor([0.7], dtype=torch.float64), torch.tensor([0.4], dtype=torch.float64)
    q, prior = DiagonalNormal(mean, sigma), DiagonalNormal(torch.zeros_like(mean), torch.ones_like(sigma))
    z = q.from_noise(torch.randn(400_000, 1, generator=generator, dtype=torch.float64))
    expected = float(mean**2 * sigma**2 + 0.5 * (sigma**2 - 1) ** 2)
    assert float(monte_carlo_kl(q, prior, z).var()) == pytest.approx(expected, rel=0.02)
    x = torch.tensor([1.2], dtype=torch.float64)  # z ~ N(0, 1), x ~ N(z, 1): the posterior is N(x/2, ½)
    exact = DiagonalNormal(x / 2, torch.full_like(x, 0.5**0.5))
    z = exact.from_noise(torch.randn(100, 1, generator=generator, dtype=torch.float64))
    log_density = DiagonalNormal(z, torch.ones_like(z)).log_prob(x)
    assert float((log_density - monte_carlo_kl(exact, prior, z)).std()) < 1e-12


def test_the_surrogate_is_too_high_by_ln_k_less_the_entropy_of_the_weights(generator):
    log_weight = 5 * torch.randn(50, 1, generator=generator, dtype=torch.float64)
    weights = log_weight.softmax(0)
    entropy = -float((weights * weights.log()).sum())
    excess = float(weighted_log_weight(log_weight) - importance_bound(log_weight))
    assert excess == pytest.approx(math.log(50) - entropy)
    assert 0 < excess < math.log(50)


def test_weights_of_the_wrong_sign_minimise_more_than_the_mean_loss(generator):
    log_weight = 5 * torch.randn(7, 40, generator=generator, dtype=torch.float64)
    assert surrogate_of_losses(log_weight) > -log_weight.mean()


@pytest.mark.parametrize("logit", [-3.0, 0.0, 0.7])
def test_a_leaking_critic_pulls_the_encoder_by_less_and_by_a_half_at_most(logit):
    """∂/∂D (γ D + ½ softplus(−D)) = γ − ½ σ(−D)"""
    gamma, told = 6.0, torch.tensor([logit], dtype=torch.float64, requires_grad=True)
    (gamma * told.mean() + critic_loss(told, torch.zeros(1, dtype=torch.float64))).backward()
    assert float(told.grad) == pytest.approx(gamma - 0.5 / (1 + math.exp(logit)))
    assert gamma - 0.5 < float(told.grad) < gamma

"""Objectives against their equations: values, gradients, and who may move whom."""

import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from tests.compositions import ELBO, VMI, cell, composition
from vaebench.data.dataset import Shape
from vaebench.models.distributions import DiagonalNormal
from vaebench.models.mixed import OneHot, category_of, drawn
from vaebench.objectives.subcode import Category, entropy_of_mixture
from vaebench.training.initialisation import build_system

IMAGES, PIXELS, TRAINED_ON = 40, 9, 1000


JOINT = {
    "latent": 7,
    "posterior": {"name": "joint", "categories": 4, "temperature": 1.0, "final_temperature": 0.5},
    "prior": {"name": "normal-and-uniform", "categories": 4},
}


def system_of(choices=None, **objective):
    base = VMI if objective.get("name") == "vmi" else ELBO
    choices = composition(objective={**base, **objective}, **(choices or {}))
    return build_system(cell(choices=choices), Shape(PIXELS), images=TRAINED_ON)


def step_inputs(objective, player):
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand(IMAGES, PIXELS, generator=generator) < 0.4).double()
    noise = {
        name: torch.randn(wanted.draws, IMAGES, wanted.size, dtype=torch.float64, generator=generator)
        for name, wanted in player.noise.items()
    }
    return x, noise


def settings(**values):
    return {
        name: torch.tensor(value, dtype=torch.float64)
        for name, value in {"kl_weight": 1.0, "progress": 0.5, **values}.items()
    }


@pytest.mark.parametrize("form", ["analytic", "monte-carlo"])
def test_the_elbo_is_reconstruction_minus_beta_kl_by_hand(form):
    """Its value and, by autograd through draws written out here, the gradient of every parameter."""
    system, objective = system_of(samples=2, kl=form)
    (player,) = objective.players
    x, noise = step_inputs(objective, player)
    loss, terms = system(player, (x,), noise, settings(beta=3.0, kl_weight=0.5))
    q = system.model.posterior(x)
    mean, variance = q.mean, q.variance
    z = mean + variance.sqrt() * noise["z"]
    probability = system.model.likelihood(z).mean
    reconstruction = (x * probability.log() + (1 - x) * (1 - probability).log()).sum(-1).mean()
    if form == "analytic":
        kl = 0.5 * (variance + mean.square() - 1 - variance.log()).sum(-1).mean()
    else:
        kl = 0.5 * (z.square() - noise["z"].square() - variance.log()).sum(-1).mean()
    expected = 0.5 * 3.0 * kl - reconstruction
    assert torch.allclose(terms["reconstruction"], reconstruction, rtol=1e-9)
    assert torch.allclose(terms["kl"], kl, rtol=1e-9)
    assert torch.allclose(loss, expected, rtol=1e-9)
    parameters = list(system.parameters())
    pairs = zip(torch.autograd.grad(loss, parameters), torch.autograd.grad(expected, parameters), strict=True)
    assert all(torch.allclose(ours, by_hand, rtol=1e-8, atol=1e-12) for ours, by_hand in pairs)


@pytest.mark.parametrize(("sigma", "beta"), [(0.5, 4.0), (1.0, 0.25)])
def test_beta_and_a_fixed_sigma_are_one_number(sigma, beta):
    """Section 7.6: the loss of β-VAE(σ, β) is β times that of VAE(σ√β) and a constant, so their optima are the same."""
    losses, gradients = [], []
    for chosen, weight in ((sigma, beta), (sigma * math.sqrt(beta), 1.0)):
        likelihood = {"name": "gaussian-fixed", "sigma": chosen}
        system, objective = build_system(cell(choices=composition(likelihood=likelihood)), Shape(PIXELS), images=1000)
        x, noise = step_inputs(objective, objective.players[0])
        loss, _ = system(objective.players[0], (x,), noise, settings(beta=weight))
        losses.append(loss - PIXELS * (math.log(chosen) + 0.5 * math.log(2 * math.pi)))
        gradients.append(torch.autograd.grad(loss, list(system.parameters())))
    assert torch.allclose(losses[0], beta * losses[1], rtol=1e-10)
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, beta * theirs, rtol=1e-9, atol=1e-13)


def test_monte_carlo_and_analytic_kl_agree_in_expectation():
    system, objective = system_of(kl="monte-carlo", samples=4000)
    (player,) = objective.players
    x, noise = step_inputs(objective, player)
    with torch.no_grad():
        _, terms = system(player, (x,), noise, settings(beta=1.0))
        q = system.model.posterior(x)
        z = q.from_noise(noise["z"])
        draws = (q.log_prob(z) - system.model.prior().log_prob(z)).mean(1)
        analytic = torch.distributions.kl_divergence(q, system.model.prior()).mean()
    assert abs(float(terms["kl"] - analytic)) < 4 * float(draws.std()) / math.sqrt(4000)


@pytest.mark.parametrize("source", ["encoder", "prior"])
def test_information_reaches_the_encoder_only_through_codes_it_drew(source):
    """With z from the prior the regulariser depends on the decoder alone; with z from the encoder on both."""
    system, objective = system_of(name="vmi", source=source, entropy="prior")
    player = objective.players[1]
    x, noise = step_inputs(objective, player)
    _, terms = system(player, (x,), noise, settings(**{"lambda": 1.0}))
    parts = {name: list(getattr(system.model, name).parameters()) for name in ("encoder", "decoder")}
    encoder = torch.autograd.grad(terms["information"], parts["encoder"], allow_unused=True, retain_graph=True)
    decoder = torch.autograd.grad(terms["information"], parts["decoder"], allow_unused=True)
    assert any(gradient is not None for gradient in encoder) == (source == "encoder")
    assert all(gradient is not None and bool(gradient.any()) for gradient in decoder)


def test_the_auxiliary_players_loss_gives_the_model_no_gradient():
    system, objective = system_of(name="vmi")
    auxiliary = objective.players[0]
    x, noise = step_inputs(objective, auxiliary)
    loss, _ = system(auxiliary, (x,), noise, settings(**{"lambda": 1.0}))
    loss.backward()
    assert all(parameter.grad is None for parameter in system.model.parameters())


def test_the_vmi_objective_is_the_elbo_plus_lambda_times_the_bound_by_hand():
    system, objective = system_of(name="vmi", entropy="prior")
    player = objective.players[1]
    x, noise = step_inputs(objective, player)
    loss, terms = system(player, (x,), noise, settings(**{"lambda": 3.0}))
    q = system.model.posterior(x)
    z = q.mean + q.stddev * noise["z"]
    p = system.model.likelihood(z)
    seen = system.auxiliary(p.mean)
    log_q = Normal(seen.mean, seen.stddev).log_prob(z[..., [0, 1]]).sum(-1).mean()
    entropy_of_two_standard_normals = 1 + math.log(2 * math.pi)
    bound = log_q + entropy_of_two_standard_normals
    elbo = p.log_prob(x).mean() - torch.distributions.kl_divergence(q, system.model.prior()).mean()
    assert torch.allclose(terms["information"], bound, rtol=1e-9)
    assert torch.allclose(loss, -elbo - 3.0 * bound, rtol=1e-9)


def test_the_vmi_objective_of_a_category_reads_the_last_numbers_of_the_code():
    """Q's categorical sees c, which stands behind the Gaussian latents: E[Σ_k c_k ln Q_k] + ln K."""
    system, objective = system_of(name="vmi", code="category", entropy="prior", choices=JOINT)
    player = objective.players[1]
    x, noise = step_inputs(objective, player)
    _, terms = system(player, (x,), noise, settings(**{"lambda": 1.0}))
    z = drawn(system.model.posterior(x), noise["z"], settings()["progress"])
    log_q = torch.log_softmax(system.auxiliary.head(system.auxiliary.encoder(system.model.likelihood(z).mean)), -1)
    by_hand = (z[..., -4:] * log_q).sum(-1).mean() + math.log(4)
    assert torch.allclose(terms["information"], by_hand, rtol=1e-9)


def test_the_mended_vmi_objective_has_the_aggregates_entropy_in_the_priors_place():
    """−1/B Σ_i ln q̂(ẑ_i), of B images of which each stands for itself and the others for the rest of N, by hand."""
    system, objective = system_of(name="vmi", entropy="aggregate")
    player = objective.players[1]
    x, noise = step_inputs(objective, player)
    loss, terms = system(player, (x,), noise, settings(**{"lambda": 3.0}))
    q = system.model.posterior(x)
    z = (q.mean + q.stddev * noise["z"])[0]
    p = system.model.likelihood(z)
    seen = system.auxiliary(p.mean)
    log_q = Normal(seen.mean, seen.stddev).log_prob(z[:, [0, 1]]).sum(-1).mean()
    density = Normal(q.mean[:, [0, 1]], q.stddev[:, [0, 1]]).log_prob(z[:, None, [0, 1]]).sum(-1).exp()
    own = density.diagonal()
    others = (density.sum(1) - own) / (IMAGES - 1)
    aggregate = own / TRAINED_ON + (TRAINED_ON - 1) / TRAINED_ON * others
    bound = log_q - aggregate.log().mean()
    elbo = p.log_prob(x).mean() - torch.distributions.kl_divergence(q, system.model.prior()).mean()
    assert torch.allclose(terms["information"], bound, rtol=1e-9)
    assert torch.allclose(loss, -elbo - 3.0 * bound, rtol=1e-9)


def test_the_mended_vmi_objective_of_a_category_has_the_entropy_of_the_mean_posterior():
    system, objective = system_of(name="vmi", code="category", entropy="aggregate", choices=JOINT)
    player = objective.players[1]
    x, noise = step_inputs(objective, player)
    _, terms = system(player, (x,), noise, settings(**{"lambda": 1.0}))
    q = system.model.posterior(x)
    z = drawn(q, noise["z"], settings()["progress"])
    log_q = torch.log_softmax(system.auxiliary.head(system.auxiliary.encoder(system.model.likelihood(z).mean)), -1)
    mean = category_of(q).mean.mean(0)
    by_hand = (z[..., -4:] * log_q).sum(-1).mean() - (mean * mean.log()).sum()
    assert float(mean.detach().std()) > 0.01, "a uniform aggregate would have the prior's entropy"
    assert torch.allclose(terms["information"], by_hand, rtol=1e-9)


def test_shown_a_draw_q_sees_the_decoders_mean_and_noise():
    """q_input: draw, x = μ(z) + σ ε in place of μ(z)"""
    likelihood = {"name": "gaussian-fixed", "sigma": 0.7}
    system, objective = system_of(name="vmi", q_input="draw", entropy="prior", choices={"likelihood": likelihood})
    player = objective.players[1]
    x, noise = step_inputs(objective, player)
    _, terms = system(player, (x,), noise, settings(**{"lambda": 1.0}))
    q = system.model.posterior(x)
    z = q.mean + q.stddev * noise["z"]
    shown = system.model.likelihood(z).mean + 0.7 * noise["shown"]
    seen = system.auxiliary(shown)
    log_q = Normal(seen.mean, seen.stddev).log_prob(z[..., [0, 1]]).sum(-1).mean()
    assert torch.allclose(terms["information"], log_q + 1 + math.log(2 * math.pi), rtol=1e-9)


def aggregate(size):
    generator = torch.Generator().manual_seed(2)
    mean = torch.randn(size, 2, dtype=torch.float64, generator=generator)
    scale = 0.2 + 0.3 * torch.rand(size, 2, dtype=torch.float64, generator=generator)
    return mean, scale


def test_the_entropy_of_a_whole_data_set_is_that_of_its_mixture():
    """With the batch the whole set, every weight is 1/N and the estimate is −mean ln of the exact mixture."""
    mean, scale = aggregate(300)
    z = mean + scale * torch.randn(300, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    mixture = MixtureSameFamily(Categorical(torch.ones(300).double()), Independent(Normal(mean, scale), 1))
    estimate = entropy_of_mixture(DiagonalNormal(mean, scale), z, images=300)
    assert torch.allclose(estimate, -mixture.log_prob(z).mean(), rtol=1e-10)


def test_batches_estimate_the_entropy_of_the_aggregate_from_a_little_above():
    mean, scale = aggregate(2000)
    generator = torch.Generator().manual_seed(4)
    mixture = MixtureSameFamily(Categorical(torch.ones(2000).double()), Independent(Normal(mean, scale), 1))
    picked = torch.randint(2000, (200_000,), generator=generator)
    draws = mean[picked] + scale[picked] * torch.randn(200_000, 2, dtype=torch.float64, generator=generator)
    exact = -float(torch.cat([mixture.log_prob(part) for part in draws[:20_000].split(1000)]).mean())
    estimates = []
    for _ in range(60):
        batch = torch.randperm(2000, generator=generator)[:128]
        z = mean[batch] + scale[batch] * torch.randn(128, 2, dtype=torch.float64, generator=generator)
        estimates.append(float(entropy_of_mixture(DiagonalNormal(mean[batch], scale[batch]), z, images=2000)))
    bias = sum(estimates) / len(estimates) - exact
    assert -0.02 < bias < 0.15


def test_the_entropy_of_one_constant_posterior_is_its_own():
    mean, scale = torch.zeros(100, 2).double(), torch.full((100, 2), 0.1).double()
    z = scale * torch.randn(100, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    own = -DiagonalNormal(mean, scale).log_prob(z).mean()
    assert torch.allclose(entropy_of_mixture(DiagonalNormal(mean, scale), z, images=5000), own, rtol=1e-9)


class TestCategoryAsSubcode:
    """A code that names the image's class for certain, and one that is the same for every image."""

    def certain(self, classes):
        return OneHot(50.0 * torch.nn.functional.one_hot(classes, 10).double())

    def test_a_perfect_reader_and_the_aggregates_entropy_give_the_exact_information(self):
        """I(c; x) = H(c) for a certain code, here 0.91 of one class and 0.01 of each other: 0.500 nats."""
        classes = torch.cat([torch.zeros(910, dtype=torch.long), torch.arange(1, 10).repeat(10)])
        q = self.certain(classes)
        code = q.discrete().mean
        log_reader = self.certain(classes).log_prob(code).mean()
        exact = -(0.91 * math.log(0.91) + 0.09 * math.log(0.01))
        found = log_reader + Category(10).aggregate_entropy(q, code, images=1000)
        assert float(found) == pytest.approx(exact, rel=1e-9)
        assert exact == pytest.approx(0.500, abs=5e-4)
        assert float(log_reader) + Category(10).prior_entropy == pytest.approx(2.303, abs=5e-4)

    def test_on_a_constant_code_the_priors_entropy_claims_the_maximum_and_the_aggregates_says_nothing(self):
        q = self.certain(torch.full((500,), 3))
        code = q.discrete().mean
        assert float(q.log_prob(code).mean() + Category(10).aggregate_entropy(q, code, 500)) == pytest.approx(
            0, abs=1e-9
        )
        assert Category(10).prior_entropy == pytest.approx(math.log(10))

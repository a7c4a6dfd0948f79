"""Posteriors against their equations, and as members of fleets."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Gumbel, OneHotCategorical, kl_divergence
from torch.func import functional_call

from tests.compositions import ELBO, cell, composition
from vaebench.data.dataset import Shape, load_dataset
from vaebench.data.source import Source
from vaebench.models.composition import Composition
from vaebench.models.distributions import DiagonalNormal
from vaebench.models.flows import Made
from vaebench.models.mixed import GaussianAndOneHot, OneHot, Temperatures, drawn, gumbel
from vaebench.models.networks.mlp import Mlp
from vaebench.models.point import NoDensity, Point
from vaebench.models.posteriors.full_gaussian import strictly_lower
from vaebench.objectives.elbo import evidence
from vaebench.training.fleet import Surroundings, train_fleet

ADVERSARIAL = {"name": "adversarial", "lambda": 1.0, "critic_hidden": [8]}
MONTE_CARLO = {**ELBO, "kl": "monte-carlo"}
TEMPERATURES = {"temperature": 1.0, "final_temperature": 0.5}
IAF = {"name": "iaf", "steps": 3, "hidden": [12, 10], "context": True}

CHOICES = {
    "full-gaussian": {"posterior": {"name": "full-gaussian"}},
    "constant-variance": {"posterior": {"name": "constant-variance", "sigma": 0.3}},
    "iaf": {"posterior": IAF, "objective": MONTE_CARLO},
    "iaf-unamortised": {"posterior": {**IAF, "context": False}, "objective": MONTE_CARLO},
    "categorical": {
        "posterior": {"name": "categorical", **TEMPERATURES},
        "prior": {"name": "uniform-categorical"},
    },
    "joint": {
        "latent": 7,
        "conditional": False,
        "posterior": {"name": "joint", "categories": 4, **TEMPERATURES},
        "prior": {"name": "normal-and-uniform", "categories": 4},
    },
    "point": {"posterior": {"name": "point"}, "objective": ADVERSARIAL},
    "vampprior": {"prior": {"name": "vampprior", "components": 6}, "objective": MONTE_CARLO},
    "vampprior-full": {
        "posterior": {"name": "full-gaussian"},
        "prior": {"name": "vampprior", "components": 6},
        "objective": MONTE_CARLO,
    },
}


def model_of(**choices):
    torch.manual_seed(0)
    return Composition(composition(**choices), Shape(16, 4)).double()


@pytest.fixture
def x():
    return torch.rand(5, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def noise_for(model, draws=3, images=5):
    size = (draws, images, model.noise_size)
    return torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", CHOICES)
def test_every_composition_keeps_the_contract(name, x):
    model = model_of(**CHOICES[name])
    q = model.posterior(x)
    z = q.from_noise(noise_for(model))
    assert z.shape == (3, 5, model.decoder.body[0].in_features)
    assert model.prior().log_prob(z).shape == model.likelihood(z).log_prob(x).shape == (3, 5)
    assert name == "point" or q.log_prob(z).shape == (3, 5)
    assert q.sample(torch.Size([2])).shape == (2, *z.shape[1:])
    assert torch.equal(q.from_noise(noise_for(model)), z)


def test_full_covariance_starts_as_the_diagonal_posterior(x):
    full, diagonal = model_of(posterior={"name": "full-gaussian"}), model_of()
    own = full.posterior_head
    diagonal.posterior_head.mean_and_log_scale = own.mean_and_log_scale
    diagonal.encoder.load_state_dict(full.encoder.state_dict())
    q, d = full.posterior(x), diagonal.posterior(x)
    noise = noise_for(full)
    z = q.from_noise(noise)
    assert torch.allclose(z, d.from_noise(noise), rtol=1e-12)
    assert torch.allclose(q.log_prob(z), d.log_prob(z), rtol=1e-12)
    assert torch.allclose(kl_divergence(q, full.prior()), kl_divergence(d, full.prior()), rtol=1e-12)


def test_what_stands_below_the_diagonal_is_in_units_of_its_rows_sigma(x):
    """L = diag(σ) (I + A), and A moves with the image once its head has learned something."""
    model = model_of(posterior={"name": "full-gaussian"})
    head = model.posterior_head
    nn.init.normal_(head.below.weight)
    features = model.encoder(x)
    sigma = head.mean_and_log_scale(features).chunk(2, dim=-1)[1].exp()
    below = strictly_lower(head.below(features))
    factor = model.posterior(x).scale_tril
    assert torch.allclose(factor, torch.diag_embed(sigma) @ (torch.eye(4).double() + below), rtol=1e-12)
    assert float(below.std(0).max()) > 1e-2
    assert strictly_lower(torch.tensor([1.0, 2.0, 3.0])).tolist() == [[0, 0, 0], [1, 0, 0], [2, 3, 0]]
    one = model_of(posterior={"name": "full-gaussian"}, latent=1).posterior(x)
    assert one.scale_tril.shape == (5, 1, 1)


def test_constant_variance_is_the_notes_formula_up_to_its_constant(x):
    """−ELBO is ‖x − g(f(x) + σ_f ξ)‖²/(2σ_g²) + ½‖f(x)‖² + (D/2) ln 2πσ_g² + (d/2)(σ_f² − 1 − ln σ_f²) at each ξ."""
    sigma_f, sigma_g, pixels, latents = 0.3, 0.7, 16, 4
    model = model_of(
        posterior={"name": "constant-variance", "sigma": sigma_f},
        likelihood={"name": "gaussian-fixed", "sigma": sigma_g},
    )
    xi = noise_for(model)
    seen = evidence(model, x, xi, "analytic")
    f = model.posterior_head.mean(model.encoder(x))
    g = model.likelihood(f + sigma_f * xi).mean
    formula = ((x - g).square().sum(-1) / (2 * sigma_g**2) + 0.5 * f.square().sum(-1)).mean()
    constant = 0.5 * pixels * math.log(2 * math.pi * sigma_g**2)
    constant += 0.5 * latents * (sigma_f**2 - 1 - math.log(sigma_f**2))
    assert torch.allclose(seen.kl - seen.reconstruction, formula + constant, rtol=1e-6)


def test_a_point_has_a_mean_and_no_density(x):
    model = model_of(posterior={"name": "point"})
    q = model.posterior(x)
    assert isinstance(q, Point)
    assert model.noise_size == 0
    z = q.from_noise(torch.empty(3, 5, 0))
    assert torch.equal(z, q.mean.expand(3, 5, 4))
    assert torch.equal(z[0], model.posterior_head.code(model.encoder(x)))
    with pytest.raises(NoDensity, match="q is a point"):
        q.log_prob(z)
    with pytest.raises(NotImplementedError):
        kl_divergence(q, model.prior())


@pytest.mark.parametrize("latent", [1, 2, 5])
def test_made_sees_only_what_comes_before(latent):
    """∂m_d/∂y_e = ∂s_d/∂y_e = 0 for e ≥ d, and nothing before d is hidden from it."""
    torch.manual_seed(0)
    made = Made(latent, [16, 11], nn.Linear(3, 16)).double()
    y, seen = torch.randn(latent).double(), made.seen(torch.randn(3).double())
    for jacobian in torch.autograd.functional.jacobian(lambda y: made(y, seen), y):
        assert bool((jacobian.triu() == 0).all())
        assert bool((jacobian.tril(-1)[torch.ones(latent, latent).tril(-1) > 0] != 0).all())
    through_context = torch.autograd.functional.jacobian(
        lambda h: torch.cat(made(y, made.seen(h))), torch.randn(3).double()
    )
    assert bool((through_context != 0).any(-1).all())


@pytest.fixture
def flow(x):
    model = model_of(posterior=IAF, objective=MONTE_CARLO)
    with torch.no_grad():
        for parameter in model.posterior_head.networks.parameters():
            parameter.normal_(std=0.5)  # far from the identity
    return model, model.posterior(x)


def test_the_flows_log_determinant_is_that_of_autograds_jacobian(flow):
    model, q = flow
    noise = noise_for(model)
    z = q.from_noise(noise)
    jacobian = torch.autograd.functional.jacobian(lambda e: q.from_noise(e).sum((0, 1)), noise).permute(1, 2, 0, 3)
    standard = -0.5 * (noise.square() + math.log(2 * math.pi)).sum(-1)
    z = q.from_noise(noise)
    assert torch.allclose(q.log_prob(z), standard - torch.linalg.slogdet(jacobian).logabsdet, rtol=1e-9)
    assert float((jacobian - torch.diag_embed(jacobian.diagonal(dim1=-2, dim2=-1))).abs().max()) > 0.05


def test_the_flows_inverse_recovers_the_noise_and_the_density(flow):
    model, q = flow
    noise = noise_for(model)
    z = q.from_noise(noise)
    assert torch.allclose(q.to_noise(z), noise, atol=1e-9)
    in_one_pass, by_inversion = q.log_prob(z), q.log_prob(z.clone())
    assert torch.allclose(in_one_pass, by_inversion, rtol=1e-9)
    alone = q.log_prob(z[0, 0])
    assert alone.shape == (5,)
    assert torch.allclose(alone[0], in_one_pass[0, 0], rtol=1e-9)


def test_a_flow_density_integrates_to_one(x):
    model = model_of(posterior=IAF, objective=MONTE_CARLO, latent=2)
    q = model.posterior(x[:1])
    side = torch.linspace(-9, 9, 500, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side).unsqueeze(1)
    with torch.no_grad():
        mass = q.log_prob(grid).exp().sum() * (side[1] - side[0]) ** 2
    assert float(mass) == pytest.approx(1.0, abs=1e-4)


def test_without_context_the_image_moves_only_the_first_gaussian(x):
    model = model_of(**CHOICES["iaf-unamortised"])
    q = model.posterior(x)
    assert all(step.seen is None for step in q.steps)
    shared = q.steps[0].made(torch.ones(5, 4).double(), None)[0]
    assert torch.equal(shared[0], shared[1])
    seen = model_of(**CHOICES["iaf"]).posterior(x).steps[0].seen
    assert not torch.equal(seen[0], seen[1])


def test_gumbels_come_from_normals_by_their_distribution_functions():
    normal = torch.linspace(-6.5, 6.5, 200, dtype=torch.float64)
    through = Gumbel(torch.tensor(0.0).double(), torch.tensor(1.0).double(), validate_args=False).cdf(gumbel(normal))
    assert torch.allclose(through, torch.special.ndtr(normal), rtol=1e-9, atol=1e-300)
    assert torch.allclose(gumbel(normal.float()).double(), gumbel(normal), rtol=1e-5, atol=1e-5)


def test_at_low_temperature_gumbel_softmax_is_the_categorical():
    """Vertices of the simplex, the same as the exact draws, with the frequencies of π."""
    logits = torch.tensor([2.0, 0.0, -1.0, 0.5]).double()
    noise = torch.randn(100_000, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    cold = torch.tensor(1e-4).double()
    relaxed = OneHot(logits, Temperatures(cold, cold)).from_noise(noise)
    exact = OneHot(logits).from_noise(noise)
    assert float((relaxed - exact).abs().sum(-1).mean()) < 1e-3
    assert torch.allclose(exact.mean(0), logits.softmax(0), atol=0.005)


def test_one_hot_is_torchs_and_holds_at_extreme_logits():
    logits = torch.randn(3, 4, dtype=torch.float64)
    ours, theirs = OneHot(logits), OneHotCategorical(logits=logits)
    uniform, their_uniform = OneHot(torch.zeros(4).double()), OneHotCategorical(logits=torch.zeros(4).double())
    codes = torch.eye(4).double()[:, None].expand(4, 3, 4)
    assert torch.allclose(ours.log_prob(codes), theirs.log_prob(codes))
    assert torch.allclose(ours.entropy(), theirs.entropy())
    assert torch.allclose(kl_divergence(ours, uniform), kl_divergence(theirs, their_uniform.expand([3])))
    extreme = OneHot(torch.tensor([1e4, 0.0, -1e4]))
    assert float(kl_divergence(extreme, OneHot(torch.zeros(3)))) == pytest.approx(math.log(3))
    assert bool(extreme.from_noise(torch.randn(5, 3)).isfinite().all())


def test_the_temperature_falls_geometrically_with_the_steps(x):
    q = model_of(**CHOICES["categorical"]).posterior(x)
    q.temperatures = Temperatures(torch.tensor(2.0).double(), torch.tensor(0.5).double())
    noise = torch.randn(1, 5, 4, dtype=torch.float64)
    for progress, temperature in ((0.0, 2.0), (0.5, 1.0), (1.0, 0.5)):
        by_hand = torch.softmax((q.log_probs + gumbel(noise)) / temperature, -1)
        assert torch.allclose(drawn(q, noise, torch.tensor(progress)), by_hand)
    assert torch.allclose(drawn(q, noise), drawn(q, noise, torch.tensor(1.0)))


def test_a_relaxed_draw_has_a_gradient_and_the_discrete_one_is_one_hot(x):
    model = model_of(**CHOICES["joint"])
    q = model.posterior(x)
    noise = noise_for(model)
    z = q.from_noise(noise)
    (gradient,) = torch.autograd.grad(z[..., 3:].square().sum(), model.posterior_head.category.logits.weight)
    assert bool(gradient.any())
    exact = q.discrete().from_noise(noise)
    assert torch.equal(exact[..., :3], z[..., :3])
    assert torch.equal(exact[..., 3:].sort(-1).values, torch.tensor([0.0, 0, 0, 1]).double().expand(3, 5, 4))


def test_the_joint_kl_is_the_sum_of_both(x):
    """Serdega eq. 4.18, and the Monte Carlo form on discrete draws agrees in expectation."""
    model = model_of(**CHOICES["joint"])
    q, p = model.posterior(x), model.prior()
    assert isinstance(p, GaussianAndOneHot)
    gaussian = kl_divergence(q.gaussian, DiagonalNormal(torch.zeros(3).double(), torch.ones(3).double()))
    category = (q.category.mean * (q.category.mean * 4).log()).sum(-1)
    assert torch.allclose(kl_divergence(q, p), gaussian + category, rtol=1e-9)
    z = q.discrete().from_noise(noise_for(model, draws=20_000))
    draws = (q.log_prob(z) - p.log_prob(z)).detach()
    error = draws.std(0) / math.sqrt(20_000)
    assert bool(((draws.mean(0) - kl_divergence(q, p).detach()).abs() < 4 * error).all())


@pytest.mark.parametrize("name", CHOICES)
def test_a_fleet_of_two_gets_by_both_steppers_what_its_members_get_alone(name):
    source = Source(load_dataset("digits"), "binary", dtype=torch.float64)
    cells = [cell(seed, choices=composition(**CHOICES[name]), epochs=2) for seed in range(2)]
    trained = {stepper: train_fleet(cells, Surroundings(source, stepper)) for stepper in ("in-turn", "mapped")}
    assert trained["mapped"][0].steps > 20
    for one, other in zip(*trained.values(), strict=True):
        states = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
        assert max(float((a - b).detach().abs().max()) for a, b in states) < 1e-9
        assert one.curves[-1]["reconstruction"] > one.curves[0]["reconstruction"]


def test_fleets_may_differ_in_fixed_sigma_and_temperatures():
    source = Source(load_dataset("digits"), "binary", dtype=torch.float64)
    joint = CHOICES["joint"]
    for posteriors in (
        [{"name": "constant-variance", "sigma": sigma} for sigma in (0.1, 1.0)],
        [{**joint["posterior"], "temperature": 2.0}, {**joint["posterior"], "final_temperature": 0.2}],
    ):
        base = joint if posteriors[0]["name"] == "joint" else {}
        cells = [cell(0, choices=composition(**{**base, "posterior": own}), epochs=1) for own in posteriors]
        together = train_fleet(cells, Surroundings(source, "mapped"))
        for member, made in zip(together, cells, strict=True):
            (alone,) = train_fleet([made], Surroundings(source, "in-turn"))
            states = zip(member.model.state_dict().values(), alone.model.state_dict().values(), strict=True)
            assert max(float((a - b).detach().abs().max()) for a, b in states) < 1e-9
        one, other = (member.model.decoder.body[0].weight for member in together)
        assert float((one - other).detach().abs().max()) > 1e-4


def test_masks_stay_masks_when_parameters_are_replaced():
    encoder = Mlp([6], "relu", "torch").encoder(Shape(16, 4))
    made = Made(3, [8], encoder.vector_head(8))
    dense = {name: torch.ones_like(value) for name, value in made.named_parameters()}
    y = torch.randn(3)
    jacobian = torch.autograd.functional.jacobian(lambda y: functional_call(made, dense, (y, None))[0], y)
    assert bool((jacobian.triu() == 0).all())

"""Priors against torch's distributions, and the refusals of compositions that make no sense."""

import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from tests.compositions import ELBO, composition
from vaebench.catalog.catalog import load_catalog
from vaebench.data.dataset import Shape
from vaebench.models import mixtures
from vaebench.models.composition import Composition
from vaebench.models.distributions import DiagonalNormal, FullNormal
from vaebench.models.mixtures import EqualMixture
from vaebench.suite.expansion import Impossible, compose
from vaebench.suite.suite import Variant

MONTE_CARLO = {**ELBO, "kl": "monte-carlo"}


@pytest.fixture
def components():
    generator = torch.Generator().manual_seed(0)
    loc = torch.randn(6, 3, dtype=torch.float64, generator=generator)
    return loc, 0.2 + torch.rand(6, 3, dtype=torch.float64, generator=generator)


def test_a_mixtures_density_is_torchs(components):
    loc, scale = components
    equal = Categorical(torch.ones(6).double())
    z = torch.randn(4, 5, 3, dtype=torch.float64)
    theirs = MixtureSameFamily(equal, Independent(Normal(loc, scale), 1))
    assert torch.allclose(EqualMixture(DiagonalNormal(loc, scale)).log_prob(z), theirs.log_prob(z), rtol=1e-12)
    factor = torch.diag_embed(scale) + 0.3 * torch.ones(3, 3).double().tril(-1)
    full = MixtureSameFamily(equal, MultivariateNormal(loc, scale_tril=factor))
    assert torch.allclose(EqualMixture(FullNormal(loc, factor)).log_prob(z), full.log_prob(z), rtol=1e-12)
    one = EqualMixture(DiagonalNormal(loc, scale)).log_prob(z[0, 0])
    assert one.shape == ()
    assert torch.allclose(one, theirs.log_prob(z[0, 0]))


def test_in_parts_or_at_once_a_mixture_is_the_same(components, monkeypatch):
    mixture = EqualMixture(DiagonalNormal(*components))
    z, noise = torch.randn(4, 5, 3, dtype=torch.float64), torch.randn(7, 4, dtype=torch.float64)
    at_once = mixture.log_prob(z), mixture.from_noise(noise)
    monkeypatch.setattr(mixtures, "NUMBERS", 50)
    assert torch.equal(mixture.log_prob(z), at_once[0])
    assert torch.equal(mixture.from_noise(noise), at_once[1])


def test_draws_from_a_mixture_choose_its_components_evenly(components):
    loc = torch.tensor([[-10.0], [0.0], [10.0]]).double()
    mixture = EqualMixture(DiagonalNormal(loc, torch.tensor([[0.1], [1.0], [0.5]]).double()))
    assert mixture.noise_size == 2
    z = mixture.from_noise(torch.randn(60_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    near = [z[(z - centre).abs() < 5] for centre in loc]
    assert [len(part) / 60_000 for part in near] == pytest.approx([1 / 3] * 3, abs=0.01)
    assert [float(part.std()) for part in near] == pytest.approx([0.1, 1.0, 0.5], rel=0.03)
    assert float(mixture.mean) == 0.0


def test_the_vampprior_is_the_mixture_of_the_models_own_posteriors():
    torch.manual_seed(0)
    choices = composition(prior={"name": "vampprior", "components": 6}, objective=MONTE_CARLO)
    model = Composition(choices, Shape(16, 4)).double()
    z = torch.randn(2, 5, 4, dtype=torch.float64)
    q = model.posterior(model.prior_family.pseudo_inputs)
    by_hand = torch.stack([q.log_prob(z[:, :, None])]).squeeze(0).logsumexp(-1) - math.log(6)
    assert torch.allclose(model.prior().log_prob(z), by_hand)
    gradient = torch.autograd.grad(model.prior().log_prob(z).sum(), model.prior_family.pseudo_inputs)[0]
    assert bool(gradient.any(-1).all())


def refusal(source="digits/binary", **choices):
    variant = Variant("mine", "", "theory", composition(**choices), {"prior": "own", "output": "draw"})
    made = compose(variant, source, load_catalog())
    return made.reason if isinstance(made, Impossible) else None


JOINT = {"name": "joint", "categories": 10, "temperature": 1.0, "final_temperature": 0.5}
CATEGORICAL = {"name": "categorical", "temperature": 1.0, "final_temperature": 0.5}


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ({"posterior": {"name": "iaf"}}, "posterior iaf with prior standard-normal has no KL in closed form"),
        ({"prior": {"name": "vampprior"}}, "posterior diagonal-gaussian with prior vampprior has no KL in closed form"),
        (
            {"prior": {"name": "vampprior"}, "posterior": {"name": "iaf"}, "objective": MONTE_CARLO},
            "posterior iaf needs prior standard-normal",
        ),
        (
            {"posterior": {"name": "point"}},
            "posterior point needs objective autoencoder or wasserstein or adversarial, here it is elbo",
        ),
        (
            {
                "posterior": CATEGORICAL,
                "prior": {"name": "uniform-categorical"},
                "objective": {"name": "iwae", "samples": 5},
            },
            "posterior categorical needs objective elbo",
        ),
        ({"posterior": CATEGORICAL}, "posterior categorical needs prior uniform-categorical"),
        (
            {"posterior": CATEGORICAL, "prior": {"name": "uniform-categorical"}, "latent": 1},
            "a category needs at least 2 latents",
        ),
        (
            {"posterior": CATEGORICAL, "prior": {"name": "uniform-categorical"}, "objective": MONTE_CARLO},
            "use kl analytic",
        ),
        (
            {"posterior": JOINT, "prior": {"name": "normal-and-uniform", "categories": 10}, "latent": 10},
            "latent must exceed the 10 categories, the rest being Gaussian, is 10",
        ),
        (
            {"posterior": JOINT, "prior": {"name": "normal-and-uniform", "categories": 9}, "latent": 20},
            "posterior and prior must have the same categories, have 10 and 9",
        ),
        ({"prior": {"name": "uniform-categorical"}}, "prior uniform-categorical needs posterior categorical"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_reason(choices, reason):
    assert reason in refusal(**choices)


def test_what_makes_sense_is_not_refused():
    assert refusal(posterior={"name": "iaf"}, objective=MONTE_CARLO) is None
    assert refusal(prior={"name": "vampprior"}, objective=MONTE_CARLO) is None
    assert refusal(posterior=JOINT, prior={"name": "normal-and-uniform", "categories": 10}, latent=11) is None


@pytest.mark.parametrize("name", ["categorical", "joint"])
def test_the_ranges_of_parameters_refuse_cold_temperatures_and_lonely_categories(name):
    parameters = load_catalog().parts["posterior"][name].parameters
    for temperature in ("temperature", "final_temperature"):
        assert parameters[temperature].mistake(0.0) == "must be at least 0.001, is 0.0"
    if name == "joint":
        assert parameters["categories"].mistake(1) == "must be at least 2, is 1"

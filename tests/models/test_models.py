"""Models against their defining equations."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from tests.compositions import composition
from vaebench.models.classical.ppca import ProbabilisticPca
from vaebench.models.composition import Composition


@pytest.fixture
def ppca():
    torch.manual_seed(0)
    model = ProbabilisticPca(6, 2).double()
    with torch.no_grad():
        model.weights.normal_()
        model.mean.normal_()
        model.sigma.fill_(0.3)
    return model.requires_grad_(False)


def test_ppcas_log_density_is_that_of_its_normal(ppca):
    x = torch.randn(50, 6, dtype=torch.float64)
    covariance = ppca.weights @ ppca.weights.T + 0.09 * torch.eye(6, dtype=torch.float64)
    assert torch.allclose(ppca.log_prob(x), MultivariateNormal(ppca.mean, covariance).log_prob(x), rtol=1e-10)


def test_ppcas_posterior_is_bayes_rule(ppca):
    """ln p(z) + ln p(x|z) − ln p(z|x) = ln p(x) for every z."""
    x, z = torch.randn(50, 6, dtype=torch.float64), torch.randn(3, 50, 2, dtype=torch.float64)
    ratio = ppca.prior().log_prob(z) + ppca.likelihood(z).log_prob(x) - ppca.posterior(x).log_prob(z)
    assert torch.allclose(ratio, ppca.log_prob(x).expand(3, 50), rtol=1e-9)


@pytest.mark.parametrize(
    "network",
    [
        {"name": "mlp", "hidden": [7, 5], "activation": "tanh", "initialisation": "glorot"},
        {"name": "linear", "initialisation": "torch"},
    ],
)
@pytest.mark.parametrize(
    "likelihood",
    [
        {"name": "bernoulli"},
        {"name": "gaussian", "sigma_floor": 0.25},
        {"name": "gaussian-shared", "sigma_floor": 0.25},
        {"name": "gaussian-fixed", "sigma": 0.5},
    ],
)
def test_a_composition_keeps_the_contract(network, likelihood):
    model = Composition(composition(network=network, likelihood=likelihood, latent=3), pixels=16)
    x = torch.rand(4, 16)
    q = model.posterior(x)
    z = q.from_noise(torch.randn(5, 4, 3))
    p = model.likelihood(z)
    assert q.log_prob(z).shape == model.prior().log_prob(z).shape == p.log_prob(x).shape == (5, 4)
    assert p.mean.shape == (5, 4, 16)
    if "sigma_floor" in likelihood:
        assert float(p.stddev.detach().min()) >= 0.25
    if "sigma" in likelihood:
        assert torch.equal(p.stddev, torch.full_like(p.mean, 0.5))


def test_the_decoder_mirrors_the_encoder():
    network = {"name": "mlp", "hidden": [7, 5], "activation": "relu", "initialisation": "torch"}
    model = Composition(composition(network=network, latent=3), pixels=16)
    widths = [layer.weight.shape for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    assert widths == [(7, 16), (5, 7), (6, 5), (5, 3), (7, 5), (16, 7)]

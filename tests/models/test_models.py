"""Models against their defining equations."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from tests.compositions import composition
from vaebench.data.dataset import Shape
from vaebench.models.classical.ppca import ProbabilisticPca
from vaebench.models.composition import Composition
from vaebench.models.networks.gated import GatedLayer
from vaebench.models.networks.trunk import initialised


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
        {"name": "gated", "hidden": [7, 5], "initialisation": "he"},
        {"name": "conv", "channels": [3, 5], "activation": "elu", "initialisation": "glorot"},
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
    model = Composition(composition(network=network, likelihood=likelihood, latent=3), Shape(16, 4))
    x = torch.rand(4, 16)
    q = model.posterior(x)
    z = q.from_noise(torch.randn(5, 4, 3))
    p = model.likelihood(z)
    assert q.log_prob(z).shape == model.prior().log_prob(z).shape == p.log_prob(x).shape == (5, 4)
    assert p.mean.shape == (5, 4, 16)
    assert not torch.allclose(q.mean[0], q.mean[1])  # the encoder sees the image
    assert not torch.allclose(p.mean[0, 0], p.mean[1, 0])  # and the decoder the code
    if "sigma_floor" in likelihood:
        assert float(p.stddev.detach().min()) >= 0.25
    if "sigma" in likelihood:
        assert torch.equal(p.stddev, torch.full_like(p.mean, 0.5))


def test_the_decoder_mirrors_the_encoder():
    network = {"name": "mlp", "hidden": [7, 5], "activation": "relu", "initialisation": "torch"}
    model = Composition(composition(network=network, latent=3), Shape(16, 4))
    widths = [layer.weight.shape for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    assert widths == [(7, 16), (5, 7), (6, 5), (5, 3), (7, 5), (16, 7)]


@pytest.mark.parametrize(("side", "channels"), [(28, [4, 6, 8]), (8, [4, 6, 8]), (8, [3]), (7, [2, 2])])
def test_convolutions_fit_any_side_and_give_back_the_image_they_were_given(side, channels):
    network = {"name": "conv", "channels": channels, "activation": "relu", "initialisation": "torch"}
    model = Composition(composition(network=network, latent=3), Shape(side * side, side))
    x = torch.rand(2, side * side)
    assert model.likelihood(model.posterior(x).mean).mean.shape == x.shape
    assert model.likelihood(torch.randn(6, 2, 3)).mean.shape == (6, 2, side * side)


def test_a_convolution_sees_images_row_by_row():
    """A kernel that looks to the right responds where the next pixel of the same row is bright."""
    network = {"name": "conv", "channels": [1], "activation": "relu", "initialisation": "torch"}
    model = Composition(composition(network=network, latent=3), Shape(16, 4))
    convolution = next(layer for layer in model.modules() if isinstance(layer, torch.nn.Conv2d))
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.bias.zero_()
        convolution.weight[0, 0, 1, 2] = 1.0
    image = torch.zeros(1, 16)
    image[0, 4 * 2 + 1] = 1.0  # row 2, column 1: right of (2, 0), which stride 2 visits first in its second row
    assert model.encoder(image).tolist() == [[0.0, 0.0, 1.0, 0.0]]


def test_a_gated_layer_is_its_equation():
    layer = GatedLayer(4, 3, "he")
    x = torch.randn(5, 4)
    by_hand = (x @ layer.value.weight.T + layer.value.bias) * torch.sigmoid(x @ layer.gate.weight.T + layer.gate.bias)
    assert torch.allclose(layer(x), by_hand)


def test_named_first_weights_have_their_variance():
    """Glorot: 2/(in + out) with zero bias; He: 2/in with zero bias; torch's default: 1/(3 in)."""
    expected = {"glorot": 2 / 1000, "he": 2 / 600, "torch": 1 / 1800}
    for name, variance in expected.items():
        layer = initialised(torch.nn.Linear(600, 400), name)
        assert float(layer.weight.detach().var()) == pytest.approx(variance, rel=0.05)
        assert bool(layer.bias.any()) == (name == "torch")

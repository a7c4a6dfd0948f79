"""Conditional models: every density given the label (Beaulac 2019 §3.6)."""

import pytest
import torch
from torch import nn

from tests.compositions import composition
from vaebench.data.dataset import Shape
from vaebench.models.composition import Composition
from vaebench.models.given import given

NETWORKS = {
    "mlp": {"name": "mlp", "hidden": [12, 9], "activation": "tanh", "initialisation": "torch"},
    "gated": {"name": "gated", "hidden": [12, 9], "initialisation": "torch"},
    "conv": {"name": "conv", "channels": [3, 5], "activation": "relu", "initialisation": "torch"},
    "linear": {"name": "linear", "initialisation": "torch"},
}
SHAPE = Shape(16, 4, levels=17, classes=10)


def model_of(network: str = "mlp", **choices: object) -> Composition:
    torch.manual_seed(0)
    return Composition(composition(network=NETWORKS[network], latent=3, conditional=True, **choices), SHAPE).double()


@pytest.mark.parametrize("network", NETWORKS)
def test_the_label_moves_posterior_and_likelihood_of_its_own_image_only(network):
    model, x, z = model_of(network), torch.rand(5, 16).double(), torch.randn(2, 5, 3).double()
    y = torch.arange(5)
    other = y.clone()
    other[3] = 9
    same = torch.tensor([True, True, True, False, True])
    means = model.posterior(x, y).mean, model.posterior(x, other).mean
    assert torch.equal((means[0] == means[1]).all(-1), same)
    pixels = model.likelihood(z, y).mean, model.likelihood(z, other).mean
    assert pixels[0].shape == (2, 5, 16)
    for draw in range(2):
        assert torch.equal((pixels[0][draw] == pixels[1][draw]).all(-1), same)


def test_a_fully_connected_model_reads_the_one_hot_label_behind_pixels_and_code():
    model, x, z = model_of(), torch.rand(4, 16).double(), torch.randn(4, 3).double()
    y = torch.tensor([1, 0, 7, 9])
    labels = nn.functional.one_hot(y, 10).double()
    features = model.encoder.body(torch.cat([x, labels], dim=-1))
    assert torch.equal(model.posterior(x, y).mean, model.posterior_head(features).mean)
    features = model.decoder.body(torch.cat([z, labels], dim=-1))
    assert torch.equal(model.likelihood(z, y).mean, model.likelihood_head(features).mean)


def test_a_convolution_sees_the_label_as_planes_of_ones_and_zeros():
    model, x, y = model_of("conv"), torch.rand(2, 16).double(), torch.tensor([2, 5])
    planes = torch.zeros(2, 11, 4, 4).double()
    planes[:, 0] = x.reshape(2, 4, 4)
    planes[0, 1 + 2], planes[1, 1 + 5] = 1.0, 1.0
    convolutions = model.encoder.body[1]
    by_hand = model.posterior_head(convolutions.layers(planes).flatten(1)).mean
    assert torch.allclose(model.posterior(x, y).mean, by_hand, rtol=1e-12)


def test_a_given_model_is_a_model_of_x_alone():
    model, x, y = model_of(), torch.rand(4, 16).double(), torch.tensor([1, 0, 7, 9])
    seen = given(model, y)
    z = seen.posterior(x).mean
    assert torch.equal(z, model.posterior(x, y).mean)
    assert torch.equal(seen.likelihood(z).log_prob(x.round()), model.likelihood(z, y).log_prob(x.round()))
    assert torch.equal(seen.prior().mean, model.prior().mean)
    assert seen.noise_size == 3


def test_without_labels_a_conditional_model_says_what_it_lacks():
    with pytest.raises(ValueError, match="needs labels"):
        model_of().posterior(torch.rand(4, 16).double())


def test_the_pseudo_inputs_of_a_conditional_vampprior_bring_their_own_labels():
    """p(z) is the mixture of posteriors at pixels and labels that are learned; it is one for all images."""
    model = model_of(prior={"name": "vampprior", "components": 6}, objective={"name": "elbo", "kl": "monte-carlo"})
    inputs = model.prior_family.pseudo_inputs
    assert inputs.shape == (6, 16 + 10)
    z = torch.randn(7, 3).double()
    components = model.posterior_head(model.encoder(inputs))
    by_hand = torch.logsumexp(components.log_prob(z.unsqueeze(1)), dim=-1) - torch.log(torch.tensor(6.0))
    assert torch.allclose(model.prior().log_prob(z), by_hand.double(), rtol=1e-6)


def test_a_model_that_is_not_conditional_is_left_as_it_is():
    model = Composition(composition(network=NETWORKS["mlp"]), SHAPE)
    assert given(model, torch.arange(3)) is model
    assert model.encoder.body[0].in_features == 16

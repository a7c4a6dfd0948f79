"""Autoencoders: what they are trained by, how they are scored, and the subspace that the linear one finds."""

import math

import pytest
import torch

from tests.compositions import cell, composition
from vaebench.catalog.catalog import complete, load_catalog
from vaebench.data.dataset import Shape, load_dataset
from vaebench.data.source import Source
from vaebench.objectives.discrepancy import radial_basis, unbiased_mmd
from vaebench.training.fitting import fit
from vaebench.training.fleet import Surroundings
from vaebench.training.initialisation import build_system
from vaebench.training.pca import ClosedFormPca

SQUARED = {"name": "gaussian-squared-error", "sigma_floor": 1e-3}


def autoencoder(**choices):
    objective = {"name": "autoencoder"} | choices.pop("objective", {})
    given = {name: value for name, value in objective.items() if name != "name"}
    parameters = load_catalog().parts["objective"][objective["name"]].parameters
    return composition(
        likelihood=SQUARED,
        posterior={"name": "point"},
        objective={"name": objective["name"], **complete(parameters, given)},
        **choices,
    )


def one_step(**penalties):
    made = cell(choices=autoencoder(objective=penalties))
    system, objective = build_system(made, Shape(9), images=100)
    (player,) = objective.players
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(12, 9, dtype=torch.float64, generator=generator)
    noise = {
        name: torch.randn(wanted.draws, 12, wanted.size, dtype=torch.float64, generator=generator)
        for name, wanted in player.noise.items()
    }
    settings = {"sparsity": torch.tensor(penalties.get("sparsity", 0.0), dtype=torch.float64)}
    loss, terms = system.train()(player, (x,), noise, settings)
    return system.model, x, noise, loss, terms


def test_the_loss_is_the_squared_error_and_a_constant():
    model, x, _, loss, _ = one_step()
    error = (x - model.likelihood(model.posterior(x).mean).mean).square().sum(-1).mean()
    assert torch.allclose(loss, error + 4.5 * math.log(math.pi))


def test_denoising_reconstructs_the_clean_image_from_a_corrupted_one():
    model, x, noise, loss, _ = one_step(corruption=0.4)
    code = model.posterior(x + 0.4 * noise["corruption"][0]).mean
    error = (x - model.likelihood(code).mean).square().sum(-1).mean()
    assert torch.allclose(loss, error + 4.5 * math.log(math.pi))


def test_penalties_are_added_with_their_weights():
    model, x, _, loss, terms = one_step(sparsity=0.7)
    assert torch.allclose(terms["l1"], model.posterior(x).mean.abs().sum(-1).mean())
    assert torch.allclose(loss, 0.7 * terms["l1"] - terms["reconstruction"])
    *_, loss, terms = one_step(contraction=0.3)
    assert float(terms["squared_jacobian"].detach()) > 0
    assert torch.allclose(loss, 0.3 * terms["squared_jacobian"] - terms["reconstruction"])


def test_when_training_ends_sigma_fits_the_errors_of_the_training_images():
    source = Source(load_dataset("digits"), "grey", dtype=torch.float64)
    (trained,) = fit([cell(source="digits/grey", choices=autoencoder(), epochs=5)], Surroundings(source))
    x, model = source.images("train"), trained.model
    p = model.likelihood(model.posterior(x).mean)
    assert torch.allclose(p.stddev.square(), (x - p.mean).square().mean(), rtol=1e-6)


def test_the_linear_autoencoder_finds_the_subspace_of_the_principal_components():
    """Its squared error comes down to PCA's, which none can beat, and its decoder spans the same directions."""
    source = Source(load_dataset("linear-gaussian"), "real", dtype=torch.float64)
    choices = autoencoder(network={"name": "linear", "initialisation": "torch"}, latent=5)
    made = cell(
        source="linear-gaussian/real", choices=choices, epochs=400, batch=5000, learning_rate=0.05, schedule="cosine"
    )
    (trained,) = fit([made], Surroundings(source))
    x = source.images("train")
    best = ClosedFormPca().fit({"latent": 5}, x, seed=0).model

    def error(model):
        return float((x - model.likelihood(model.posterior(x).mean).mean).square().sum(-1).mean())

    assert error(best) <= error(trained.model) * (1 + 1e-9)
    assert error(trained.model) == pytest.approx(error(best), rel=1e-2)
    decoder = next(p for p in trained.model.likelihood_head.parameters() if p.dim() == 2).detach()
    centred = x - x.mean(0)
    components = torch.linalg.svd(centred, full_matrices=False).Vh[:5]
    angles = torch.linalg.svdvals(torch.linalg.qr(decoder).Q.mT @ components.mT)
    assert float(angles.min()) > 0.99


def test_the_wasserstein_autoencoder_adds_its_weighted_discrepancy():
    """‖x − x̂‖² and its constant + λ MMD²(codes, draws from the prior)."""
    made = cell(choices=autoencoder(objective={"name": "wasserstein", "kernel": "rbf"}))
    system, objective = build_system(made, Shape(9), images=100)
    (player,) = objective.players
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(12, 9, dtype=torch.float64, generator=generator)
    drawn = torch.randn(1, 12, 4, dtype=torch.float64, generator=generator)
    loss, _ = system.train()(player, (x,), {"prior": drawn}, {"lambda": torch.tensor(7.0, dtype=torch.float64)})
    code = system.model.posterior(x).mean
    error = (x - system.model.likelihood(code).mean).square().sum(-1).mean()
    expected = error + 4.5 * math.log(math.pi) + 7.0 * unbiased_mmd(code, drawn[0], radial_basis)
    assert torch.allclose(loss, expected)

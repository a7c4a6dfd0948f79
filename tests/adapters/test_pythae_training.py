"""Cells that pythae trains: its losses have the gradients that the table names, and its loop follows the recipe."""

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("pythae")

from pythae.data.datasets import DatasetOutput

from tests.compositions import recipe
from vaebench.adapters.pythae_training import CRITICS, build, fit
from vaebench.catalog.catalog import load_catalog
from vaebench.catalog.library import ForeignModel
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.metrics.contract import check_contract
from vaebench.models.foreign import ForeignModelError
from vaebench.store.cell import Cell
from vaebench.suite.expansion import expand
from vaebench.suite.loading import load_suite, load_suite_mapping
from vaebench.suite.trainers import foreign_model
from vaebench.training.fleet import Interrupted, Surroundings
from vaebench.training.initialisation import DTYPES, build_system, empty_model

BATCH, LATENT, IMAGES = 32, 3, 1197

ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "VAE": ({"extends": "vae"}, "static-binary"),
    "VAE mse": ({"extends": "vae-mse"}, "grey"),
    "BetaVAE": ({"extends": "beta-vae", "objective": {"beta": 2.5}}, "static-binary"),
    "IWAE": ({"extends": "iwae", "objective": {"samples": 4}}, "static-binary"),
    "BetaTCVAE": ({"extends": "beta-tcvae-column"}, "static-binary"),
    "BetaTCVAE mws": ({"extends": "beta-tcvae", "objective": {"estimator": "mws"}}, "static-binary"),
    "INFOVAE_MMD": ({"extends": "info-vae", "objective": {"alpha": 0.3}}, "static-binary"),
    "AE": ({"extends": "ae"}, "grey"),
    "WAE_MMD": ({"extends": "wae-mmd"}, "grey"),
    "FactorVAE": ({"extends": "factor-vae-leak"}, "static-binary"),
    "Adversarial_AE": ({"extends": "aae"}, "grey"),
    "VAMP": ({"extends": "vampprior-vae", "prior": {"components": 5}}, "static-binary"),
}
"""Class → the row of ours that it trains, and a view."""
WITHOUT_CRITIC = [name for name in ROWS if name not in ("FactorVAE", "Adversarial_AE", "VAMP")]


def trained_by(name: str, seed: int = 0, trainer: str = "pythae", **parameters: Any) -> Cell:
    """A small cell of a row."""
    entry, view = ROWS[name]
    suite = load_suite_mapping(
        {
            "suite": "small",
            "datasets": [f"digits/{view}"],
            "seeds": 1,
            "defaults": {"network": {"hidden": [12]}, "latent": LATENT, "objective": {"critic_hidden": [8, 8]}}
            if name in CRITICS
            else {"network": {"hidden": [12]}, "latent": LATENT},
            "variants": [{"name": "row", "trainer": trainer, **entry}],
            "metrics": ["reconstruction"],
        }
    )
    made = expand(suite).planned[0].cell
    return Cell(made.dataset, made.view, made.composition, recipe(precision="float32", **parameters), seed)


def source(cell: Cell) -> Source:
    return Source(load_dataset("digits"), cell.view, dtype=DTYPES[cell.recipe["precision"]])


def both(name: str) -> tuple[Any, Any, Any, Any, torch.Tensor]:
    """pythae's model and its composition, our system and objective, all in float64, and a batch."""
    foreign, ours = trained_by(name), trained_by(name, trainer="vaebench")
    chosen = foreign_model(load_catalog().libraries["pythae"], foreign.composition)
    assert isinstance(chosen, ForeignModel)
    composition, model = build(foreign, chosen, source(foreign))
    system, objective = build_system(ours, source(ours).dataset.shape, IMAGES)
    x = source(ours).images("train")[:BATCH].double()
    return composition.double().train(), model.double().train(), system.double().train(), objective, x


def gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    found = {name: parameter.grad for name, parameter in module.named_parameters()}
    return {name: torch.zeros(()) if grad is None else grad.clone() for name, grad in found.items()}


def settings(cell: Cell) -> dict[str, torch.Tensor]:
    numbers = {name: value for name, value in cell.composition["objective"].items() if isinstance(value, float)}
    return {name: torch.tensor(value) for name, value in {**numbers, "kl_weight": 1.0, "progress": 1.0}.items()}


@pytest.mark.parametrize("name", ROWS)
def test_both_start_from_the_same_weights(name):
    composition, _, system, _, _ = both(name)
    ours = system.get_submodule("model").state_dict()
    assert composition.state_dict().keys() == ours.keys()
    assert all(torch.equal(value, ours[key]) for key, value in composition.state_dict().items())


@pytest.mark.parametrize("name", WITHOUT_CRITIC)
def test_its_gradient_is_that_of_the_row_that_the_table_names_for_the_same_draws(name):
    composition, model, system, objective, x = both(name)
    torch.manual_seed(5)
    printed = model(DatasetOutput(data=x), dataset_size=IMAGES)
    printed.loss.backward()
    torch.manual_seed(5)
    player = objective.players[-1]
    draws = player.noise["z"].draws if "z" in player.noise else 1
    shape = (BATCH, draws, LATENT) if draws > 1 else (BATCH, LATENT)
    noise = {}
    if "z" in player.noise:
        noise["z"] = torch.randn(shape, dtype=torch.float64).reshape(BATCH, draws, LATENT).transpose(0, 1)
    if "prior" in player.noise:
        noise["prior"] = torch.randn(BATCH, LATENT, dtype=torch.float64).unsqueeze(0)
    loss, _ = system(player, (x,), noise, settings(trained_by(name)))
    loss.backward()
    theirs, ours = gradients(composition), gradients(system.get_submodule("model"))
    for key, gradient in ours.items():
        scale = float(gradient.abs().max()) + 1e-12
        assert torch.allclose(theirs[key], gradient, rtol=0, atol=2e-6 * scale), key
    assert any(float(gradient.abs().max()) > 1e-4 for gradient in ours.values())


def test_the_iwae_prints_a_surrogate_above_its_bound():
    _, model, system, objective, x = both("IWAE")
    torch.manual_seed(5)
    surrogate = -float(model(DatasetOutput(data=x)).loss.detach())
    torch.manual_seed(5)
    noise = {"z": torch.randn(BATCH, 4, LATENT, dtype=torch.float64).transpose(0, 1)}
    _, terms = system(objective.players[-1], (x,), noise, settings(trained_by("IWAE")))
    assert surrogate > float(terms["bound"].detach()) > float(terms["elbo"].detach())


def test_its_factor_vae_is_the_leaking_one_on_one_half_of_the_batch_against_the_other():
    composition, model, system, objective, x = both("FactorVAE")
    critic = system.get_submodule("critic")
    _as_difference_of_logits(model.discriminator.layers, critic.layers)
    torch.manual_seed(5)
    printed = model(DatasetOutput(data=x))
    printed.autoencoder_loss.backward(retain_graph=True)
    model.discriminator.zero_grad()
    printed.discriminator_loss.backward()
    torch.manual_seed(5)
    halves = torch.randperm(BATCH)
    second, first = halves[: BATCH // 2], halves[BATCH // 2 :]
    z, z_second = (torch.randn(BATCH // 2, LATENT, dtype=torch.float64).unsqueeze(0) for _ in range(2))
    order = torch.zeros(1, BATCH // 2, LATENT, dtype=torch.float64)
    for latent in range(LATENT):
        order[0, torch.randperm(BATCH // 2), latent] = torch.arange(BATCH // 2, dtype=torch.float64)
    noise = {"z": z, "second": z_second, "order": order}
    for player in objective.players:
        loss, _ = system(player, (x[first], x[second]), noise, settings(trained_by("FactorVAE")))
        loss.backward()
    theirs, ours = gradients(composition), gradients(system.get_submodule("model"))
    for key, gradient in ours.items():
        assert torch.allclose(theirs[key], gradient, atol=1e-9), key


def _as_difference_of_logits(two: torch.nn.Sequential, one: torch.nn.Sequential) -> None:
    """Let the critic of one logit be the difference of the two logits of the other."""
    state = two.state_dict()
    last = max(int(key.partition(".")[0]) for key in state)
    for part in ("weight", "bias"):
        first, second = state[f"{last}.{part}"].unbind(0)
        state[f"{last}.{part}"] = (first - second).unsqueeze(0)
    one.load_state_dict(state)


@pytest.mark.parametrize("name", ROWS)
def test_a_trained_cell_is_a_composition_that_needs_no_pythae_and_keeps_the_contract(name):
    cell = trained_by(name, epochs=2)
    around = source(cell)
    (trained,) = fit([cell], Surroundings(around))
    stored = empty_model(cell, around.dataset.shape)
    stored.load_state_dict(trained.model.state_dict())
    x = around.images("test")
    check_contract(stored.eval(), x[:20], None, cell.view)
    assert (
        name == "INFOVAE_MMD" or trained.curves[-1]["loss"] < trained.curves[0]["loss"]
    )  # there the MMD's noise rules
    assert [row["epoch"] for row in trained.curves] == [1, 2]
    assert trained.details["pythae"]
    assert trained.details["class"] == name.split()[0]
    assert "No checkpoint" in str(trained.details["note"])


def test_the_same_seed_ends_with_the_same_parameters_whatever_was_drawn_before():
    cell = trained_by("VAE", seed=3, epochs=1)

    def once() -> dict[str, torch.Tensor]:
        return next(fit([cell], Surroundings(source(cell)))).model.state_dict()

    first = once()
    torch.rand(5)
    assert all(torch.equal(value, first[key]) for key, value in once().items())
    other = next(fit([trained_by("VAE", seed=4, epochs=1)], Surroundings(source(cell)))).model.state_dict()
    assert not torch.equal(other["encoder.body.0.weight"], first["encoder.body.0.weight"])


def test_the_generators_of_everybody_else_stand_where_they_stood():
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    list(fit([trained_by("VAE", epochs=1)], Surroundings(source(trained_by("VAE")))))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]


def test_the_last_epoch_is_kept_and_with_best_validation_the_best():
    last = trained_by("VAE", epochs=3)
    best = trained_by("VAE", epochs=3, select="best-validation", learning_rate=0.1)
    (by_validation,) = fit([best], Surroundings(source(best)))
    losses = [row["validation_loss"] for row in by_validation.curves]
    assert by_validation.details["selected_epoch"] == losses.index(min(losses)) + 1
    (kept,) = fit([last], Surroundings(source(last)))
    assert "validation_loss" not in kept.curves[0]
    assert "selected_epoch" not in kept.details


@pytest.mark.parametrize("name", ["VAE", "VAE mse"])
def test_one_that_diverges_fails_alone(name):
    wild, tame = trained_by(name, epochs=2, learning_rate=1e30), trained_by(name, epochs=2)
    failed, done = fit([wild, tame], Surroundings(source(tame)))
    assert failed.diverged_at is not None
    assert done.diverged_at is None
    assert done.epochs == 2


def test_it_stops_when_it_is_asked_to():
    cell = trained_by("VAE", epochs=50)
    with pytest.raises(Interrupted):
        list(fit([cell], Surroundings(source(cell), should_stop=lambda: True)))


def test_a_batch_of_one_that_a_class_cannot_take_is_told_before_it_trains():
    cell = trained_by("BetaTCVAE", batch=4)
    with pytest.raises(ForeignModelError, match="1197 images in batches of 4 leave one over, and pythae's BetaTCVAE"):
        list(fit([cell], Surroundings(source(cell))))


def test_every_foreign_row_of_the_shipped_suite_trains_on_digits():
    shipped_suite = load_suite("popular_implementations", seeds=1)
    small = replace(shipped_suite, datasets=("digits/static-binary",), recipe={**shipped_suite.recipe, "epochs": 1})
    cells = [planned.cell for planned in expand(small).planned if "trainer" in planned.cell.composition]
    trained = list(fit(cells, Surroundings(source(cells[0]))))
    assert [one.details["class"] for one in trained] == ["VAE", "BetaVAE", "IWAE", "BetaTCVAE", "FactorVAE"]
    assert all(one.diverged_at is None for one in trained)

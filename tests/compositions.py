"""Small compositions and recipes, written out as a resolved suite writes them."""

from typing import Any

from vaebench.store.cell import Cell

ELBO = {"name": "elbo", "beta": 1.0, "kl": "analytic", "samples": 1, "train_on": "view"}
VMI = {
    "name": "vmi",
    "lambda": 1.0,
    "code": "latents",
    "subcode": [0, 1],
    "source": "encoder",
    "entropy": "aggregate",
    "q_input": "mean",
    "auxiliary_hidden": [16],
    "auxiliary_floor": 0.1,
}


def composition(**choices: Any) -> dict[str, Any]:
    return {
        "network": {"name": "mlp", "hidden": [24], "activation": "relu", "initialisation": "torch"},
        "latent": 4,
        "conditional": False,
        "likelihood": {"name": "bernoulli"},
        "posterior": {"name": "diagonal-gaussian"},
        "prior": {"name": "standard-normal"},
        "objective": ELBO,
        **choices,
    }


def ppca_composition(latent: int = 4) -> dict[str, Any]:
    return {
        "network": {"name": "none"},
        "latent": latent,
        "conditional": False,
        "likelihood": {"name": "gaussian-shared", "sigma_floor": 1e-3},
        "posterior": {"name": "exact"},
        "prior": {"name": "standard-normal"},
        "objective": {"name": "ppca"},
    }


def recipe(**parameters: Any) -> dict[str, Any]:
    return {
        "epochs": 3,
        "batch": 100,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-8,
        "clip": None,
        "kl_warmup": 0,
        "select": "last",
        "patience": None,
        "train": "split",
        "precision": "float64",
        **parameters,
    }


def cell(
    seed: int = 0, source: str = "digits/binary", choices: dict[str, Any] | None = None, **parameters: Any
) -> Cell:
    dataset, _, view = source.partition("/")
    return Cell(dataset, view, choices or composition(), recipe(**parameters), seed)

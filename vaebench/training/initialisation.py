"""Building the networks of one member under its own seed."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from vaebench.catalog.catalog import load_catalog
from vaebench.catalog.implementation import implementation
from vaebench.data import streams
from vaebench.data.dataset import Shape
from vaebench.data.source import Source
from vaebench.models.composition import Composition
from vaebench.objectives.player import Objective, System
from vaebench.store.cell import Cell

Made = TypeVar("Made")


def seeded(build: Callable[[], Made], *words: object) -> Made:
    """What `build` makes when torch's generator stands at the stream named by `words`; the global state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(streams.key(*words))
        return build()


def build_system(cell: Cell, shape: Shape, images: int) -> tuple[System, Objective]:
    """The untrained networks of `cell`. The model's first weights do not depend on what the objective adds to it."""
    choices = cell.composition
    model = seeded(lambda: Composition(choices, shape), cell.seed, "initialisation", "model")
    make_objective = implementation(load_catalog().parts["objective"][choices["objective"]["name"]].implementation)
    objective: Objective = seeded(
        lambda: make_objective(model, choices, shape, images), cell.seed, "initialisation", "objective"
    )
    system = System(model, objective.networks).to(DTYPES[cell.recipe["precision"]])
    return system, objective


def start_from_data(system: System, cell: Cell, source: Source) -> None:
    """Tell a likelihood that asks for it the mean of the training images; (pixel,). Where pixels are drawn anew at
    every visit it is that of their probabilities."""
    head = getattr(system.get_submodule("model"), "likelihood_head", None)
    if not getattr(head, "starts_at_mean", False):
        return
    seen = source.seen_as("grey") if source.training_noise() else source
    content = seen.training_content(cell.recipe["train"])
    x = seen.training_batch(content, torch.arange(len(content), device=source.device), torch.zeros(()))
    head.start_at(x.mean(dim=0, dtype=torch.float64).cpu())  # type: ignore[union-attr]


def is_fitted(cell: Cell) -> bool:
    """Whether the cell's model is found without gradients."""
    return load_catalog().parts["objective"][cell.composition["objective"]["name"]].fitted


def empty_model(cell: Cell, shape: Shape) -> nn.Module:
    """A model of the cell's form, to be filled from a file."""
    objective = load_catalog().parts["objective"][cell.composition["objective"]["name"]]
    if objective.fitted:
        model: nn.Module = implementation(objective.implementation)().model(cell.composition, shape)
    else:
        model = Composition(cell.composition, shape)
    return model.to(DTYPES[cell.recipe["precision"]])


DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}
"""Of parameters; bfloat16 is what the matrix products of a training step are taken in."""

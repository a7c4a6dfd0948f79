"""The small compositions in which a plugin's parts are tried."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vaebench.catalog.catalog import Catalog, Part, load_catalog
from vaebench.catalog.parameters import Parameter
from vaebench.conformance.finding import Breach, NotAsked
from vaebench.data.dataset import Dataset, Shape, load_dataset
from vaebench.data.source import Source
from vaebench.models.composition import Composition
from vaebench.objectives.player import Objective, System
from vaebench.store.cell import Cell
from vaebench.suite.expansion import expand
from vaebench.suite.loading import load_suite_mapping
from vaebench.suite.mistakes import SuiteError
from vaebench.training.initialisation import build_system, seeded

LATENTS, MANY_LATENTS, IMAGES = 3, 12, 6
"""A part that finds no room for itself in few latents is tried in more."""
SMALL = {"train": 400, "validation": 60, "test": 60}
SOURCES = ("digits/grey", "digits/threshold", "digits/binary", "digits/dequantised", "linear-gaussian/real")
"""What is tried, in the order of preference; between them they have every measure."""
RECIPE = {"extends": "quick", "precision": "float64", "epochs": 2, "batch": 128}
NETWORK = {"name": "mlp", "hidden": [16], "activation": "tanh"}


@dataclass(frozen=True)
class Trial:
    """A part of a plugin, and a composition around it on one data set view."""

    part: Part
    cell: Cell

    @property
    def choices(self) -> dict[str, Any]:
        return self.cell.composition

    @functools.cached_property
    def source(self) -> Source:
        return source_of(self.cell)

    @functools.cached_property
    def x(self) -> Tensor:
        """(image, pixel), float64"""
        return self.source.images("test", torch.arange(IMAGES))

    @functools.cached_property
    def y(self) -> Tensor | None:
        labels = self.source.labels("test")
        return None if labels is None else labels[:IMAGES]

    def system(self, seed: int = 0) -> tuple[System, Objective]:
        return build_system(replace(self.cell, seed=seed), self.source.dataset.shape, len(self.x))

    def model(self, seed: int = 0, **changes: Any) -> Composition:
        """The composition, untrained, in float64."""
        choices = {**self.choices, **changes}
        return seeded(lambda: Composition(choices, self.source.dataset.shape), seed, "conformance").double()

    def of_shape(self, shape: Shape, latent: int = LATENTS, seed: int = 0) -> Composition:
        """The same choices for images of another form, as they are scored."""
        choices = {**self.choices, "latent": latent}
        return seeded(lambda: Composition(choices, shape), seed, "conformance").double().eval()

    def on_a_plane(self) -> Composition:
        """The same choices with two latents."""
        if self.choices["latent"] != LATENTS:
            raise NotAsked("it takes more latents than a plane has")
        return self.of_shape(self.source.dataset.shape, 2)

    def cells(self) -> tuple[Cell, Cell]:
        """Two members of one fleet: other seeds, and other values of the part's settings."""
        kind, part = self.part.kind, self.choices[self.part.kind]
        settings = [parameter for parameter in self.part.parameters.values() if parameter.setting]
        changed = {parameter.name: another(parameter, part[parameter.name]) for parameter in settings}
        choices = {**self.choices, kind: {**part, **changed}}
        return self.cell, replace(self.cell, composition=choices, seed=1)


def trial(part: Part, source: str | None = None) -> Trial:
    """The part in the smallest composition that takes it, on `source` or on the first data set view that it fits."""
    entry, sources = entry_for(part, load_catalog()), [source] if source else SOURCES
    try:
        return Trial(part, cell_of(entry, sources))
    except Breach:
        return Trial(part, cell_of({**entry, "latent": MANY_LATENTS}, sources))


def trials(part: Part) -> list[Trial]:
    """One for each measure of the views that the part is for."""
    wanted = [source for source in SOURCES if part.views is None or source.partition("/")[2] in part.views]
    return [trial(part, source) for source in wanted]


def entry_for(part: Part, catalog: Catalog) -> dict[str, Any]:
    """An entry of a suite with the part in it, and beside it what it requires."""
    entry: dict[str, Any] = {"name": "trial", "extends": "vae", "network": NETWORK, "latent": LATENTS}
    for kind, names in part.requires.items():
        entry[kind] = {"name": names[0]}
    entry[part.kind] = {"name": part.name}
    if catalog.parts["objective"][entry.get("objective", {}).get("name", "elbo")].fitted:
        raise NotAsked("it belongs to models that are fitted without gradients")
    if "kl-monte-carlo" in part.checks:
        entry["objective"] = {**entry.get("objective", {}), "kl": "monte-carlo"}
    return entry


def cell_of(entry: dict[str, Any], sources: Iterable[str]) -> Cell:
    """The first cell of an entry on these data set views."""
    content = {"suite": "conformance", "seeds": 1, "recipe": RECIPE, "metrics": ["reconstruction"]}
    try:
        suite = load_suite_mapping({**content, "datasets": list(sources), "variants": [entry]})
    except SuiteError as error:
        whys = "; ".join(mistake.what for mistake in error.mistakes)
        raise Breach("a composition that stands on a data set view", whys) from error
    return expand(suite).planned[0].cell


def source_of(cell: Cell) -> Source:
    """Few images of the cell's data set, on its view."""
    return Source(small(load_dataset(cell.dataset)), cell.view, dtype=torch.float64)


def small(dataset: Dataset) -> Dataset:
    """The first images of each split."""
    splits = {
        name: replace(split, content=split.content[: SMALL[name]], labels=_first(split.labels, SMALL[name]))
        for name, split in dataset.splits.items()
    }
    return replace(dataset, splits=splits)


def _first(labels: Tensor | None, count: int) -> Tensor | None:
    return None if labels is None else labels[:count]


def another(parameter: Parameter, value: float) -> float:
    """Another valid value of a number."""
    for candidate in (0.5 * value, value + 1.0, 2.0 * value, 0.5 * (value + 0.1)):
        if candidate != value and parameter.mistake(candidate) is None:
            return candidate
    return value

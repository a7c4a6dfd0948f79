"""The manifold of a two-dimensional code: decoder means at the quantiles of a normal (Kingma & Welling 2014, fig 4)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from vaebench.reporting.figures.board import Panel, Shelf, board, squares
from vaebench.reporting.figures.figure import Figure
from vaebench.reporting.figures.kept import Arrays
from vaebench.reporting.figures.scene import Place

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


def images(models: Mapping[str, Arrays]) -> dict[str, np.ndarray]:
    """`VARIANT` of the variants with two latents, `VARIANT/LABEL` of those that are asked for a label;
    (row, column, pixel)"""
    found: dict[str, np.ndarray] = {}
    for variant, arrays in models.items():
        if "manifold_labels" in arrays:
            labels = arrays["manifold_labels"].tolist()
            found |= {f"{variant}/{label}": grid for label, grid in zip(labels, arrays["manifold"], strict=True)}
        elif "manifold" in arrays:
            found[variant] = arrays["manifold"]
    return found


def draw(data: Mapping[str, np.ndarray], heading: str) -> "Picture":
    """z₁ grows to the right, z₂ upwards; several variants stand side by side."""
    named = len({_owner(name) for name in data}) > 1
    return board(heading, [Shelf([Panel(squares(grid), _title(name, named)) for name, grid in data.items()])])


def _owner(name: str) -> str:
    return name.partition("/")[0]


def _title(name: str, named: bool) -> str:
    variant, _, label = name.partition("/")
    return ", ".join(part for part in (variant if named else "", f"label {label}" if label else "") if part)


def make(place: Place) -> Figure | None:
    data = images(place.images)
    if not place.images or {_owner(name) for name in data} != set(place.variants):
        return None
    caption = (
        "Decoder means on a grid of the two latents, z₀ to the right and z₁ upwards, at quantiles of the prior (of the "
        f"codes, where the prior has no part in training), so that each tile is equally probable. {place.seed}"
    )
    if any("/" in name for name in data):
        caption = f"Asked for one label at a time. {caption}"
    return place.figure("manifold", f"The whole space of two-dimensional codes: {place.named}", caption, data, draw)

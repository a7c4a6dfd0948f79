"""Reconstructions: test images, and below each the mean of p(x|z) and a draw from it at one z ~ q(z|x)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from vaebench.reporting.figures.board import Panel, Shelf, board, squares
from vaebench.reporting.figures.figure import Figure
from vaebench.reporting.figures.kept import Arrays
from vaebench.reporting.figures.scene import Place

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

COLUMNS = 12
KINDS = {"mean": "reconstructions", "draw": "reconstruction_draws"}
ORIGINAL = "original"


def images(models: Mapping[str, Arrays]) -> dict[str, np.ndarray]:
    """`original`, then `VARIANT/mean` and `VARIANT/draw` where there are draws; (image, pixel)"""
    shown = {name: arrays for name, arrays in models.items() if "reconstructions" in arrays}
    if not shown:
        return {}
    found = {ORIGINAL: next(iter(shown.values()))["originals"][:COLUMNS]}
    for variant, arrays in shown.items():
        kinds = {kind: arrays[stored][:COLUMNS] for kind, stored in KINDS.items() if stored in arrays}
        found |= {f"{variant}/{kind}": rows for kind, rows in kinds.items()}
    return found


def draw(data: Mapping[str, np.ndarray], heading: str) -> "Picture":
    """The originals on top, then a shelf a variant."""
    variants = dict.fromkeys(name.rpartition("/")[0] for name in data if name != ORIGINAL)
    shelves = [Shelf([_rows({ORIGINAL: data[ORIGINAL]})])]
    for variant in variants:
        kinds = {kind: data[f"{variant}/{kind}"] for kind in KINDS if f"{variant}/{kind}" in data}
        shelves.append(Shelf([_rows(kinds)], variant if len(variants) > 1 else ""))
    return board(heading, shelves)


def _rows(named: Mapping[str, np.ndarray]) -> Panel:
    """One row an entry."""
    return Panel(squares(np.stack(list(named.values()))), rows=tuple(named))


def make(place: Place) -> Figure | None:
    data = images(place.images)
    if not place.complete(data, "mean"):
        return None
    caption = (
        "Each column is a test image x, and what comes back from one z ~ q(z|x): the mean of p(x|z) and a draw from "
        f"it. One grey scale from 0 (black) to 1 (white). {place.seed}"
    )
    return place.figure("reconstructions", f"What is kept of an image: {place.named}", caption, data, draw)

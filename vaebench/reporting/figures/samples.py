"""Sample grids side by side: real images, decoder means at codes from the prior, and draws of x at those codes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from vaebench.reporting.figures.board import Panel, Shelf, board, tiles
from vaebench.reporting.figures.figure import Figure
from vaebench.reporting.figures.kept import Arrays
from vaebench.reporting.figures.scene import Place

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

COLUMNS = 5
ROWS = 4
KINDS = {"real": "originals", "decoder means": "sample_means", "draws": "sample_draws"}


def images(models: Mapping[str, Arrays]) -> dict[str, np.ndarray]:
    """`VARIANT/real`, `VARIANT/decoder means`, `VARIANT/draws` of the variants that can be sampled; (image, pixel)"""
    shown = {name: arrays for name, arrays in models.items() if "sample_means" in arrays}
    return {
        f"{variant}/{kind}": arrays[stored][: COLUMNS * ROWS]
        for variant, arrays in shown.items()
        for kind, stored in KINDS.items()
    }


def draw(data: Mapping[str, np.ndarray], heading: str) -> "Picture":
    """A shelf a variant, all on the grey scale from 0 to 1."""
    variants = list(dict.fromkeys(name.rpartition("/")[0] for name in data))
    return board(
        heading,
        [
            Shelf(
                [Panel(tiles(data[f"{variant}/{kind}"], COLUMNS), kind) for kind in KINDS],
                variant if len(variants) > 1 else "",
            )
            for variant in variants
        ],
    )


def make(place: Place) -> Figure | None:
    data = images(place.images)
    if not place.complete(data, "draws"):
        return None
    caption = (
        "Right: x drawn from p(x|z); middle: the mean of p(x|z) at the same z, drawn from the prior; left: test "
        f"images. One grey scale from 0 (black) to 1 (white). {place.seed}"
    )
    return place.figure("samples", f"Real images, decoder means and draws: {place.named}", caption, data, draw)

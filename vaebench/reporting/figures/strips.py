"""Strips μ − 2σ, μ − σ, μ, μ + σ, μ + 2σ of a Gaussian p(x|z) at codes from the prior (Beaulac 2019, figs 5 and 6)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from vaebench.reporting.figures.board import Panel, Shelf, board, squares
from vaebench.reporting.figures.figure import Figure
from vaebench.reporting.figures.kept import Arrays
from vaebench.reporting.figures.samples import LAWS, codes_from, whence
from vaebench.reporting.figures.scene import Place

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

STEPS = {"μ − 2σ": -2.0, "μ − σ": -1.0, "μ": 0.0, "μ + σ": 1.0, "μ + 2σ": 2.0}
PANELS = 2
ROWS = 4
"""Of each panel."""


def images(models: Mapping[str, Arrays]) -> dict[str, np.ndarray]:
    """`VARIANT/mean` and `VARIANT/sigma` of the variants with a Gaussian decoder; (image, pixel)"""
    shown = {variant: arrays for variant, arrays in models.items() if "strip_sigmas" in arrays}
    found = {}
    for variant, arrays in shown.items():
        found[f"{variant}/mean"] = arrays["strip_means"][: PANELS * ROWS]
        found[f"{variant}/sigma"] = arrays["strip_sigmas"][: PANELS * ROWS]
    return found


def strips(means: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """μ + s σ; (image, step, pixel)"""
    steps = np.array(list(STEPS.values()), dtype=means.dtype)
    return means[:, None] + steps[:, None] * sigmas[:, None]


def draw(data: Mapping[str, np.ndarray], heading: str) -> "Picture":
    """A shelf of two panels a variant, all on the grey scale from 0 to 1."""
    variants = list(dict.fromkeys(name.rpartition("/")[0] for name in data))
    shelves = []
    for variant in variants:
        rows = squares(strips(data[f"{variant}/mean"], data[f"{variant}/sigma"]))
        panels = [Panel(half, columns=tuple(STEPS)) for half in np.array_split(rows, PANELS) if len(half)]
        shelves.append(Shelf(panels, variant if len(variants) > 1 else ""))
    return board(heading, shelves)


def make(place: Place) -> Figure | None:
    """None also where codes come from another law than the prior's: the strips that are kept are not at those."""
    data = images(place.images)
    own = all(codes_from(place.scene.generation(name)) == LAWS["own"] for name in place.variants)
    if not own or not place.complete(data, "sigma"):
        return None
    caption = (
        f"Each row is one z {whence(place)}; from left to right every pixel moves from μ(z) − 2σ(z) to μ(z) + 2σ(z) at "
        f"once. Below 0 a pixel is black, above 1 it is white. {place.seed}"
    )
    return place.figure("strips", f"What the decoder's σ allows: {place.named}", caption, data, draw)

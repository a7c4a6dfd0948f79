"""Sample grids side by side: real images, decoder means at codes that are drawn as the variant says, and draws of x at
those codes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from vaebench.reporting.figures.board import Panel, Shelf, board, tiles
from vaebench.reporting.figures.figure import Figure
from vaebench.reporting.figures.kept import Arrays
from vaebench.reporting.figures.scene import Place, Scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

COLUMNS = 5
ROWS = 4
KINDS = ("real", "decoder means", "draws")
LAWS = {
    "own": "from the prior",
    "normal": "from N(0, I) and not from the prior",
    "fitted-gmm": "from a Gaussian mixture fitted to codes of training images",
}
"""Where codes come from, by the names of the catalog."""


def kept_as(generation: Mapping[str, Any]) -> tuple[str, str, str]:
    """Names of the arrays behind KINDS, of a variant that is sampled so."""
    if generation["around"] == "x":
        return "originals", "reconstructions", "reconstruction_draws"
    ending = "" if generation["prior"] == "own" else f"@{generation['prior']}"
    return "originals", f"sample_means{ending}", f"sample_draws{ending}"


def images(models: Mapping[str, Arrays], scene: Scene) -> dict[str, np.ndarray]:
    """`VARIANT/real`, `VARIANT/decoder means`, `VARIANT/draws` of the variants that can be sampled; (image, pixel)"""
    found: dict[str, np.ndarray] = {}
    for variant, arrays in models.items():
        names = kept_as(scene.generation(variant))
        if all(name in arrays for name in names):
            shown = zip(KINDS, names, strict=True)
            found |= {f"{variant}/{kind}": arrays[name][: COLUMNS * ROWS] for kind, name in shown}
    return found


def codes_from(generation: Mapping[str, Any], named: bool = False) -> str:
    """In words; `named`: N(0, I) by its name, for a model that no KL holds near a prior."""
    if generation["around"] == "x":
        return "from q(z|x) of the test image in its place"
    return "from N(0, I)" if named and generation["prior"] == "own" else LAWS[generation["prior"]]


def whence(place: Place) -> str:
    """Where the codes of all that is shown come from, in words."""
    scene = place.scene
    laws = [
        codes_from(scene.generation(name), scene.is_point(name) and scene.is_round(name)) for name in place.variants
    ]
    return " or ".join(dict.fromkeys(laws))


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
    data = images(place.images, place.scene)
    if not place.complete(data, "draws"):
        return None
    caption = (
        f"Right: x drawn from p(x|z); middle: the mean of p(x|z) at the same z, drawn {whence(place)}; left: test "
        f"images. One grey scale from 0 (black) to 1 (white). {place.seed}"
    )
    return place.figure("samples", f"Real images, decoder means and draws: {place.named}", caption, data, draw)

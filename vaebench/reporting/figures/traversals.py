"""Walks through the space of codes: along one latent, across two at once, and from category to category."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from vaebench.reporting.figures import style
from vaebench.reporting.figures.board import Panel, Shelf, board, squares
from vaebench.reporting.figures.figure import Figure, slug
from vaebench.reporting.figures.kept import Arrays
from vaebench.reporting.figures.scene import Place, Scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

STEPS = ("−3", "−2", "−1", "0", "1", "2", "3")
WALKS = 6
"""Latents of a variant that are shown."""
ROWS_OF_CATEGORIES, ROWS_TOGETHER, WIDEST = 10, 5, 16
"""Images whose category is changed, for one variant and for each of several; categories in one row."""


def along(arrays: Arrays) -> dict[str, np.ndarray]:
    """What moves as one latent goes from −3 to 3: `traversals` (latent, step, pixel), which latents, and their KL."""
    if "traversals" not in arrays:
        return {}
    walks = ("traversals", "traversal_latents", "traversal_values")
    known = {"latent_kl": arrays["latent_kl"]} if "latent_kl" in arrays else {}
    return {name: arrays[name][:WALKS] for name in walks} | known


def draw_along(data: Mapping[str, np.ndarray], heading: str) -> "Picture":
    """A row a latent, the chosen ones and those of largest KL first."""
    latents, kl = data["traversal_latents"], data.get("latent_kl")
    rows = tuple(
        latent_name(latent) if kl is None else f"{latent_name(latent)}  {kl[latent]:.2f} nats" for latent in latents
    )
    images = squares(data["traversals"])
    columns = tuple(f"{step:+g}".replace("-", "−") if step else "0" for step in np.linspace(-3, 3, images.shape[1]))
    return board(heading, [Shelf([Panel(images, columns=columns, rows=rows)])])


def sweep(models: Mapping[str, Arrays]) -> dict[str, np.ndarray]:
    """`VARIANT` → the walk along its first chosen latent (Serdega 2019, fig 4.4), (step, pixel), and
    `VARIANT/original` → the image whose code is walked from, (pixel,)"""
    found: dict[str, np.ndarray] = {}
    for variant, arrays in models.items():
        if "far_walks" in arrays:
            found |= {variant: arrays["far_walks"][0], f"{variant}/original": arrays["far_original"]}
    return found


def draw_sweep(data: Mapping[str, np.ndarray], heading: str) -> "Picture":
    """A shelf a variant, the original at its left."""
    shelves = []
    for number, variant in enumerate(name for name in data if not name.endswith("/original")):
        numbers = np.linspace(-5, 5, len(data[variant]))
        columns = tuple(f"{step:+g}".replace("-", "−") if step else "0" for step in numbers) if number == 0 else ()
        original = Panel(squares(data[f"{variant}/original"][None, None]), columns=("x",) if number == 0 else ())
        shelves.append(Shelf([original, Panel(squares(data[variant][None]), columns=columns)], variant))
    return board(heading, shelves)


def planes(models: Mapping[str, tuple[Arrays, bool]]) -> dict[str, np.ndarray]:
    """`VARIANT` → decoder means over two latents, and `VARIANT/latents` → which (Serdega 2019, fig 4.3).

    Those that the objective chose, where it did (true); else the two of least KL. (row, column, pixel)
    """
    found: dict[str, np.ndarray] = {}
    for variant, (arrays, chosen) in models.items():
        if "planes" in arrays:
            which = 0 if chosen else -1
            found |= {variant: arrays["planes"][which], f"{variant}/latents": arrays["plane_latents"][which]}
    return found


def draw_planes(data: Mapping[str, np.ndarray], heading: str) -> "Picture":
    """Side by side; the first latent goes down the rows, the second along the columns, both from −3 to 3."""
    panels = []
    for variant in (name for name in data if not name.endswith("/latents")):
        first, second = map(latent_name, data[f"{variant}/latents"])
        title = f"{style.shortened(variant, 24)}: {first} ↓ {second} →"
        panels.append(Panel(squares(data[variant]), title, columns=STEPS, rows=STEPS))
    return board(heading, [Shelf(panels)])


def categories(models: Mapping[str, Arrays]) -> dict[str, np.ndarray]:
    """`VARIANT/means` (image, category, pixel) and, beside Gaussian latents, `VARIANT/originals` (image, pixel)."""
    shown = {variant: arrays for variant, arrays in models.items() if "category_means" in arrays}
    rows = ROWS_OF_CATEGORIES if len(shown) == 1 else ROWS_TOGETHER
    found = {}
    for variant, arrays in shown.items():
        found[f"{variant}/means"] = arrays["category_means"][:rows]
        if "category_originals" in arrays:
            found[f"{variant}/originals"] = arrays["category_originals"][:rows]
    return found


def draw_categories(data: Mapping[str, np.ndarray], heading: str) -> "Picture":
    """The original at the left, then the image decoded with each category (Serdega 2019, figs 4.5 and 4.6)."""
    variants = list(dict.fromkeys(name.rpartition("/")[0] for name in data))
    return board(
        heading,
        [
            Shelf(
                _category_panels(data[f"{variant}/means"], data.get(f"{variant}/originals")),
                variant if len(variants) > 1 else "",
            )
            for variant in variants
        ],
    )


def _category_panels(means: np.ndarray, originals: np.ndarray | None) -> list[Panel]:
    if originals is None:  # nothing but a category: what each stands for, in rows of a bearable width
        (alone,) = means
        rows = -(-len(alone) // WIDEST)
        filled = np.full((rows * WIDEST, alone.shape[-1]), np.nan, dtype=np.float32)
        filled[: len(alone)] = alone
        width = min(WIDEST, len(alone))
        return [Panel(squares(filled.reshape(rows, WIDEST, -1)[:, :width]))]
    numbers = tuple(str(category) for category in range(means.shape[1]))
    return [Panel(squares(originals[:, None]), columns=("x",)), Panel(squares(means), columns=numbers)]


def latent_name(latent: int) -> str:
    """z₀, z₁, … z₁₀"""
    return "z" + str(int(latent)).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def make_along(place: Place) -> Figure | None:
    """Of one variant: latents of different models are not the same latents."""
    data = along(place.images[place.variants[0]]) if len(place.variants) == 1 and place.images else {}
    if not data:
        return None
    caption = (
        "Each row moves one latent of the first test image's code from −3 to 3 (in standard deviations of the codes, "
        f"where no prior has a part in training) and leaves the others. At the left: its KL. {place.seed}"
    )
    return place.figure("traversals", f"What each latent does: {place.named}", caption, data, draw_along)


def make_planes(place: Place) -> Figure | None:
    """Where an objective singles out two latents; of a side that does not, its two of least KL."""
    chosen = {name: place.scene.singles_out(name) for name in place.images}
    data = planes({name: (arrays, chosen[name]) for name, arrays in place.images.items()})
    if not any(chosen.values()) or not place.complete(data, ""):
        return None
    caption = (
        "Decoder means as two latents go from −3 to 3, the others staying as they are: the sub-code that the objective "
        f"singles out{'' if all(chosen.values()) else ', or else the two latents of least KL'}. {place.seed}"
    )
    return place.figure("plane", f"What the sub-code does: {place.named}", caption, data, draw_planes)


def make_categories(place: Place) -> Figure | None:
    data = categories(place.images)
    if not place.complete(data, "means"):
        return None
    caption = (
        "At the left a test image of each class; then its decoder means with each category in place of its own, the "
        f"Gaussian latents staying as they are. {place.seed}"
    )
    if not any(name.endswith("/originals") for name in data):
        caption = f"The decoder mean of each category: there is nothing else in the code. {place.seed}"
    return place.figure("categories", f"What each category stands for: {place.named}", caption, data, draw_categories)


def make_sweep(scene: Scene, source: str) -> Figure | None:
    """Of all variants that single out a latent, where there are two or more."""
    chosen = {variant.name: scene.chosen(variant.name) for variant in scene.suite.variants}
    models = {name: scene.keeping.one(source, name) for name, latents in chosen.items() if latents}
    data = sweep({name: kept.arrays for name, kept in models.items() if kept is not None})
    variants = len(data) // 2
    if variants < 2:
        return None
    title = f"What the first latent of the sub-code does on {source}: {variants} variants"
    return Figure(
        name=slug("sub-code", source),
        title=title,
        caption="At the left the first test image; then decoder means as the latent goes from −5 to 5, the rest of the "
        "image's code staying.",
        section="overview",
        subject="",
        view=source,
        data=data,
        drawer=draw_sweep,
    )

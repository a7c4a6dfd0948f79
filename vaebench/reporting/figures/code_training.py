"""A code in training: its probabilities, its information, its KL (Serdega 2019, figs 4.7 to 4.9)."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from vaebench.reporting.figures import style
from vaebench.reporting.figures.figure import Figure
from vaebench.reporting.figures.kept import Kept
from vaebench.reporting.figures.scene import Place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

INFORMATION, DIVERGENCE, SHARE = "information", "code_kl", "code_probability_"
LINES = {INFORMATION: "bound on the information, nats", DIVERGENCE: "KL of the code, nats"}
CURVES = {
    INFORMATION: "objective's bound on the information between image and code, where it has one",
    DIVERGENCE: "code's KL",
}
HEIGHT, BETWEEN, LEFT, KEY_LINE = 1.5, 0.75, 0.56, 0.19


def table(models: Mapping[str, Sequence[Kept]]) -> pd.DataFrame:
    """variant, term, epoch, seed, value of the terms that tell of the code."""
    parts = []
    for variant, seeds in models.items():
        for kept in seeds:
            terms = [name for name in kept.curves.columns if name in LINES or name.startswith(SHARE)]
            if terms:
                long = kept.curves.melt("epoch", terms, "term", "value")
                parts.append(long.assign(variant=variant, seed=kept.seed))
    columns = ["variant", "term", "epoch", "seed", "value"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


@style.settled
def draw(data: pd.DataFrame, heading: str, categories: int | None) -> "Picture":
    """Information and KL, a line a variant; then for each variant where the probabilities of its code lie."""
    variants = list(dict.fromkeys(data["variant"]))
    terms = [term for term in LINES if term in set(data["term"])]
    mapped = [name for name in variants if data[data["variant"] == name]["term"].str.startswith(SHARE).any()]
    rows = -(-(len(terms) + len(mapped)) // 2)
    key = KEY_LINE * len(variants) + 0.08 if len(variants) > 1 else 0.0
    picture, total = style.canvas(heading, key + rows * (HEIGHT + BETWEEN))
    width = (style.WIDTH - 0.12 - 2 * LEFT) / 2
    top = rows * (HEIGHT + BETWEEN)
    for place, variant in enumerate(variants if key else ()):
        y = (top + key - KEY_LINE * place) / total
        picture.text(0.1 / style.WIDTH, y, f"■  {variant}", color=style.COLOURS[place], va="top")
    most = math.log(categories) if categories else None
    for place, shown in enumerate([*terms, *mapped]):
        row, column = divmod(place, 2)
        bottom = top - (row + 1) * (HEIGHT + BETWEEN) + 0.42
        frame = style.axes(picture, LEFT - 0.08 + column * (width + LEFT + 0.06), bottom, width, HEIGHT)
        if place < len(terms):
            _lines(frame, data[data["term"] == shown], variants, most)
            frame.set_title(LINES[shown], loc="left", size=style.TEXT, pad=4)
        else:
            _histogram(frame, data[data["variant"] == shown])
            colour = style.COLOURS[variants.index(shown)] if key else style.INK
            frame.set_title("how probable its codes are", loc="left", size=style.TEXT, pad=4, color=colour)
    return picture


def _lines(frame: "Axes", data: pd.DataFrame, variants: Sequence[str], most: float | None) -> None:
    """Mean over seeds with a band from the lowest to the highest."""
    for place, variant in enumerate(variants):
        own = data[data["variant"] == variant]
        if own.empty:
            continue
        wide = own.pivot(index="epoch", columns="seed", values="value")
        colour = style.COLOURS[place]
        frame.fill_between(wide.index, wide.min(axis=1), wide.max(axis=1), color=colour, alpha=0.25, linewidth=0)
        frame.plot(
            wide.index, wide.mean(axis=1), color=colour, marker=style.MARKERS[place], markevery=0.2, markersize=4
        )
    if most is not None:
        frame.axhline(most, color=style.SOFT, linewidth=0.9, linestyle=(0, (4, 3)))
        frame.text(
            1,
            most,
            f"ln K = {most:.2f} ",
            transform=frame.get_yaxis_transform(),
            size=style.SMALL,
            color=style.SOFT,
            ha="right",
            va="bottom",
        )
        frame.set_ylim(top=max(frame.get_ylim()[1], 1.12 * most))
    frame.grid(axis="y")
    frame.set_xlabel("epoch", labelpad=2)
    frame.locator_params(nbins=5)


def shares(data: pd.DataFrame) -> np.ndarray:
    """Mean over seeds of the histogram of probabilities; (bin, epoch), each column sums to 1"""
    own = data[data["term"].str.startswith(SHARE)]
    bins = own["term"].str.removeprefix(SHARE).astype(int)
    wide = own.assign(bin=bins).groupby(["bin", "epoch"])["value"].mean().unstack("epoch")
    found: np.ndarray = wide.to_numpy()
    return found


def _histogram(frame: "Axes", data: pd.DataFrame) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    found = shares(data)
    ramp = LinearSegmentedColormap.from_list("share", [(0.0, 0.447, 0.698, 0.04), (0.0, 0.447, 0.698, 1.0)])
    first, last = data["epoch"].min(), data["epoch"].max()
    frame.imshow(
        np.sqrt(found),
        interpolation="none",
        cmap=ramp,
        vmin=0,
        vmax=1,
        origin="lower",
        aspect="auto",
        extent=(first - 0.5, last + 0.5, 0, 1),
    )
    frame.set_xlabel("epoch", labelpad=2)
    frame.set_ylabel("q(c|x)", labelpad=3)
    frame.locator_params(axis="x", nbins=5, integer=True)
    frame.set_yticks([0, 0.5, 1], ["0", "½", "1"])


def make(place: Place) -> Figure | None:
    """Of variants with a category, or whose objective maximises information (others use that word for other terms)."""
    seeds = {name: place.scene.keeping.seeds(place.source, name) for name in place.variants if _tells(place, name)}
    data = table(seeds)
    alone = len(place.variants) == 1 and DIVERGENCE not in set(data["term"])  # the curves show its information
    if data["variant"].nunique() < len(place.variants) or alone:
        return None
    counts = {categories for name in place.variants if (categories := _categories(place, name))}
    title = f"The code in training: {place.named}"
    return place.figure("code-training", title, caption(data), data, draw, categories=max(counts, default=None))


def caption(data: pd.DataFrame) -> str:
    """Of the panels that there are, and no others."""
    terms = set(data["term"])
    lines = [f"the {words}" for term, words in CURVES.items() if term in terms]
    told = f"{', and '.join(lines)}: mean and range of the seeds" if lines else ""
    mapped = any(term.startswith(SHARE) for term in terms)
    shares_told = "epoch by epoch, the share of the probabilities q(c|x) that lie in each tenth" if mapped else ""
    whole = ". Then, ".join(filter(None, (told, shares_told)))
    return f"{whole[0].upper()}{whole[1:]}."


def _tells(place: Place, variant: str) -> bool:
    objective = place.scene.suite.variant(variant).composition["objective"]
    return objective["name"] == "vmi" or _categories(place, variant) is not None


def _categories(place: Place, variant: str) -> int | None:
    composition = place.scene.suite.variant(variant).composition
    posterior: dict[str, Any] = composition["posterior"]
    if posterior["name"] == "categorical":
        return int(composition["latent"])
    return posterior.get("categories")

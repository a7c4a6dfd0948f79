"""Which classes have which category: counts of test images (Serdega 2019, figs 4.10 and 4.11)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vaebench.reporting.figures import style
from vaebench.reporting.figures.figure import Figure
from vaebench.reporting.figures.kept import Arrays
from vaebench.reporting.figures.scene import Place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

MOST_CODES = 40
"""Categories that fit below one another."""


def table(models: Mapping[str, Arrays]) -> pd.DataFrame:
    """variant, code, class, images: how many test images of a class have the code as their most probable one."""
    parts = []
    for variant, arrays in models.items():
        if "code_counts" in arrays and len(arrays["code_counts"]) <= MOST_CODES:
            codes, classes = np.indices(arrays["code_counts"].shape)
            rows = {"code": codes.ravel(), "class": classes.ravel(), "images": arrays["code_counts"].ravel()}
            parts.append(pd.DataFrame({"variant": variant, **rows}))
    columns = ["variant", "code", "class", "images"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def agreement(data: pd.DataFrame) -> float:
    """Share of the images that have the most frequent class of their code."""
    return float(data.groupby("code")["images"].max().sum() / data["images"].sum())


@style.settled
def draw(data: pd.DataFrame, heading: str) -> "Picture":
    """A row a code, ordered by its most frequent class; several variants stand side by side on one colour scale."""
    variants = list(dict.fromkeys(data["variant"]))
    codes = data["code"].nunique()
    width = (style.WIDTH - 0.12 - 0.5 * len(variants)) / len(variants)
    height = min(0.3, 3.4 / data["class"].nunique()) * codes
    names = [style.name_lines(name, int(width / style.LETTER)) for name in variants] if len(variants) > 1 else [[""]]
    above = 0.12 + 0.17 * max(map(len, names))
    picture, _ = style.canvas(heading, height + 0.46 + above)
    most = data.groupby(["variant", "class"])["images"].sum().max()
    for place, variant in enumerate(variants):
        frame = style.axes(picture, 0.46 + place * (width + 0.5), 0.44, width, height)
        _counts(frame, data[data["variant"] == variant], float(most), numbers=len(variants) == 1)
        if len(variants) > 1:
            frame.set_title("\n".join(names[place]), loc="left", size=style.TEXT, pad=5, weight="bold")
    return picture


def _counts(frame: "Axes", data: pd.DataFrame, most: float, numbers: bool) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    wide = data.pivot(index="code", columns="class", values="images")
    shown = wide.loc[
        sorted(wide.index, key=lambda code: (int(wide.loc[code].to_numpy().argmax()), -wide.loc[code].max()))
    ]
    counts = shown.to_numpy()
    ramp = LinearSegmentedColormap.from_list("images", [(0.0, 0.447, 0.698, 0.04), (0.0, 0.447, 0.698, 1.0)])
    frame.imshow(counts, cmap=ramp, vmin=0, vmax=most, aspect="auto", interpolation="none")
    frame.set_xticks(range(counts.shape[1]), [str(label) for label in shown.columns])
    frame.set_yticks(range(counts.shape[0]), [str(code) for code in shown.index])
    frame.tick_params(length=0)
    for spine in frame.spines.values():
        spine.set_visible(False)
    frame.set_xlabel("class of the image", labelpad=3)
    frame.set_ylabel("most probable code", labelpad=3)
    if numbers and counts.shape[0] <= 20:
        for row, column in np.argwhere(counts > 0):
            light = counts[row, column] > 0.6 * most
            frame.text(
                column,
                row,
                str(counts[row, column]),
                size=style.SMALL - 1,
                ha="center",
                va="center",
                color="white" if light else style.INK,
            )


def make(place: Place) -> Figure | None:
    data = table(place.arrays)
    if data.empty or data["variant"].nunique() < len(place.variants):
        return None
    found = [f"{agreement(rows):.0%}" for _, rows in data.groupby("variant", sort=False)]
    shares = " and ".join(found)
    title = f"Codes and classes: {shares} of the images have their code's most frequent class, {place.named}"
    caption = (
        "Test images by their most probable code and their class, codes ordered by their most frequent class; one "
        f"colour scale. {place.seed}"
    )
    return place.figure("code-counts", title, caption, data, draw)

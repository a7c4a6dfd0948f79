"""Sharpness against likelihood: do sharper images come with a better model?"""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from vaebench.catalog.catalog import load_catalog
from vaebench.reporting.figures import beyond, marks, style
from vaebench.reporting.figures.figure import Figure, slug
from vaebench.reporting.figures.intervals import stances
from vaebench.reporting.figures.scene import Scene
from vaebench.reporting.runs import RowKey
from vaebench.reporting.sections import ARROWS, Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

MEAN, DRAW = "sharpness.mean_ratio", "sharpness.ancestral_ratio"
HEIGHT = 3.0
"""Inches of the plane."""
WIDE = 6.0
"""From this quotient of the largest to the smallest ratio on, the axis is logarithmic."""


def table(section: Section, values: dict[RowKey, dict[str, dict[int, float]]], metric: str) -> pd.DataFrame:
    """A row a variant: means over seeds of the ranking metric and of both ratios (NaN where there is none)."""
    rows: list[dict[str, Any]] = []
    for row in section.rows:
        found = values.get((section.dataset, section.view, row["variant"]), {})
        if found.get(metric) and (found.get(MEAN) or found.get(DRAW)):
            numbers = {name: _mean(found.get(name)) for name in (metric, MEAN, DRAW)}
            rows.append({"variant": row["variant"], "stance": row["stance"], **numbers})
    return pd.DataFrame(rows, columns=["variant", "stance", metric, MEAN, DRAW])


def title(data: pd.DataFrame, where: str) -> str:
    """Where decoder means and draws stand beside the data."""
    means, draws = data[MEAN].median(), data[DRAW].median()
    parts = [
        f"{name} {ratio:.2g}" for name, ratio in (("decoder means", means), ("draws", draws)) if not np.isnan(ratio)
    ]
    return f"Sharpness on {where}: {', '.join(parts)} times that of the data (medians)"


@style.settled
def draw(data: pd.DataFrame, heading: str, metric: str) -> "Picture":
    """Filled marks: decoder means; hollow ones: draws; the line at 1 is the data."""
    shown = beyond.near(data[metric].to_numpy(dtype=float))
    far, data = data[~shown], data[shown]
    key = marks.key_height(list(data["variant"]))
    picture, _ = style.canvas(heading, HEIGHT + 0.72 + key)
    frame = style.axes(picture, 0.62, 0.72 + key, style.WIDTH - 0.62 - 0.3, HEIGHT)
    ratios = data[[MEAN, DRAW]].to_numpy(dtype=float)
    column = load_catalog().column(metric)
    _limits(frame, data[metric].to_numpy(dtype=float), ratios[np.isfinite(ratios)])
    beyond.leave_room(frame, len(far), HEIGHT)
    frame.axhline(1.0, color=style.SOFT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    frame.text(
        1.0, 1.0, " data", transform=frame.get_yaxis_transform(), size=style.SMALL, color=style.SOFT, va="center"
    )
    named = []
    for row in data.to_dict("records"):
        colour, marker = style.STANCES[row["stance"]]
        x, mean, drawn = row[metric], row[MEAN], row[DRAW]
        frame.plot([x, x], [mean, drawn], color=colour, linewidth=0.7, alpha=0.5)
        frame.plot(x, drawn, marker, markerfacecolor=style.PAPER, markeredgecolor=colour, markersize=6)
        frame.plot(x, mean, marker, color=colour, markeredgecolor=style.PAPER, markersize=6.5)
        named.append(marks.Mark(row["variant"], row["stance"], x, drawn if np.isnan(mean) else mean))
    frame.set_xlabel(f"{metric}, {column.unit}{ARROWS[column.better]}")
    frame.set_ylabel("sharpness / sharpness of the data")
    marks.name_all(picture, frame, named, 0.24)
    named_beyond = zip(far["variant"], far[metric], strict=True)
    beyond.name_those(frame, [f"{name}, {metric} {beyond.typographic(value)}" for name, value in named_beyond])
    stances(picture, [stance for stance in style.STANCES if stance in set(data["stance"])])
    return picture


def _limits(frame: "Axes", metric: np.ndarray, ratios: np.ndarray) -> None:
    margin = 0.1 * np.ptp(metric) or 0.1 * abs(metric[0]) or 1.0
    frame.set_xlim(metric.min() - margin, metric.max() + margin)
    frame.locator_params(axis="x", nbins=6)
    low, high = min(1.0, ratios.min()), max(1.0, ratios.max())
    if low > 0 and high / low > WIDE:
        from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

        frame.set_yscale("log")
        frame.set_ylim(low / 1.3, high * 1.3)
        powers = [10.0**power * step for power in range(-6, 7) for step in (1, 2, 5)]
        frame.yaxis.set_major_locator(FixedLocator([tick for tick in powers if low / 1.3 <= tick <= high * 1.3]))
        frame.yaxis.set_minor_locator(NullLocator())
        frame.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        frame.set_ylim(low - 0.1 * (high - low or 1.0), high + 0.1 * (high - low or 1.0))


def _mean(values: dict[int, float] | None) -> float:
    return float(np.mean(list(values.values()))) if values else float("nan")


def make(scene: Scene, ranking: Section) -> Figure | None:
    metric = ranking.rank_by
    data = table(ranking, scene.values, metric) if metric else pd.DataFrame()
    if metric is None or len(data) < 2:
        return None
    heading = title(data, ranking.title)
    return Figure(
        name=slug("sharpness", ranking.source, ranking.given and f"given-{ranking.given}"),
        title=heading,
        caption=(
            "Variance of the Laplacian against that of the data, over the metric that ranks the view: filled marks are "
            "decoder means, hollow ones draws. At 1 images are as sharp as the data; a better model need not be nearer."
        ),
        section="overview",
        subject="",
        view=ranking.source,
        data=data,
        drawer=draw,
        more={"metric": metric},
    )

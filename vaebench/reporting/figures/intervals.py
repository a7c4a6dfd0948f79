"""Interval plots: the mean of every variant of a ranking with its 95 % interval, and each seed as a point."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vaebench.catalog.catalog import load_catalog
from vaebench.reporting.figures import beyond, style
from vaebench.reporting.figures.figure import Figure, slug
from vaebench.reporting.figures.scene import Scene
from vaebench.reporting.runs import RowKey
from vaebench.reporting.sections import ARROWS, Section
from vaebench.reporting.text import with_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

LETTERS = 26
"""Of a variant's name in one line."""
ROW, EXTRA = 0.25, 0.13
"""Inches of a row, and of each further line of a name."""


def table(section: Section, values: dict[RowKey, dict[str, dict[int, float]]], metric: str) -> pd.DataFrame:
    """A row for each seed of each variant that has a number, best first, with the mean and interval of its variant."""
    of_variants = {
        row["variant"]: values.get((section.dataset, section.view, row["variant"]), {}) for row in section.rows
    }
    return _rows(section, metric, lambda variant: sorted(of_variants[variant].get(metric, {}).items()))


def means(section: Section, metric: str) -> pd.DataFrame:
    """The same of a leaderboard alone, which knows no seeds: a row for each variant."""
    return _rows(section, metric, lambda variant: [(-1, math.nan)])


def _rows(section: Section, metric: str, seeds: Callable[[str], list[tuple[int, float]]]) -> pd.DataFrame:
    """`seeds`: variant → seeds with their values."""
    rows = [
        {
            "variant": row["variant"],
            "stance": row["stance"],
            "rank": row["rank"],
            "group": row["group"],
            "metric": metric,
            "mean": row[metric],
            "low": row[f"{metric}_low"],
            "high": row[f"{metric}_high"],
            "seed": seed,
            "value": value,
        }
        for row in section.rows
        for seed, value in seeds(row["variant"])
    ]
    columns = ["variant", "stance", "rank", "group", "metric", "mean", "low", "high", "seed", "value"]
    return pd.DataFrame(rows, columns=columns).astype({"rank": "Int64", "group": "Int64"})


def title(data: pd.DataFrame, metric: str, where: str) -> str:
    """Who is ahead, and whether the seeds can tell."""
    variants = data.drop_duplicates("variant")
    first = variants[variants["rank"] == 1]["variant"]
    if first.empty:
        return f"{metric} on {where}: nothing is ranked"
    if len(variants) == 1:
        return f"{metric} on {where}: {first.iloc[0]} has nobody to be compared with"
    beside = int((variants["group"] == 1).sum()) - 1
    if variants["group"].isna().all():
        return f"{metric} on {where}: {first.iloc[0]} has the best mean; too few seeds to tell rows apart"
    if beside <= 0:
        return f"{metric} on {where}: {first.iloc[0]} is ahead of all others"
    others = "one other" if beside == 1 else f"{beside} others"
    return f"{metric} on {where}: {first.iloc[0]} leads, and {others} cannot be told from it"


@style.settled
def draw(data: pd.DataFrame, heading: str) -> "Picture":
    """Best on top; rows of one group stand on one band; hollow marks stand for rows that are not ranked."""
    metric = data["metric"].iloc[0]
    variants = list(data.groupby("variant", sort=False))
    names = [style.name_lines(str(name), LETTERS) for name, _ in variants]
    grouped = bool(data["group"].notna().any())
    heights = [ROW + EXTRA * (len(lines) - 1) for lines in names]
    picture, _ = style.canvas(heading, sum(heights) + 0.66 + 0.16 * grouped)
    left, right = max(style.text_width(line) for lines in names for line in lines) + 0.2, 0.34 if grouped else 0.12
    frame = style.axes(picture, left, 0.62, style.WIDTH - left - right, sum(heights))
    tops = np.concatenate([[0.0], np.cumsum(heights)])
    frame.set_ylim(tops[-1], 0)
    frame.grid(axis="x")
    frame.spines["left"].set_visible(False)
    frame.tick_params(axis="y", length=0)
    far = set(data["variant"][~beyond.near(data["mean"].to_numpy(dtype=float))])
    for (_, rows), lines, top, tall in zip(variants, names, tops, heights, strict=False):
        first, middle = rows.iloc[0], top + tall / 2
        if first["variant"] in far:
            _say_beyond(frame, middle, first, below=first["mean"] < data["mean"].median())
        else:
            _draw_row(frame, rows, middle)
        frame.text(
            -0.02,
            middle,
            "\n".join(lines),
            transform=frame.get_yaxis_transform(),
            ha="right",
            va="center",
            size=style.TEXT,
            linespacing=1.0,
        )
    frame.set_yticks([])
    for place, ((_, rows), top, tall) in enumerate(zip(variants, tops, heights, strict=False)):
        group = rows["group"].iloc[0]
        if pd.isna(group):
            continue
        if group % 2 == 1:
            frame.axhspan(top, top + tall, color=style.SOFT, alpha=0.12, linewidth=0, zorder=0)
        if place == 0 or group != variants[place - 1][1]["group"].iloc[0]:
            frame.text(
                1.03, top + ROW / 2, str(group), transform=frame.get_yaxis_transform(), va="center", color=style.SOFT
            )
    if grouped:
        frame.text(
            1.03,
            -0.06,
            "group",
            transform=frame.get_yaxis_transform(),
            size=style.SMALL,
            color=style.SOFT,
            ha="center",
            va="bottom",
        )
    column = load_catalog().column(metric)
    frame.set_xlabel(f"{metric}, {column.unit}{ARROWS[column.better]}")
    frame.locator_params(axis="x", nbins=6)
    stances(picture, [stance for stance in style.STANCES if stance in set(data["stance"])])
    return picture


def _draw_row(frame: "Axes", rows: pd.DataFrame, middle: float) -> None:
    """Seeds, interval and mean of a variant."""
    first = rows.iloc[0]
    colour, marker = style.STANCES[first["stance"]]
    frame.plot(rows["value"], np.full(len(rows), middle), "|", color=colour, alpha=0.55, markersize=7)
    if not pd.isna(first["low"]):
        frame.plot([first["low"], first["high"]], [middle, middle], color=colour, linewidth=1.8)
    filled = style.PAPER if pd.isna(first["rank"]) else colour
    frame.plot(first["mean"], middle, marker, markerfacecolor=filled, markeredgecolor=colour, markersize=5.5)


def _say_beyond(frame: "Axes", middle: float, row: pd.Series, below: bool) -> None:
    """A mean that cannot stand on one scale with the others, in words at the edge beyond which it lies."""
    mean = with_error(row["mean"], row["low"], row["high"]).replace("-", "−")
    words = f"← mean {mean}" if below else f"mean {mean} →"
    frame.text(
        0.01 if below else 0.99,
        middle,
        words,
        transform=frame.get_yaxis_transform(),
        ha="left" if below else "right",
        va="center",
        size=style.SMALL,
        color=style.SOFT,
    )


def stances(picture: "Picture", shown: list[str]) -> None:
    """What the colours and marks of the stances are, at the foot of a picture."""
    across, up = picture.get_size_inches()
    from matplotlib.lines import Line2D

    at = 0.12
    for stance in shown:
        colour, marker = style.STANCES[stance]
        mark = Line2D(
            [at / across], [0.1 / up], marker=marker, color=colour, linestyle="none", transform=picture.transFigure
        )
        picture.add_artist(mark)
        picture.text((at + 0.1) / across, 0.1 / up, stance, size=style.SMALL, color=style.SOFT, va="center_baseline")
        at += 0.24 + len(stance) * style.LETTER


def make(scene: Scene, ranking: Section) -> Figure | None:
    metric = ranking.rank_by
    data = table(ranking, scene.values, metric) if metric else pd.DataFrame()
    if metric is None or data.empty:
        return None
    heading = title(data, metric, ranking.title)
    return Figure(
        name=slug("intervals", ranking.source, ranking.given and f"given-{ranking.given}"),
        title=heading,
        caption=(
            "Mean over seeds with its Student-t 95 % interval, and a tick for each seed, best on top. The seeds cannot "
            "tell the rows of one group from its first; hollow marks are rows that are not ranked."
        ),
        section="overview",
        subject="",
        view=ranking.source,
        data=data,
        drawer=draw,
    )

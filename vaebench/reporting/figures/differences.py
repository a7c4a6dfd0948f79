"""Paired differences: what one changed choice does to each seed, and their mean with its interval."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vaebench.catalog.catalog import load_catalog
from vaebench.reporting import statistics
from vaebench.reporting.contrasts import PairedTest
from vaebench.reporting.figures import style
from vaebench.reporting.figures.figure import Figure, slug
from vaebench.reporting.tables import each_row
from vaebench.reporting.text import half_width, to_the_place_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

UNITLESS = ("ratio", "share")
HEIGHT, LEFT, BETWEEN = 2.3, 0.66, 0.78
"""Inches; left of the axes and between them is more where the numbers of an axis are long."""
LABEL = 0.31
"""Inches that the name of an axis takes beside its numbers."""
BEYOND = 0.2
"""Inches by which a label may be longer than its axis, half of them above."""


def table(test: PairedTest) -> pd.DataFrame:
    """seed, theory, practice, difference = practice − theory."""
    differences = statistics.paired_differences(test.theory, test.practice)
    columns = {"seed": test.seeds, "theory": test.theory, "practice": test.practice, "difference": differences}
    return pd.DataFrame(columns)


def title(test: PairedTest, verdict: str) -> str:
    """The question, the verdict, and the size of what was seen."""
    if not test.seeds:
        return f"{test.contrast.question} {verdict}"
    found = statistics.compare(test.theory, test.practice)
    half = half_width(found.low, found.high)
    size = to_the_place_of(half, found.difference).replace("-", "−")
    unit = load_catalog().column(test.metric).unit
    named = f"{size} {unit}" if unit not in UNITLESS else size
    return f"{test.contrast.question} {verdict[:1].upper()}{verdict[1:]}: practice − theory is {named} in {test.metric}"


@style.settled
def draw(data: pd.DataFrame, heading: str, theory: str, practice: str, metric: str) -> "Picture":
    """Left: each seed under both; right: each seed's difference, their mean and 95 % interval, and the line at 0."""
    picture, total = style.canvas(heading, HEIGHT + 0.86)
    both, alone = (style.axes(picture, LEFT, 0.66, 1.0, HEIGHT) for _ in range(2))
    unit = load_catalog().column(metric).unit
    _both_sides(both, data, theory, practice)
    both.set_ylabel(both_label(metric))
    _differences(alone, data)
    alone.set_ylabel(f"practice − theory, {unit}")
    left, between = max(LEFT, LABEL + _numbers_width(both)), max(BETWEEN, LABEL + 0.12 + _numbers_width(alone))
    width = (style.WIDTH - left - between - 0.15) / 2
    for frame, start in ((both, left), (alone, left + width + between)):
        frame.set_position((start / style.WIDTH, 0.66 / total, width / style.WIDTH, HEIGHT / total))
    return picture


def _numbers_width(frame: "Axes") -> float:
    """Inches of the longest number beside the axis."""
    shown = frame.yaxis.get_major_formatter().format_ticks(list(frame.get_yticks()))
    return max((style.text_width(number, style.SMALL) for number in shown), default=0.0)


def both_label(metric: str) -> str:
    """The metric, and its unit where a line beside the axes has room for it: the other axes name it again."""
    whole = f"{metric}, {load_catalog().column(metric).unit}"
    return whole if style.text_width(whole) <= HEIGHT + BEYOND else metric


def _both_sides(frame: "Axes", data: pd.DataFrame, theory: str, practice: str) -> None:
    sides = (("theory", theory, 0), ("practice", practice, 1))
    for row in each_row(data):
        frame.plot([0, 1], [row.theory, row.practice], color=style.SOFT, linewidth=0.9, alpha=0.7, zorder=1)
    for side, _, x in sides:
        colour, marker = style.STANCES[side]
        frame.plot(np.full(len(data), x), data[side], marker, color=colour, markeredgecolor=style.PAPER, zorder=2)
    frame.set_xlim(-0.5, 1.5)
    frame.set_xticks([0, 1], ["\n".join(style.name_lines(name, 14)) for _, name, _ in sides], color=style.INK)
    frame.margins(y=0.15)
    frame.grid(axis="y")


def _differences(frame: "Axes", data: pd.DataFrame) -> None:
    interval = statistics.estimate(list(data["difference"]))
    spread = np.linspace(-0.12, 0.12, len(data)) if len(data) > 1 else np.zeros(1)
    frame.axhline(0.0, color=style.INK, linewidth=1.0)
    frame.plot(spread, data["difference"], "o", color=style.PURPLE, alpha=0.8, markeredgecolor=style.PAPER)
    if interval.low is not None and interval.high is not None:
        frame.plot([0.5, 0.5], [interval.low, interval.high], color=style.INK, linewidth=2)
    frame.plot(0.5, interval.mean, "D", color=style.INK, markersize=6)
    ends = [0.0, *data["difference"], *(end for end in (interval.low, interval.high) if end is not None)]
    low, high = min(ends), max(ends)
    margin = 0.08 * (high - low) or 1.0
    frame.set_ylim(low - margin, high + margin)
    frame.set_xlim(-0.4, 0.85)
    labels = [f"{len(data)} seed{'s' * (len(data) != 1)}", "mean, 95 %" if interval.low is not None else "mean"]
    frame.set_xticks([0, 0.5], labels, color=style.INK)
    frame.grid(axis="y")


def make(stem: str, test: PairedTest, verdict: str) -> Figure | None:
    data, heading = table(test), title(test, verdict)
    if data.empty:
        return None
    return Figure(
        name=slug(stem, "differences", test.dataset, test.view),
        title=heading,
        caption=(
            "Left: a line joins both models of a seed. Right: the difference of each seed, and their mean with its "
            "Student-t 95 % interval; where that reaches across 0, the seeds cannot tell the two apart. Correcting for "
            "the other questions of the suite may ask for more."
        ),
        section="contrast",
        subject=test.contrast.question,
        view=f"{test.dataset}/{test.view}",
        data=data,
        drawer=draw,
        more={"theory": test.contrast.theory, "practice": test.contrast.practice, "metric": test.metric},
    )

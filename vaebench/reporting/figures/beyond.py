"""What lies too far off to be drawn on one scale with the rest: models that exploded and are still finite, and a few
rows beside which all others would be one point."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vaebench.reporting.figures import style
from vaebench.reporting.text import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAR = 1e4
"""Times the median distance from the median; beyond that the rest would be one point."""
CROWDED = 0.2
"""Share of a scale; if the rest had no more than that, it gets a scale of its own,"""
FEW = 0.25
"""where no more than this share of all lies beyond it."""
LINE = 0.14
"""Inches of a line of words in the axes."""


def near(values: np.ndarray) -> np.ndarray:
    """Which of the values can share a scale: all but those FAR times as far from the median as half are, and the few
    that would crowd the others; (value,)"""
    shown = not_exploded(values)
    kept = np.flatnonzero(shown & np.isfinite(values))
    for place in _crowding(values[kept]):
        shown[kept[place]] = False
    return shown


def not_exploded(values: np.ndarray) -> np.ndarray:
    """Which are no more than FAR times as far from the median as half of them are; (value,)"""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.ones(len(values), dtype=bool)
    middle = np.median(finite)
    spread = np.median(np.abs(finite - middle))
    return ~(np.abs(values - middle) > FAR * spread) if spread > 0 else np.ones(len(values), dtype=bool)


def _crowding(values: np.ndarray) -> list[int]:
    """Places of the few without which the others, which differ, have more than a fifth of the scale for themselves."""
    order = np.argsort(np.abs(values - np.median(values)), kind="stable") if len(values) else np.array([], dtype=int)
    left = len(values)
    fewest = len(values) - int(FEW * len(values))
    shorter = left - 1
    while shorter >= fewest:
        if 0 < np.ptp(values[order[:shorter]]) <= CROWDED * np.ptp(values[order[:left]]):
            left = shorter
        shorter -= 1
    return [int(place) for place in order[left:]]


def leave_room(frame: "Axes", lines: int, height: float) -> None:
    """Raise the upper end of a scale that is set, linear or logarithmic, so that so many lines of words stand above
    all that is drawn in axes of that height, in inches; in half of it at most."""
    scale = frame.yaxis.get_transform()
    low, high = scale.transform(np.array(frame.get_ylim()))
    raised = low + (high - low) * height / (height - min(LINE * lines, height / 2))
    frame.set_ylim(top=float(scale.inverted().transform(np.array([raised]))[0]))


def name_those(frame: "Axes", far: Sequence[str]) -> None:
    """Say in a corner of the axes who is not in the picture, and where it would be: a line each."""
    listed = "\n".join(f"beyond: {words}" for words in far)
    frame.text(0.01, 0.99, listed, transform=frame.transAxes, size=style.SMALL, color=style.SOFT, va="top")


def typographic(value: float) -> str:
    """A number with the sign that stands beside it in axes."""
    return number(value).replace("-", "−", 1) if value < 0 else number(value)

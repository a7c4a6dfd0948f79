"""What lies too far off to be drawn on one scale with the rest: models that exploded and are still finite."""

from typing import TYPE_CHECKING

import numpy as np

from vaebench.reporting.figures import style
from vaebench.reporting.text import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAR = 1e4
"""Times the median distance from the median; beyond that the rest would be one point."""


def near(values: np.ndarray) -> np.ndarray:
    """Which of the values can share a scale: all but those FAR times as far from the median as half are; (value,)"""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.ones(len(values), dtype=bool)
    middle = np.median(finite)
    spread = np.median(np.abs(finite - middle))
    return ~(np.abs(values - middle) > FAR * spread) if spread > 0 else np.ones(len(values), dtype=bool)


def name_those(frame: "Axes", beyond: dict[str, float], what: str) -> None:
    """Say in a corner of the axes who is not in the picture, and with which number."""
    if beyond:
        listed = "; ".join(f"{name}, {what} {typographic(value)}" for name, value in beyond.items())
        frame.text(
            0.01, 0.99, f"beyond: {listed}", transform=frame.transAxes, size=style.SMALL, color=style.SOFT, va="top"
        )


def typographic(value: float) -> str:
    """A number with the sign that stands beside it in axes."""
    return number(value).replace("-", "−", 1) if value < 0 else number(value)

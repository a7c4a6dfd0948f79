"""One picture of a report: what it shows, and the numbers it shows."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

Section = Literal["overview", "contrast", "variant"]


@dataclass(frozen=True)
class Figure:
    """A picture that has not been drawn yet. The same records make the same figure, byte for byte."""

    name: str
    """Stem of its files: letters, digits, `.`, `_` and `-`; unique within a suite."""
    title: str
    """What to see; it stands above the picture, and serves as its alternative text."""
    caption: str
    """How to read it."""
    section: Section
    subject: str
    """The contrast's question or the variant's name; empty for an overview."""
    view: str
    """The data set view, such as `mnist/grey`; empty where there is none."""
    data: pd.DataFrame | dict[str, np.ndarray]
    """What is drawn: a table of line art, or the images of a grid."""
    drawer: Callable[..., "Picture"]
    """Draws it from the data, the title and `more`, and from nothing else."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON."""

    @property
    def is_image_grid(self) -> bool:
        return isinstance(self.data, dict)

    def draw(self) -> "Picture":
        return self.drawer(self.data, self.title, **self.more)

    def axes(self) -> "list[Axes]":
        """Draw it; `axes[0].figure` is the whole picture. A grid of images has none: there, `draw()` is the picture."""
        return list(self.draw().axes)


@dataclass(frozen=True)
class Written:
    """A figure and the file that shows it."""

    figure: Figure
    path: Path
    """`figures/NAME.svg`, or `.png` for grids of images; the data lie in `figures/data/NAME.csv` or `.npz`."""


def slug(*words: str) -> str:
    """`slug("curves", "beta-vae[beta=0.25]", "digits/grey")` → `curves-beta-vae-beta-0.25-digits-grey`"""
    return "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", word).strip("-.") for word in words if word)

"""Pictures made of small images: panels of tiles, every tile in whole pixels and on one grey scale from 0 to 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vaebench.reporting.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

MARGIN, LABEL = 12, 30
"""Pixels around the picture, and for a line of letters."""
SEAM, AISLE = 2, 22
"""Pixels of the line around each tile, and between panels."""
SEAM_GREY = 128
"""Seen beside black tiles and beside white ones, on light paper and on dark."""
LARGEST = 112
"""Pixels of a tile's side at most."""


@dataclass(frozen=True)
class Panel:
    """Tiles in rows and columns."""

    tiles: np.ndarray
    """(row, column, side, side); NaN is left empty"""
    title: str = ""
    """Above it."""
    columns: tuple[str, ...] = ()
    """Above each column."""
    rows: tuple[str, ...] = ()
    """At the left of each row."""


@dataclass(frozen=True)
class Shelf:
    """Panels side by side."""

    panels: Sequence[Panel]
    heading: str = ""
    """Above them all."""

    @property
    def tiles(self) -> int:
        """From left to right."""
        return sum(panel.tiles.shape[1] for panel in self.panels)

    @property
    def above(self) -> int:
        """Pixels that letters take above the tiles."""
        titled, labelled = any(panel.title for panel in self.panels), any(panel.columns for panel in self.panels)
        return LABEL * (bool(self.heading) + titled + labelled) + 4


def tiles(images: np.ndarray, columns: int) -> np.ndarray:
    """Images (image, pixel) in rows of so many, the last one filled up; (row, column, side, side)"""
    rows = -(-len(images) // columns)
    filled = np.full((rows * columns, images.shape[-1]), np.nan, dtype=np.float32)
    filled[: len(images)] = images
    return squares(filled.reshape(rows, columns, -1))


def squares(images: np.ndarray) -> np.ndarray:
    """(…, pixel) → (…, side, side)"""
    side = round(images.shape[-1] ** 0.5)
    return images.reshape(*images.shape[:-1], side, side)


@style.settled
def board(title: str, shelves: Sequence[Shelf]) -> "Picture":
    """Shelves one below the other. Below 0 a pixel is black, above 1 it is white."""
    from matplotlib.figure import Figure

    width = int(style.WIDTH * style.DPI)
    labels = _labels(shelves)
    size = min(_size(shelf, labels, width) for shelf in shelves)
    lines = style.titled(title)
    heading = round(len(lines) * style.LINE * style.DPI) + MARGIN
    mosaics = [[_mosaic(panel.tiles, size) for panel in shelf.panels] for shelf in shelves]
    heights = [shelf.above + max(map(len, shown)) for shelf, shown in zip(shelves, mosaics, strict=True)]
    height = round(heading + sum(heights) + AISLE * (len(heights) - 1) + MARGIN)
    picture = Figure(figsize=(width / style.DPI, height / style.DPI), dpi=style.DPI, facecolor="none")
    sheet = _Sheet(picture, width, height)
    for place, line in enumerate(lines):
        top = MARGIN / 2 + place * style.LINE * style.DPI
        sheet.write(line, MARGIN, top, size=style.TITLE, va="top", weight="bold")
    top = heading
    for shelf, shown, tall in zip(shelves, mosaics, heights, strict=True):
        _place(sheet, shelf, shown, labels, top, size)
        top += tall + AISLE
    return picture


@dataclass(frozen=True)
class _Sheet:
    """A picture measured in pixels from its upper left corner."""

    picture: "Picture"
    width: int
    height: int

    def write(self, text: str, x: float, y: float, size: float = style.SMALL, **more: Any) -> None:
        self.picture.text(x / self.width, 1 - y / self.height, text, size=size, color=style.MIDDLE, **more)

    def show(self, mosaic: np.ndarray, x: float, y: float) -> None:
        """Pixel for pixel, which takes no axes."""
        self.picture.figimage(mosaic, round(x), self.height - round(y) - len(mosaic), origin="upper")


def _place(
    sheet: _Sheet, shelf: Shelf, mosaics: Sequence[np.ndarray], labels: Sequence[int], top: float, side: int
) -> None:
    """Draw a shelf whose upper edge is at `top`; a tile is `side` pixels wide."""
    if shelf.heading:
        sheet.write(shelf.heading, MARGIN, top + LABEL - 9, style.TEXT, weight="bold")
    left, y = MARGIN, top + shelf.above
    over_columns = LABEL if any(panel.columns for panel in shelf.panels) else 0
    for panel, mosaic, label in zip(shelf.panels, mosaics, labels, strict=False):
        x = left + label
        sheet.show(mosaic, x, y)
        sheet.write(panel.title, x, y - over_columns - 9, style.TEXT)
        for place, text in enumerate(panel.columns):
            sheet.write(text, x + place * (side + SEAM) + side / 2, y - 9, ha="center")
        for place, text in enumerate(panel.rows):
            sheet.write(text, x - 10, y + place * (side + SEAM) + side / 2, ha="right", va="center")
        left = x + mosaic.shape[1] + AISLE


def _labels(shelves: Sequence[Shelf]) -> list[int]:
    """Pixels for the labels of rows, the same for panels that stand below each other."""
    most = max(len(shelf.panels) for shelf in shelves)
    return [max(_left(shelf.panels[place]) for shelf in shelves if place < len(shelf.panels)) for place in range(most)]


def _size(shelf: Shelf, labels: Sequence[int], width: int) -> int:
    """Pixels of a tile's side, so that the shelf fits."""
    count = len(shelf.panels)
    room = width - 2 * MARGIN - sum(labels[:count]) - AISLE * (count - 1) - SEAM * count
    return max(4, min(LARGEST, room // shelf.tiles - SEAM))


def _mosaic(images: np.ndarray, size: int) -> np.ndarray:
    """The tiles side by side, each in a grey line, empty ones transparent; (height, width, red-green-blue-alpha)"""
    rows, columns, side, _ = images.shape
    seen = np.isfinite(images).all(axis=(2, 3))
    grey = np.round(255 * np.clip(np.nan_to_num(images), 0.0, 1.0)).astype(np.uint8)
    nearest = np.arange(size) * side // size
    large = grey[:, :, nearest[:, None], nearest]
    step = size + SEAM
    mosaic = np.zeros((rows * step + SEAM, columns * step + SEAM, 4), dtype=np.uint8)
    for row, column in np.argwhere(seen):
        top, left = row * step, column * step
        mosaic[top : top + step + SEAM, left : left + step + SEAM] = (SEAM_GREY, SEAM_GREY, SEAM_GREY, 255)
    for row, column in np.argwhere(seen):
        top, left = row * step + SEAM, column * step + SEAM
        mosaic[top : top + size, left : left + size, :3] = large[row, column, ..., None]
    return mosaic


def _left(panel: Panel) -> int:
    """Pixels for the labels of its rows."""
    inches = max((style.text_width(text, style.SMALL) for text in panel.rows), default=0.0)
    return round(inches * style.DPI) + (14 if panel.rows else 0)

"""Variants as marks in a plane, each with its name or, where there are many, a number and a key below."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vaebench.reporting.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

MOST_NAMES = 6
"""Variants that are named where they stand."""
KEY_LINE, KEY_LETTERS = 0.165, 31
"""Inches of a line of the key, and letters of a name in it before it is broken."""
ASCENT = 0.76
"""Of a letter over its line, as a share of its size."""


@dataclass(frozen=True)
class Mark:
    """A variant."""

    name: str
    stance: str
    x: float
    y: float


def key_height(names: Sequence[str]) -> float:
    """Inches that the key below a plane takes."""
    return 0.0 if len(names) <= MOST_NAMES else 0.08 + KEY_LINE * sum(_lines_of_key(names))


def name_all(picture: "Picture", frame: "Axes", marks: Sequence[Mark], bottom: float) -> None:
    """Write each name, or number, at the side of its mark where it covers least; the key's foot is at `bottom`."""
    numbered = len(marks) > MOST_NAMES
    texts = [str(place + 1) if numbered else mark.name for place, mark in enumerate(marks)]
    scale = 72 / float(picture.get_dpi())
    points = np.asarray(frame.transData.transform([(mark.x, mark.y) for mark in marks])) * scale
    bounds = np.asarray(frame.get_window_extent().extents) * scale
    boxes: list[np.ndarray] = [np.concatenate([point - 4, point + 4]) for point in points]
    for text, mark, point in zip(texts, marks, points, strict=True):
        size = np.array([len(text) * style.LETTER * 72 * style.SMALL / style.TEXT, style.SMALL])
        corners = [_corner(point, size, angle) for angle in range(8)]
        costs = [
            _cost(np.concatenate([corner, corner + size]), boxes, bounds) + 0.01 * i for i, corner in enumerate(corners)
        ]
        corner = corners[int(np.argmin(costs))]
        boxes.append(np.concatenate([corner, corner + size]))
        frame.annotate(
            text,
            (mark.x, mark.y),
            xytext=tuple(corner - point),
            textcoords="offset points",
            size=style.SMALL,
            color=style.STANCES[mark.stance][0],
            ha="left",
            va="baseline",
            annotation_clip=False,
        )
    if numbered:
        _key(picture, marks, bottom)


def _corner(point: np.ndarray, size: np.ndarray, angle: int) -> np.ndarray:
    """Where a text's lower left corner is if it stands in one of eight directions from a point."""
    across, up = [(1, 0), (1, 1), (1, -1), (-1, 0), (0, 1), (0, -1), (-1, 1), (-1, -1)][angle]
    offset = np.array([across * 6.0, up * 6.0])
    anchor = np.array([{1: 0.0, 0: 0.5, -1: 1.0}[across], {1: 0.0, 0: 0.4, -1: 0.8}[up]])
    corner: np.ndarray = point + offset - anchor * size
    return corner


def _cost(box: np.ndarray, others: Sequence[np.ndarray], bounds: np.ndarray) -> float:
    """How much of a box lies on others, and how far it leaves the frame, in square points."""
    overlap = sum(
        max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
        * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
        for other in others
    )
    outside = np.maximum(0.0, [bounds[0] - box[0], bounds[1] - box[1], box[2] - bounds[2], box[3] - bounds[3]])
    return float(overlap + 8 * outside.sum())


def _lines_of_key(names: Sequence[str]) -> list[int]:
    """Lines that each row of the key, of two names, takes."""
    lines = [len(style.name_lines(name, KEY_LETTERS)) for name in names]
    half = -(-len(names) // 2)
    return [max(lines[row], *lines[row + half : row + half + 1], 1) for row in range(half)]


def _key(picture: "Picture", marks: Sequence[Mark], bottom: float) -> None:
    """Two columns, read down; numbers and names on one line of writing."""
    across, up = picture.get_size_inches()
    words: dict[str, Any] = {"size": style.SMALL, "va": "baseline"}
    heights = _lines_of_key([mark.name for mark in marks])
    half = len(heights)
    for place, mark in enumerate(marks):
        column, row = divmod(place, half)
        y = (bottom + KEY_LINE * (sum(heights) - sum(heights[:row])) - ASCENT * style.SMALL / 72) / up
        x = 0.12 + column * style.WIDTH / 2
        colour = style.STANCES[mark.stance][0]
        picture.text((x + 0.16) / across, y, str(place + 1), color=colour, ha="right", **words)
        name = "\n".join(style.name_lines(mark.name, KEY_LETTERS))
        picture.text((x + 0.23) / across, y, name, linespacing=1.05, **words)

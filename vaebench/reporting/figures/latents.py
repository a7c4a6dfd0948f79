"""Posterior means in the plane of two latents, by class and of one digit (Beaulac 2019, figs 1, 7, 9 to 12)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vaebench.reporting.figures import style
from vaebench.reporting.figures.figure import Figure
from vaebench.reporting.figures.kept import Arrays
from vaebench.reporting.figures.scene import Place
from vaebench.reporting.figures.traversals import latent_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

DIGIT = 4
"""The class that stands alone, as in Beaulac's figures."""
NO_CLASS = -1
POINTS = 600
"""Images of a variant that are shown."""
OUTSIDE = 0.005
"""Share of the codes at either end that may lie outside the frame."""
APART = 0.17
"""Inches from the middle of a class to that of another, where their numbers can both be read."""


def table(models: Mapping[str, Arrays]) -> pd.DataFrame:
    """variant, which two latents, their KL (NaN where unknown), and z_first, z_second, class of each image.

    The two of largest KL, or of largest variance where the KL of a latent is unknown.
    """
    parts = []
    for variant, arrays in models.items():
        gaussian = gaussian_latents(arrays)
        if gaussian < 2:
            continue
        codes = arrays["codes"][:POINTS].astype(np.float64)
        kl = arrays.get("latent_kl")
        importance = codes[:, :gaussian].var(0) if kl is None else kl[:gaussian]
        first, second = sorted(np.argsort(-importance, kind="stable")[:2]) if gaussian > 2 else (0, 1)
        labels = arrays.get("labels", np.full(len(codes), NO_CLASS))
        parts.append(
            pd.DataFrame(
                {
                    "variant": variant,
                    "first": first,
                    "second": second,
                    "kl_first": np.nan if kl is None else round(float(kl[first]), 4),
                    "kl_second": np.nan if kl is None else round(float(kl[second]), 4),
                    "class": labels[: len(codes)].astype(int),
                    "z_first": codes[:, first].round(3),
                    "z_second": codes[:, second].round(3),
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def gaussian_latents(arrays: Arrays) -> int:
    """How many latents of a code are numbers and no category; 0 where no codes are kept."""
    return arrays["codes"].shape[-1] - int(arrays.get("categories", 0)) if "codes" in arrays else 0


@style.settled
def draw(data: pd.DataFrame, heading: str, circles: bool) -> "Picture":
    """A row a variant, all on the same axes: every class, and the digit 4 alone. Dashed: 1 and 2 σ of N(0, I)."""
    variants = list(dict.fromkeys(data["variant"]))
    alone = DIGIT in set(data["class"]) and data["class"].nunique() > 1
    columns = 2 if alone else 1
    side = (style.WIDTH - 0.12 - 0.62 * columns) / columns if alone else 3.2
    row_height = side + 0.62 + (0.2 if len(variants) > 1 else 0.0)
    picture, _ = style.canvas(heading, row_height * len(variants))
    limits = [_limits(data["z_first"], circles), _limits(data["z_second"], circles)]
    if circles:  # which are round where both axes have one scale
        longer = max(high - low for low, high in limits)
        limits = [((low + high - longer) / 2, (low + high + longer) / 2) for low, high in limits]
    for place, variant in enumerate(variants):
        own = data[data["variant"] == variant]
        for column in range(columns):
            bottom = 0.42 + (len(variants) - 1 - place) * row_height
            frame = style.axes(picture, 0.58 + column * (side + 0.62), bottom, side, side)
            frame.set_xlim(*limits[0])
            frame.set_ylim(*limits[1])
            frame.locator_params(nbins=5)
            shown = own[own["class"] == DIGIT] if column else own
            _scatter(frame, shown, every=not column, side=side)
            _count_outside(frame, shown)
            if circles:
                _circles(frame)
            head = own.iloc[0]
            frame.set_xlabel(_axis(head["first"], head["kl_first"]), labelpad=2)
            frame.set_ylabel(_axis(head["second"], head["kl_second"]), labelpad=1)
            said = f"the {DIGIT}s" if column else "every class" if alone else ""
            frame.set_title(said, loc="left", size=style.TEXT, pad=4)
            if len(variants) > 1 and not column:
                frame.text(0, 1 + 0.27 / side, variant, transform=frame.transAxes, weight="bold", va="bottom")
    return picture


def _scatter(frame: "Axes", own: pd.DataFrame, every: bool, side: float) -> None:
    """Each class in its colour and mark, its number at the middle of it, or beside where another stands there."""
    from matplotlib.patheffects import withStroke

    classes = {int(label): own[own["class"] == label] for label in sorted(own["class"].unique())}
    for label, rows in classes.items():
        colour, marker = _look(label)
        frame.plot(
            rows["z_first"],
            rows["z_second"],
            marker,
            color=colour,
            markersize=2.6 if every else 3.2,
            markeredgewidth=0,
            alpha=0.75,
            rasterized=True,
        )
    if not every:
        return
    middles = own[own["class"] != NO_CLASS].groupby("class")[["z_first", "z_second"]].median()
    inch = np.array([np.ptp(frame.get_xlim()), np.ptp(frame.get_ylim())]) / side
    places = _apart(middles.to_numpy(), APART * inch)
    for label, (x, y) in zip(middles.index, places, strict=True):
        frame.text(
            x,
            y,
            str(label),
            size=style.TITLE,
            weight="bold",
            ha="center",
            va="center",
            clip_on=True,
            path_effects=[withStroke(linewidth=2.5, foreground=style.PAPER)],
        )


def _apart(middles: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """The same points, pushed from each other until no two are nearer than `nearest`, or for long enough; (point, 2)"""
    places = middles / nearest
    for _ in range(200):
        ways = places[:, None] - places
        distances = np.linalg.norm(ways, axis=-1) + np.eye(len(places))
        short = np.clip(1.0 - distances, 0.0, None) * (1 - np.eye(len(places)))
        if not (short > 0.01).any():
            break
        turn = np.arange(len(places))  # points on one spot part each in a direction of its own
        away = ways / np.maximum(distances, 1e-9)[..., None]
        apart = np.where(distances[..., None] > 1e-6, away, _directions(turn[:, None] - turn))
        places = places + 0.25 * (short[..., None] * apart).sum(1)
    return places * nearest


def _directions(turns: np.ndarray) -> np.ndarray:
    """Of unit length, opposite for opposite turns; (…, 2)"""
    angle = 2.4 * np.abs(turns)
    return np.sign(turns)[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _count_outside(frame: "Axes", own: pd.DataFrame) -> None:
    """Say in a corner how many points the frame does not reach."""
    (left, right), (bottom, top) = frame.get_xlim(), frame.get_ylim()
    outside = ~(own["z_first"].between(left, right) & own["z_second"].between(bottom, top))
    if outside.any():
        words = f"{int(outside.sum())} outside"
        frame.text(
            0.99, 0.01, words, transform=frame.transAxes, size=style.SMALL, color=style.SOFT, ha="right", va="bottom"
        )


def _look(label: int) -> tuple[str, str]:
    """Six colours, and another mark from the seventh class on."""
    if label == NO_CLASS:
        return style.BLUE, "o"
    return style.COLOURS[label % len(style.COLOURS)], style.MARKERS[label // len(style.COLOURS) % len(style.MARKERS)]


def _circles(frame: "Axes") -> None:
    angle = np.linspace(0, 2 * np.pi, 90)
    for radius in (1, 2):
        x, y = radius * np.cos(angle), radius * np.sin(angle)
        frame.plot(x, y, color=style.INK, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.7)


def _limits(values: pd.Series, circles: bool) -> tuple[float, float]:
    low, high = np.quantile(values.to_numpy(), [OUTSIDE, 1 - OUTSIDE])
    if circles:
        low, high = min(low, -2.1), max(high, 2.1)
    margin = 0.04 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def _axis(latent: float, kl: float) -> str:
    name = latent_name(int(latent))
    return name if np.isnan(kl) else f"{name}  (KL {kl:.2f} nats)"


def which(models: Mapping[str, Arrays]) -> str:
    """The latents that are shown, in words."""
    if all(gaussian_latents(arrays) == 2 for arrays in models.values()):
        categories = any(int(arrays.get("categories", 0)) for arrays in models.values())
        return "its two latents that are no category" if categories else "its two latents"
    known = {"latent_kl" in arrays for arrays in models.values()}
    mixed = "KL, where it is known, else of largest variance"
    return f"the two latents of largest {mixed if len(known) == 2 else 'KL' if True in known else 'variance'}"


def make(place: Place) -> Figure | None:
    data = table(place.arrays)
    if data.empty or data["variant"].nunique() < len(place.variants):
        return None
    scene = place.scene
    circles = all(scene.is_round(variant) for variant in place.variants)
    points = all(scene.is_point(variant) for variant in place.variants)
    law = "N(0, I)" if points else "the prior N(0, I)"
    caption = (
        f"Each point is the {'code' if points else 'posterior mean'} of a test image in "
        f"{which(place.arrays)}, coloured by class; a bold digit stands at the middle of its class."
        f"{f' Dashed: one and two σ of {law}.' if circles else ''} {place.seed}"
    )
    return place.figure("latents", f"Where the codes lie: {place.named}", caption, data, draw, circles=circles)

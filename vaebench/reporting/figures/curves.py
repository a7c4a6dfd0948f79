"""Training curves: the loss and every term that the objective logs, with the spread of the seeds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vaebench.reporting.figures import style
from vaebench.reporting.figures.figure import Figure
from vaebench.reporting.figures.kept import Kept
from vaebench.reporting.figures.scene import Place
from vaebench.reporting.text import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

NO_TERMS = ("epoch", "step")
OVERLAID = {"validation_loss": "loss"}
"""Drawn as a dashed line into the panel of another term."""
ELSEWHERE = "code_probability_"
"""Terms of the histogram that `code_training` shows."""
SETTLING = 0.04
"""Share of the epochs that may leave the frame, so that the others are seen."""
MOST_POINTS = 400
"""Epochs that are drawn of a long training, evenly spaced."""
COLUMNS, HEIGHT, GAP = 2, 1.35, 0.62
LEAST_EPOCHS = 3
"""To speak of the last one."""


def table(models: Sequence[Kept]) -> pd.DataFrame:
    """term, epoch, seed, value, and whether the parameters of that epoch were kept."""
    parts = []
    for kept in models:
        curves = kept.curves if kept.selected_epoch is not None else thinned(kept.curves)
        terms = [name for name in curves.columns if name not in NO_TERMS and not name.startswith(ELSEWHERE)]
        if not terms:
            continue
        long = curves.melt("epoch", terms, "term", "value").assign(seed=kept.seed)
        chosen = curves["epoch"].max() if kept.selected_epoch is None else kept.selected_epoch
        parts.append(long.assign(selected=long["epoch"] == chosen))
    if not parts:
        return pd.DataFrame(columns=["term", "epoch", "seed", "value", "selected"])
    return (
        pd.concat(parts)[["term", "epoch", "seed", "value", "selected"]].astype({"epoch": int}).reset_index(drop=True)
    )


def thinned(curves: pd.DataFrame) -> pd.DataFrame:
    """At most MOST_POINTS epochs, evenly spaced, the last one among them: of ten thousand epochs all would be megabytes
    that nobody sees. Where an epoch was selected it must stay, and the seeds differ in which, so all do."""
    step = max(1, -(-len(curves) // MOST_POINTS))
    return curves.iloc[(len(curves) - 1) % step :: step]


def title(variant: str, data: pd.DataFrame) -> str:
    """Where the loss ends, how far the seeds lie apart there, and how much was still moving."""
    losses = data[(data["term"] == "loss") & data["selected"]]["value"]
    if losses.empty:
        return f"{variant} in training"
    low, high = (number(end).replace("-", "−") for end in (losses.min(), losses.max()))
    where = f"at {low} nats" if low == high else f"between {low} and {high} nats in {len(losses)} seeds"
    return f"{variant}: the loss ends {where}{_last_step(data[data['term'] == 'loss'])}"


def _last_step(loss: pd.DataFrame) -> str:
    """What the last epoch changed, over seeds: a training that was cut short shows here."""
    means = loss.groupby("epoch")["value"].mean()
    if len(means) < LEAST_EPOCHS or means.index[-1] - means.index[-2] != 1:
        return ""
    fell = means.iloc[-2] - means.iloc[-1]
    return f", {number(abs(fell), 2)} {'below' if fell > 0 else 'above'} the epoch before" if fell else ""


@style.settled
def draw(data: pd.DataFrame, heading: str) -> "Picture":
    """A panel a term: mean over seeds, a band from the lowest to the highest, a mark at each seed's kept epoch."""
    panels = [term for term in data["term"].unique() if term not in OVERLAID]
    rows = -(-len(panels) // COLUMNS)
    columns = min(COLUMNS, len(panels))
    below = 0.42 + rows * (HEIGHT + GAP) - 0.3
    picture, _ = style.canvas(heading, below)
    width = (style.WIDTH - 0.12 - 0.56 * columns) / columns
    for place, term in enumerate(panels):
        row, column = divmod(place, columns)
        frame = style.axes(
            picture,
            left=0.54 + column * (width + 0.56),
            bottom=0.42 + (rows - 1 - row) * (HEIGHT + GAP),
            width=width,
            height=HEIGHT,
        )
        overlaid = [name for name, under in OVERLAID.items() if under == term and name in set(data["term"])]
        _panel(frame, data, term, overlaid)
        if row == rows - 1 or place + columns >= len(panels):
            frame.set_xlabel("epoch", labelpad=2)
    return picture


def _panel(frame: "Axes", data: pd.DataFrame, term: str, overlaid: Sequence[str]) -> None:
    frame.set_title(_named(term), loc="left", size=style.TEXT, pad=4)
    frame.grid(axis="y")
    limits = []
    for name, colour, dashes in ((term, style.BLUE, "-"), *((other, style.VERMILLION, "--") for other in overlaid)):
        wide = data[data["term"] == name].pivot(index="epoch", columns="seed", values="value").dropna(how="all")
        if wide.empty:
            continue
        wide = wide.iloc[:: -(-len(wide) // MOST_POINTS)]
        low, high, mean = wide.min(axis=1), wide.max(axis=1), wide.mean(axis=1)
        epochs = wide.index.to_numpy()
        if wide.shape[1] > 1:
            frame.fill_between(epochs, low, high, color=colour, alpha=0.25, linewidth=0)
        frame.plot(epochs, mean, dashes, color=colour, marker="o" if len(epochs) == 1 else None)
        late = epochs > SETTLING * epochs.max()
        limits += [low[late].min(), high[late].max()]
        chosen = data[(data["term"] == name) & data["selected"]]
        frame.plot(chosen["epoch"], chosen["value"], "v", color=colour, markersize=4.5, zorder=3)
    for other in overlaid:
        frame.text(
            1, 1.03, _named(other), color=style.VERMILLION, size=style.SMALL, ha="right", transform=frame.transAxes
        )
    bottom, top = float(np.min(limits)), float(np.max(limits))
    margin = 0.06 * (top - bottom) or 0.06 * abs(top) or 1.0
    frame.set_ylim(bottom - margin, top + margin)
    frame.set_xlim(0, max(2, data["epoch"].max()) * 1.02)
    frame.locator_params(axis="both", nbins=5)


def _named(term: str) -> str:
    return f"{term.replace('_', ' ')}, nats"


def make(place: Place) -> Figure | None:
    """Of one variant; losses of different objectives share no scale."""
    (variant,) = place.variants
    data = table(place.scene.keeping.seeds(place.source, variant))
    if data["epoch"].nunique() < 2:
        return None
    caption = (
        "Means of each epoch's steps: the line is the mean over seeds, the band reaches from the lowest seed to the "
        "highest, ▾ marks the epoch whose parameters were kept. The first epochs may lie outside the frame."
    )
    return place.figure("curves", title(f"{variant} on {place.source}", data), caption, data, draw)

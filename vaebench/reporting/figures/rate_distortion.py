"""The rate–distortion plane: KL against −reconstruction, and lines along which their sum, −ELBO, is one."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from vaebench.reporting.figures import beyond, marks, style
from vaebench.reporting.figures.figure import Figure, slug
from vaebench.reporting.figures.intervals import stances
from vaebench.reporting.figures.scene import Scene
from vaebench.reporting.runs import RowKey
from vaebench.reporting.sections import Section
from vaebench.reporting.tables import each_row
from vaebench.reporting.text import LARGE, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

COMPARABLE = ("counting", "levels")
"""Measures under which probabilities are masses."""
RATE, DISTORTION = "kl", "reconstruction"
HEIGHT = 3.3
"""Inches of the plane."""


def table(section: Section, values: dict[RowKey, dict[str, dict[int, float]]]) -> pd.DataFrame:
    """A row for each seed that has both numbers: rate = KL, distortion = −reconstruction."""
    rows: list[dict[str, Any]] = []
    for row in section.rows:
        found = values.get((section.dataset, section.view, row["variant"]), {})
        rates, distortions = found.get(RATE, {}), found.get(DISTORTION, {})
        rows += [
            {
                "variant": row["variant"],
                "stance": row["stance"],
                "seed": seed,
                "rate": rates[seed],
                "distortion": -distortions[seed],
            }
            for seed in sorted({*rates} & {*distortions})
        ]
    return pd.DataFrame(rows, columns=["variant", "stance", "seed", "rate", "distortion"])


def title(data: pd.DataFrame, where: str) -> str:
    """Whose mean bound is best, and between which rates the variants spread."""
    means = data.groupby("variant", sort=False)[["rate", "distortion"]].mean()
    best = means.sum(axis=1).idxmin()
    rates = means["rate"][beyond.not_exploded(means["rate"].to_numpy())]
    low, high = _nats(rates.min()), _nats(rates.max())
    between = f"{low} nats" if low == high else f"from {low} to {high} nats"
    return f"Rate and distortion on {where}: {best} has the best mean bound; KL {between}"


def _nats(value: float) -> str:
    return f"{value:.1f}" if abs(value) < LARGE else number(value)


@style.settled
def draw(data: pd.DataFrame, heading: str) -> "Picture":
    """Nearer to the lower left corner is a better bound; along a grey line the ELBO is the same."""
    means = data.groupby(["variant", "stance"], sort=False)[["rate", "distortion"]].mean().reset_index()
    shown = beyond.near(means["rate"].to_numpy()) & beyond.near(means["distortion"].to_numpy())
    far, means = means[~shown], means[shown]
    data = data[data["variant"].isin(means["variant"])]
    key = marks.key_height(list(means["variant"]))
    picture, _ = style.canvas(heading, HEIGHT + 0.82 + key)
    frame = style.axes(picture, 0.62, 0.72 + key, style.WIDTH - 0.62 - 0.5, HEIGHT)
    for axis, column in (("x", "rate"), ("y", "distortion")):
        low, high = data[column].min(), data[column].max()
        margin = 0.12 * (high - low) or 1.0
        getattr(frame, f"set_{axis}lim")(low - margin, high + margin)
    frame.set_xlim(left=max(0.0, frame.get_xlim()[0]))
    beyond.leave_room(frame, len(far), HEIGHT)
    _lines_of_one_elbo(frame)
    for row in each_row(means):
        colour, marker = style.STANCES[row.stance]
        own = data[data["variant"] == row.variant]
        frame.plot(own["rate"], own["distortion"], ".", color=colour, alpha=0.45, markersize=4, clip_on=False)
        frame.plot(
            row.rate, row.distortion, marker, color=colour, markeredgecolor=style.PAPER, markersize=6.5, zorder=4
        )
    frame.set_xlabel("rate: KL(q(z|x) ‖ p(z)), nats")
    frame.set_ylabel("distortion: −E ln p(x|z), nats")
    named = [marks.Mark(row.variant, row.stance, row.rate, row.distortion) for row in each_row(means)]
    marks.name_all(picture, frame, named, 0.24)
    places = {row.variant: (beyond.typographic(row.rate), beyond.typographic(row.distortion)) for row in each_row(far)}
    beyond.name_those(frame, [f"{name} at {rate}, {distortion}" for name, (rate, distortion) in places.items()])
    stances(picture, [stance for stance in style.STANCES if stance in set(data["stance"])])
    return picture


def _lines_of_one_elbo(frame: Any) -> None:
    """D = −ELBO − R for some round values of the ELBO."""
    from matplotlib.ticker import MaxNLocator

    (left, right), (bottom, top) = frame.get_xlim(), frame.get_ylim()
    for total in MaxNLocator(nbins=7).tick_values(left + bottom, right + top):
        ends = np.array([max(left, total - top), min(right, total - bottom)])
        if ends[1] <= ends[0]:
            continue
        frame.plot(ends, total - ends, color=style.RULE, linewidth=0.8, zorder=0)
        at_right = ends[1] >= right - 1e-9 * abs(right)
        frame.annotate(
            f"{-total:g}".replace("-", "−"),
            (ends[1], total - ends[1]) if at_right else (ends[0], total - ends[0]),
            xytext=(3, 0) if at_right else (3, -1),
            textcoords="offset points",
            size=style.SMALL,
            color=style.SOFT,
            ha="left",
            va="center" if at_right else "bottom",
            annotation_clip=False,
        )
    frame.text(
        1.0, 1.035, "ELBO", transform=frame.transAxes, size=style.SMALL, color=style.SOFT, ha="left", va="bottom"
    )


def make(scene: Scene, ranking: Section) -> Figure | None:
    """Where probabilities are masses: the nats of two densities share no scale."""
    data = table(ranking, scene.values)
    if ranking.measure not in COMPARABLE or data["variant"].nunique() < 2:
        return None
    heading = title(data, ranking.title)
    return Figure(
        name=slug("rate-distortion", ranking.source, ranking.given and f"given-{ranking.given}"),
        title=heading,
        caption=(
            "Large marks are means over seeds, points single seeds. Along a grey line the ELBO, −distortion − rate, is "
            "the same; nearer to the lower left corner it is better. What lies further right pays more nats for its "
            "code."
        ),
        section="overview",
        subject="",
        view=ranking.source,
        data=data,
        drawer=draw,
    )

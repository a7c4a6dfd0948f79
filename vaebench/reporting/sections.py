"""A leaderboard cut into its rankings, as the report and the terminal show them."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from vaebench.catalog.catalog import load_catalog
from vaebench.reporting.runs import wanted_columns
from vaebench.reporting.text import ABSENT, absent, with_error
from vaebench.suite.suite import Suite

RANKING = ("dataset", "view", "measure", "given")
"""What rows have in common that may be compared."""
MORE_METRICS = 3
"""Columns that the terminal shows beside the ranking metric."""
ARROWS = {"higher": " ↑", "lower": " ↓", "one": " → 1", "none": ""}


def shown(row: Any, metric: str) -> str:
    """A metric of a leaderboard's row as `mean ± half-width`, or a dash."""
    mean, low, high = row[metric], row[f"{metric}_low"], row[f"{metric}_high"]
    return ABSENT if absent(mean) else with_error(mean, low, high)


@dataclass(frozen=True)
class Section:
    """The rows of one ranking."""

    dataset: str
    view: str
    measure: str
    given: str
    rank_by: str | None
    rows: tuple[dict[str, Any], ...]

    @property
    def source(self) -> str:
        return f"{self.dataset}/{self.view}"

    @property
    def title(self) -> str:
        """What sets this ranking apart: its measure only where that is not the view's."""
        own_measure = self.measure != load_catalog().views[self.view].measure
        parts = (f", {self.measure}" if own_measure else "", f", given {self.given}" if self.given else "")
        return self.source + "".join(parts)


def sections(suite: Suite, leaderboard: pd.DataFrame) -> list[Section]:
    """The rankings of a leaderboard, in its order."""
    grouped: dict[tuple[str, ...], list[Any]] = {}
    for row in leaderboard.to_dict("records"):
        grouped.setdefault(tuple(row[name] for name in RANKING), []).append(row)
    return [
        Section(dataset, view, measure, given, suite.rank_by.get(view), tuple(rows))
        for (dataset, view, measure, given), rows in grouped.items()
    ]


def terminal_table(suite: Suite, leaderboard: pd.DataFrame) -> list[tuple[str, list[str], list[list[str]]]]:
    """(heading, columns, rows) per ranking: rank, variant, the ranking metric and the next few that the suite lists."""
    return [_short(section, wanted_columns(suite)) for section in sections(suite, leaderboard)]


def _short(section: Section, metrics: tuple[str, ...]) -> tuple[str, list[str], list[list[str]]]:
    catalog = load_catalog()
    others = [
        metric
        for metric in metrics
        if metric != section.rank_by
        and not catalog.metric_of(metric).cost
        and any(not absent(row[metric]) for row in section.rows)
    ]
    ranking = [section.rank_by] if section.rank_by else []
    columns = [*ranking, *others[:MORE_METRICS]]
    heading = f"{section.title}, ranked by {section.rank_by}" if section.rank_by else f"{section.title}, not ranked"
    rows = [
        [ABSENT if pd.isna(row["rank"]) else str(row["rank"]), row["variant"], *(shown(row, name) for name in columns)]
        for row in section.rows
    ]
    return heading, ["rank", "variant", *(with_direction(name) for name in columns)], rows


def with_direction(column: str) -> str:
    """A metric's name with the direction in which it is better."""
    return column + ARROWS[load_catalog().column(column).better]

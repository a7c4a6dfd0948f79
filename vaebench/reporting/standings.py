"""The rankings of a leaderboard as tables of the report."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vaebench.catalog.catalog import load_catalog
from vaebench.catalog.consistency import GROUPS
from vaebench.reporting.collapse import collapsed, with_badge
from vaebench.reporting.content import Cell, Code, Column, Phrase, Row, Table, badge, plain, separated
from vaebench.reporting.incidents import seeds_text
from vaebench.reporting.method import DIRECTIONS
from vaebench.reporting.runs import DONE, FAILED, MISSING, NOT_APPLICABLE, STALE, RowKey, at_cap, wanted_columns
from vaebench.reporting.sections import Section, sections, shown, with_direction
from vaebench.reporting.tables import each_row
from vaebench.reporting.text import ABSENT, absent
from vaebench.store.record import AT_CAP
from vaebench.suite.suite import Suite

WIDEST = 6
"""Columns of metrics that a table has at most."""
UNGROUPED = "other metrics"


@dataclass(frozen=True)
class Ranking:
    """One ranking as the report shows it."""

    title: str
    dataset: str
    """What the data set is."""
    view: str
    """What of it the models observe."""
    measure: str
    given: str
    """What the models are told beside the image; empty for nothing."""
    rank_by: str | None
    unit: str
    direction: str
    grouped: bool
    """Whether there were seeds enough to form groups."""
    table: Table
    others: list[tuple[str, Table]]
    """The other metrics: what a table's columns have in common, and the table."""
    collapsed: Phrase
    """The variants with a posterior of no active unit, and at which seeds; empty where there is none."""


def rankings(suite: Suite, runs: pd.DataFrame, leaderboard: pd.DataFrame) -> list[Ranking]:
    catalog = load_catalog()
    facts = _Facts.of(suite, runs)
    found = []
    for section in sections(suite, leaderboard):
        column = catalog.column(section.rank_by) if section.rank_by else None
        found.append(
            Ranking(
                title=section.title,
                dataset=catalog.datasets[section.dataset].title,
                view=catalog.views[section.view].title,
                measure=section.measure,
                given=section.given,
                rank_by=section.rank_by,
                unit=column.unit if column else "",
                direction=DIRECTIONS[column.better] if column else "",
                grouped=_is_grouped(section),
                table=_ranking_table(section, facts),
                others=_other_metrics(section, wanted_columns(suite), facts),
                collapsed=_collapsed(section, facts),
            )
        )
    return found


@dataclass(frozen=True)
class _Facts:
    """What the runs say about rows and metrics."""

    gaps: dict[RowKey, str]
    """Row → `failed: seeds 1, 3; stale: seed 4`, for the rows with a cell that is not done or not comparable."""
    applicable: set[tuple[RowKey, str]]
    """Row and metric, where the metric applies to some of its cells."""
    capped: set[tuple[RowKey, str]]
    """Row and metric, where a value shows the limit of its evaluator."""
    collapsed: dict[RowKey, str]
    places: dict[str, int]
    """Variant → which of the suite's it is, from 1 on."""

    @classmethod
    def of(cls, suite: Suite, runs: pd.DataFrame) -> "_Facts":
        asked = (run for run in each_row(runs) if run.status != NOT_APPLICABLE)
        applicable = {((run.dataset, run.view, run.variant), run.metric) for run in asked}
        capped = {((run.dataset, run.view, run.variant), run.metric) for run in each_row(runs) if at_cap(run)}
        places = {variant.name: place for place, variant in enumerate(suite.variants, start=1)}
        return cls(_gaps(suite, runs), applicable, capped, collapsed(runs), places)

    def number(self, row: dict[str, Any], metric: str) -> Cell:
        """A metric of a row as `mean ± half-width`, sorted by its mean, and whether a value in it is at its cap."""
        if (_key(row), metric) not in self.applicable:
            return Cell(NOT_APPLICABLE)
        mark = f", {AT_CAP}" if (_key(row), metric) in self.capped else ""
        return Cell(f"{shown(row, metric)}{mark}", None if absent(row[metric]) else row[metric])

    def variant(self, row: dict[str, Any]) -> Cell:
        name = row["variant"]
        return Cell(with_badge(name, self.collapsed.get(_key(row))), name, about=f"variant-{self.places[name]}")


def _ranking_table(section: Section, facts: _Facts) -> Table:
    grouped, noted = _is_grouped(section), any(_key(row) in facts.gaps for row in section.rows)
    columns = [Column("rank", numeric=True), *([Column("group", numeric=True)] if grouped else [])]
    columns += [Column("variant", names_row=True), *([_metric_column(section.rank_by)] if section.rank_by else [])]
    columns += [Column("stance"), Column("seeds", numeric=True), *([Column("not ranked because")] if noted else [])]
    rows = []
    for row in section.rows:
        cells = [_whole(row["rank"]), *([_whole(row["group"])] if grouped else []), facts.variant(row)]
        cells += [_ranking_cell(section, row, facts)] if section.rank_by else []
        cells += [badge(row["stance"])]
        reason = facts.gaps.get(_key(row), "")
        cells += [_whole(row["seeds"]), *([plain(reason)] if noted else [])]
        group = None if pd.isna(row["group"]) else int(row["group"])
        rows.append(Row(tuple(cells), group, below=section.rank_by is not None and pd.isna(row["rank"])))
    caption = Phrase(section.title, ", ranked by " if section.rank_by else ", not ranked")
    return Table(Phrase(caption, Code(section.rank_by or "")), tuple(columns), tuple(rows))


def _ranking_cell(section: Section, row: dict[str, Any], facts: _Facts) -> Cell:
    """The number that ranks, with its interval placed among those of its ranking."""
    assert section.rank_by
    cell = facts.number(row, section.rank_by)
    ends = [_interval(other, section.rank_by) for other in section.rows if not absent(other[section.rank_by])]
    if cell.key is None or len(ends) < 2:
        return cell
    least, largest = min(low for low, _, _ in ends), max(high for _, _, high in ends)
    if least == largest:
        return cell
    low, mean, high = ((end - least) / (largest - least) for end in _interval(row, section.rank_by))
    return Cell(cell.content, cell.key, (low, mean, high))


def _interval(row: dict[str, Any], metric: str) -> tuple[float, float, float]:
    mean, low, high = row[metric], row[f"{metric}_low"], row[f"{metric}_high"]
    return (mean, mean, mean) if absent(low) or absent(high) else (low, mean, high)


def _other_metrics(section: Section, metrics: Iterable[str], facts: _Facts) -> list[tuple[str, Table]]:
    """Tables of what is known beside the ranking metric, by what it is about, none of them wide."""
    by_group: dict[str, list[str]] = {group: [] for group in (*GROUPS, UNGROUPED)}
    for metric in metrics:
        if metric != section.rank_by and any(not absent(row[metric]) for row in section.rows):
            by_group[load_catalog().metric_of(metric).group or UNGROUPED].append(metric)
    return [
        (title, _metrics_table(section, title, part, facts))
        for group, members in by_group.items()
        for title, part in _parts(group, members)
    ]


def _parts(group: str, metrics: Sequence[str]) -> list[tuple[str, Sequence[str]]]:
    """The metrics of a group in as few parts as are narrow enough, of about the same width."""
    count = math.ceil(len(metrics) / WIDEST)
    width = math.ceil(len(metrics) / count) if count else WIDEST
    parts = [metrics[start : start + width] for start in range(0, len(metrics), width)]
    if len(parts) < 2:
        return [(group, part) for part in parts]
    return [(f"{group} ({place} of {len(parts)})", part) for place, part in enumerate(parts, start=1)]


def _metrics_table(section: Section, title: str, metrics: Sequence[str], facts: _Facts) -> Table:
    columns = (Column("variant", names_row=True), *(_metric_column(metric) for metric in metrics))
    rows = (
        Row(
            (facts.variant(row), *(facts.number(row, metric) for metric in metrics)),
            below=section.rank_by is not None and pd.isna(row["rank"]),
        )
        for row in section.rows
    )
    return Table(Phrase(f"{section.title}: {title}"), columns, tuple(rows))


def _metric_column(metric: str) -> Column:
    column = load_catalog().column(metric)
    return Column(with_direction(metric), numeric=True, about=f"{column.title} ({column.unit})")


def _collapsed(section: Section, facts: _Facts) -> Phrase:
    found = [
        Phrase(Code(row["variant"]), f" ({facts.collapsed[_key(row)]})")
        for row in section.rows
        if _key(row) in facts.collapsed
    ]
    return separated(found)


def _is_grouped(section: Section) -> bool:
    return any(not pd.isna(row["group"]) for row in section.rows)


def _key(row: dict[str, Any]) -> RowKey:
    return row["dataset"], row["view"], row["variant"]


def _whole(value: Any) -> Cell:
    return Cell(ABSENT) if pd.isna(value) else Cell(str(value), int(value))


def _gaps(suite: Suite, runs: pd.DataFrame) -> dict[RowKey, str]:
    worst: dict[RowKey, dict[int, str]] = {}
    order = [AT_CAP, STALE, MISSING, FAILED]
    for run in each_row(runs):
        ranks = run.metric == suite.rank_by.get(run.view)
        status = AT_CAP if ranks and run.status == DONE and at_cap(run) else run.status
        if status in order:
            seeds = worst.setdefault((run.dataset, run.view, run.variant), {})
            seeds[run.seed] = max(seeds.get(run.seed, AT_CAP), status, key=order.index)
    return {key: "; ".join(_by_status(seeds, order)) for key, seeds in worst.items()}


def _by_status(seeds: dict[int, str], order: list[str]) -> Iterable[str]:
    for status in reversed(order):
        hit = [seed for seed, found in seeds.items() if found == status]
        if hit:
            yield f"{status}: {seeds_text(hit)}"

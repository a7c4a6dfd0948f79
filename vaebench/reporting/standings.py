"""The rankings of a leaderboard as tables of the report."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vaebench.catalog.catalog import load_catalog
from vaebench.reporting.incidents import seeds_text
from vaebench.reporting.method import DIRECTIONS
from vaebench.reporting.runs import FAILED, MISSING, NOT_APPLICABLE, STALE, wanted_columns
from vaebench.reporting.sections import Section, sections, shown, with_direction
from vaebench.reporting.tables import each_row
from vaebench.reporting.text import ABSENT, Markdown, code_cell, escape_markdown, markdown_table
from vaebench.suite.suite import Suite


@dataclass(frozen=True)
class Ranking:
    """One ranking as the report shows it."""

    title: str
    dataset: str
    """What the data set is."""
    view: str
    """What of it the models observe."""
    measure: str
    rank_by: str | None
    unit: str
    direction: str
    grouped: bool
    """Whether there were seeds enough to form groups."""
    table: Markdown
    others: Markdown
    """The other metrics; empty where there are none."""


def rankings(suite: Suite, runs: pd.DataFrame, leaderboard: pd.DataFrame) -> list[Ranking]:
    catalog = load_catalog()
    gaps = _gaps(runs)
    applicable = {
        (run.dataset, run.view, run.variant, run.metric) for run in each_row(runs) if run.status != NOT_APPLICABLE
    }
    found = []
    for section in sections(suite, leaderboard):
        column = catalog.column(section.rank_by) if section.rank_by else None
        found.append(
            Ranking(
                title=section.title,
                dataset=catalog.datasets[section.dataset].title,
                view=catalog.views[section.view].title,
                measure=section.measure,
                rank_by=section.rank_by,
                unit=column.unit if column else "",
                direction=DIRECTIONS[column.better] if column else "",
                grouped=any(not pd.isna(row["group"]) for row in section.rows),
                table=_ranking_table(section, gaps, applicable),
                others=_other_metrics(section, wanted_columns(suite), applicable),
            )
        )
    return found


def _ranking_table(section: Section, gaps: dict[Any, str], applicable: set[Any]) -> Markdown:
    grouped = any(not pd.isna(row["group"]) for row in section.rows)
    noted = any(_key(row) in gaps for row in section.rows)
    columns = ["rank", *(["group"] if grouped else []), "variant", "stance"]
    columns += [with_direction(section.rank_by)] if section.rank_by else []
    columns += ["seeds", *(["not ranked because"] if noted else [])]
    rows = []
    for row in section.rows:
        cells = [
            _whole(row["rank"]),
            *([_whole(row["group"])] if grouped else []),
            code_cell(row["variant"]),
            row["stance"],
        ]
        cells += [_number_cell(row, section.rank_by, applicable)] if section.rank_by else []
        rows.append([*cells, _whole(row["seeds"]), *([escape_markdown(gaps.get(_key(row), ""))] if noted else [])])
    numeric = {"rank", "group", "seeds", *([with_direction(section.rank_by)] if section.rank_by else [])}
    return markdown_table(columns, rows, right=tuple(i for i, name in enumerate(columns) if name in numeric))


def _other_metrics(section: Section, metrics: Iterable[str], applicable: set[Any]) -> Markdown:
    shown_here = [
        metric
        for metric in metrics
        if metric != section.rank_by and any((*_key(row), metric) in applicable for row in section.rows)
    ]
    if not shown_here:
        return Markdown("")
    columns = ["variant", *(with_direction(metric) for metric in shown_here)]
    rows = [
        [code_cell(row["variant"]), *(_number_cell(row, metric, applicable) for metric in shown_here)]
        for row in section.rows
    ]
    return markdown_table(columns, rows, right=tuple(range(1, len(columns))))


def _number_cell(row: dict[str, Any], metric: str, applicable: set[Any]) -> str:
    return shown(row, metric) if (*_key(row), metric) in applicable else NOT_APPLICABLE


def _key(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["dataset"], row["view"], row["variant"]


def _whole(value: Any) -> str:
    return ABSENT if pd.isna(value) else str(value)


def _gaps(runs: pd.DataFrame) -> dict[Any, str]:
    """Row → `failed: seeds 1, 3; stale: seed 4`, for the rows with a cell that is not done."""
    worst: dict[Any, dict[int, str]] = {}
    order = [STALE, MISSING, FAILED]
    for run in each_row(runs):
        if run.status in order:
            seeds = worst.setdefault((run.dataset, run.view, run.variant), {})
            seeds[run.seed] = max(seeds.get(run.seed, STALE), run.status, key=order.index)
    return {key: "; ".join(_by_status(seeds, order)) for key, seeds in worst.items()}


def _by_status(seeds: dict[int, str], order: list[str]) -> Iterable[str]:
    for status in reversed(order):
        hit = [seed for seed, found in seeds.items() if found == status]
        if hit:
            yield f"{status}: {seeds_text(hit)}"

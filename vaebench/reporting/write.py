"""Everything that a suite leaves for people to read, from its records or, once it is published, from its tables."""

import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vaebench.reporting.contrasts import contrasts_table
from vaebench.reporting.figures.catalogue import figures, stored_figures, write_figures
from vaebench.reporting.figures.figure import Figure
from vaebench.reporting.html import render_html
from vaebench.reporting.leaderboard import leaderboard_table
from vaebench.reporting.markdown import render_markdown
from vaebench.reporting.pictures import pictures
from vaebench.reporting.report import report_content
from vaebench.reporting.runs import read_runs, runs_table
from vaebench.reporting.tables import write_table
from vaebench.store.files import StoreError, file_checksum, write_text
from vaebench.store.folders import ResultsFolder, SuiteFolder
from vaebench.suite.expansion import expand
from vaebench.suite.suite import Suite


def write_all(
    suite: Suite, results: ResultsFolder, info: Mapping[str, Any], templates: Path | None = None
) -> dict[str, str]:
    """Write runs.csv, leaderboard.csv, contrasts.csv, the figures, report.md and report.html of `suite`, each whole.

    The report's environment, which is returned, is what the records say about the machines that made them, and
    `info["environment"]`.
    """
    runs = runs_table(suite, results)
    environment = {**recorded_environment(results, runs), **(info.get("environment") or {})}
    made = functools.partial(figures, suite, results)
    _write(suite, results.suite(suite.name), runs, made, {**info, "environment": environment}, templates)
    return environment


def write_again(
    suite: Suite, folder: SuiteFolder, info: Mapping[str, Any], checksum: str, templates: Path | None = None
) -> None:
    """Write the same files anew from runs.csv and the data of the figures: a published suite has no records.

    `checksum` is that of runs.csv as it was written; empty where nobody knows it. StoreError before anything is
    touched where the table or the pictures are not those of the suite.
    """
    if not folder.runs.is_file():
        raise StoreError(f"{folder.runs}: missing, and there are no records either; run or publish the suite again")
    if checksum and file_checksum(folder.runs) != checksum:
        raise StoreError(f"{folder.runs}: not the table that was written (its checksum is another); publish it again")
    runs = read_runs(folder.runs)
    planned = {(one.cell.dataset, one.cell.view, one.variant, one.cell.seed) for one in expand(suite).planned}
    if {*zip(runs["dataset"], runs["view"], runs["variant"], runs["seed"], strict=True)} != planned:
        raise StoreError(f"{folder.runs}: not the table of this suite; publish the suite again")
    made = list(stored_figures(folder.figures))
    _write(suite, folder, runs, lambda *tables: made, info, templates)


def has_records(suite: Suite, results: ResultsFolder) -> bool:
    """Whether any of the suite's cells is in the results."""
    return any(results.cell(planned.cell.id).path.is_dir() for planned in expand(suite).planned)


def _write(
    suite: Suite,
    folder: SuiteFolder,
    runs: pd.DataFrame,
    made: Callable[[pd.DataFrame, pd.DataFrame, pd.DataFrame], Iterable[Figure]],
    info: Mapping[str, Any],
    templates: Path | None,
) -> None:
    """`made` makes the figures from runs, leaderboard and contrasts."""
    leaderboard, contrasts = leaderboard_table(suite, runs), contrasts_table(suite, runs)
    drawn = pictures(write_figures(made(runs, leaderboard, contrasts), folder.figures), folder.path)
    content = report_content(suite, runs, leaderboard, contrasts, info, drawn)
    markdown, page = render_markdown(content, templates), render_html(content, templates)
    write_table(folder.runs, runs)
    write_table(folder.leaderboard, leaderboard)
    write_table(folder.contrasts, contrasts)
    write_text(folder.report, markdown)
    write_text(folder.page, page)


def recorded_environment(results: ResultsFolder, runs: pd.DataFrame) -> dict[str, str]:
    """Name → what the records of these runs say, each different value once; and whose steps were compiled, which
    rounds in another way."""
    variants = dict(zip(runs["cell"], runs["variant"], strict=True))
    records = {cell: record for cell in variants if (record := results.cell(cell).read_record())}
    compiled = dict.fromkeys(variants[cell] for cell, record in records.items() if record.training.get("compiled"))
    environment = _joined(record.environment for record in records.values())
    return {**environment, **({"compiled": ", ".join(compiled)} if compiled else {})}


def _joined(environments: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    values: dict[str, dict[str, None]] = {}
    for environment in environments:
        for name, value in environment.items():
            for each in str(value).split(", ") if name == "plugins" else [str(value)]:
                values.setdefault(name, {})[each] = None
    return {name: ", ".join(found) for name, found in values.items()}

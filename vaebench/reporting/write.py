"""Everything that a suite leaves for people to read, from its records."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vaebench.reporting.contrasts import contrasts_table
from vaebench.reporting.figures.catalogue import figures, write_figures
from vaebench.reporting.html import render_html
from vaebench.reporting.leaderboard import leaderboard_table
from vaebench.reporting.markdown import render_markdown
from vaebench.reporting.pictures import pictures
from vaebench.reporting.report import report_content
from vaebench.reporting.runs import runs_table
from vaebench.reporting.tables import write_table
from vaebench.store.files import write_text
from vaebench.store.folders import ResultsFolder
from vaebench.suite.suite import Suite


def write_all(suite: Suite, results: ResultsFolder, info: Mapping[str, Any], templates: Path | None = None) -> None:
    """Write runs.csv, leaderboard.csv, contrasts.csv, the figures, report.md and report.html of `suite`, each whole.

    The report's environment is what the records say about the machines that made them, and `info["environment"]`.
    """
    folder = results.suite(suite.name)
    runs = runs_table(suite, results)
    leaderboard = leaderboard_table(suite, runs)
    contrasts = contrasts_table(suite, runs)
    environment = {**recorded_environment(results, runs), **(info.get("environment") or {})}
    written = write_figures(figures(suite, results, runs, leaderboard, contrasts), folder.figures)
    drawn = pictures(written, folder.path)
    content = report_content(suite, runs, leaderboard, contrasts, {**info, "environment": environment}, drawn)
    markdown, page = render_markdown(content, templates), render_html(content, templates)
    write_table(folder.runs, runs)
    write_table(folder.leaderboard, leaderboard)
    write_table(folder.contrasts, contrasts)
    write_text(folder.report, markdown)
    write_text(folder.page, page)


def recorded_environment(results: ResultsFolder, runs: pd.DataFrame) -> dict[str, str]:
    """Name → what the records of these runs say, each different value once."""
    records = (results.cell(cell).read_record() for cell in dict.fromkeys(runs["cell"]))
    return _joined(record.environment for record in records if record)


def _joined(environments: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    values: dict[str, dict[str, None]] = {}
    for environment in environments:
        for name, value in environment.items():
            values.setdefault(name, {})[str(value)] = None
    return {name: ", ".join(found) for name, found in values.items()}

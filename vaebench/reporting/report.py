"""report.md: the records of a suite, rendered through templates that a user may replace."""

import re
import traceback
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from vaebench.reporting import statistics
from vaebench.reporting.cards import cards
from vaebench.reporting.incidents import impossible, not_applicable, remarks, unfinished
from vaebench.reporting.method import measures
from vaebench.reporting.questions import questions
from vaebench.reporting.standings import rankings
from vaebench.reporting.text import Markdown, code, escape_markdown, one_line, setting
from vaebench.suite.suite import Suite

PACKAGE = Path(__file__).resolve().parent.parent
TEMPLATE = "report.md.jinja"


class ReportError(Exception):
    """Templates that cannot be rendered; the message names the file and what is wrong in it."""


def render_report(
    suite: Suite,
    runs: pd.DataFrame,
    leaderboard: pd.DataFrame,
    contrasts: pd.DataFrame,
    info: Mapping[str, Any],
    templates: Path | None = None,
) -> str:
    """The report as Markdown.

    `info` may hold `command` (what reproduces the suite) and `environment` (name → value). Templates are taken from
    the folder `templates` where it has them, else from those that vaebench ships.
    """
    environment = _environment(templates)
    try:
        text = environment.get_template(TEMPLATE).render(_content(suite, runs, leaderboard, contrasts, info))
    except TemplateError as error:
        raise ReportError(f"{_place(error)}: {error}") from error
    return _tidy(text)


def shipped_templates() -> Path:
    """The packaged templates, or those beside the package in a checkout."""
    packaged = PACKAGE / "shipped" / "report_templates"
    return packaged if packaged.is_dir() else PACKAGE.parent / "report_templates"


def _environment(templates: Path | None) -> SandboxedEnvironment:
    """Every expression of a template is escaped, unless it is Markdown already."""
    if templates is not None and not templates.is_dir():
        raise ReportError(f"{templates}: no folder of templates")
    folders = [shipped_templates()] if templates is None else [templates, shipped_templates()]
    environment = SandboxedEnvironment(
        loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]),
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markdown) else escape_markdown(str(value)),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"code": code, "ready": ready}
    return environment


def ready(text: str) -> Markdown:
    """For text that a template has put together itself, or that stands in a code block: one line, not escaped again."""
    return Markdown(one_line(text))


def _content(
    suite: Suite, runs: pd.DataFrame, leaderboard: pd.DataFrame, contrasts: pd.DataFrame, info: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that a template may name."""
    return {
        "suite": {field.name: getattr(suite, field.name) for field in fields(suite)},
        "counts": {
            "variants": leaderboard["variant"].nunique(),
            "views": len(leaderboard[["dataset", "view"]].drop_duplicates()),
            "seeds": len(suite.seeds),
            "models": int((leaderboard["seeds"] + leaderboard["failed"]).sum()),
            "done": int(leaderboard["seeds"].sum()),
        },
        "recipe": setting(suite.recipe),
        "statistics": {name.lower(): value for name, value in vars(statistics).items() if name.isupper()},
        "questions": questions(suite, runs, contrasts),
        "primary_tests": int(contrasts["p_holm"].notna().sum()),
        "rankings": rankings(suite, runs, leaderboard),
        "cards": cards(suite),
        "measures": measures(suite, runs),
        "unfinished": unfinished(runs),
        "not_applicable": not_applicable(runs),
        "impossible": impossible(suite),
        "remarks": remarks(runs),
        "command": info.get("command") or f"vaebench run {suite.file or suite.name}",
        "environment": dict(info.get("environment") or {}),
    }


def _place(error: TemplateError) -> str:
    """`report.md.jinja:12`, from the frames that Jinja rewrites to point into the template."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(".jinja")]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else TEMPLATE


def _tidy(text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip() + "\n"

"""What a report says: the records of a suite, put in the order of reading, for templates that a user may replace."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import pandas as pd

from vaebench.reporting import statistics
from vaebench.reporting.cards import cards
from vaebench.reporting.commands import row_commands
from vaebench.reporting.documents import shown
from vaebench.reporting.galleries import by_subject, of_questions
from vaebench.reporting.incidents import impossible, not_applicable, remarks, unfinished
from vaebench.reporting.method import measures
from vaebench.reporting.pictures import Picture
from vaebench.reporting.published import judged, published, summary
from vaebench.reporting.questions import questions, verdicts
from vaebench.reporting.runs import unfinished as incomplete
from vaebench.reporting.standings import rankings
from vaebench.reporting.text import counted, setting
from vaebench.suite.suite import Suite


def report_content(
    suite: Suite,
    runs: pd.DataFrame,
    leaderboard: pd.DataFrame,
    contrasts: pd.DataFrame,
    info: Mapping[str, Any],
    pictures: Iterable[Picture] = (),
) -> dict[str, Any]:
    """Everything that a template may name.

    `info` may hold `command` (what reproduces the suite) and `environment` (name → value).
    """
    asked, found = questions(suite, runs, contrasts), list(pictures)
    held = judged(suite, runs)
    command = info.get("command") or f"vaebench run {suite.file or suite.name}"
    return {
        "suite": {field.name: getattr(suite, field.name) for field in fields(suite)},
        "counts": _counts(suite, runs, leaderboard),
        "recipe": setting(suite.recipe),
        "statistics": {name.lower(): value for name, value in vars(statistics).items() if name.isupper()},
        "questions": asked,
        "verdicts": verdicts(asked),
        "primary_tests": counted(int(contrasts["p_holm"].notna().sum()), "primary test"),
        "published": {"table": published(held), "summary": summary(held)} if held else None,
        "documents": shown(suite.figures, asked, held, found),
        "rankings": rankings(suite, runs, leaderboard),
        "cards": cards(suite),
        "pictures": {
            "overview": [picture for picture in found if picture.section == "overview"],
            "contrast": of_questions(asked, found),
            "variant": by_subject(found, "variant", (variant.name for variant in suite.variants)),
        },
        "measures": measures(suite, runs),
        "unfinished": unfinished(runs),
        "not_applicable": not_applicable(runs),
        "impossible": impossible(suite),
        "remarks": remarks(runs),
        "command": command,
        "commands": row_commands(suite, command),
        "environment": dict(info.get("environment") or {}),
    }


def _counts(suite: Suite, runs: pd.DataFrame, leaderboard: pd.DataFrame) -> dict[str, Any]:
    """Sizes of a suite in words, and how many of its models are complete; rows may share a model."""
    models, not_done = runs["cell"].nunique(), len(incomplete(runs))
    return {
        "variants": counted(leaderboard["variant"].nunique(), "variant"),
        "views": counted(len(leaderboard[["dataset", "view"]].drop_duplicates()), "data set view"),
        "seeds": counted(len(suite.seeds), "seed"),
        "models": counted(models, "model"),
        "done": models - not_done,
        "not_done": not_done,
    }

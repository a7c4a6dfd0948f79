"""What went wrong, does not apply or must be known, each said once however many runs it concerns."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vaebench.reporting.runs import DONE, FAILED, MISSING, NOT_APPLICABLE, STALE
from vaebench.reporting.tables import each_row
from vaebench.reporting.text import Markdown, code_cell, listed
from vaebench.suite.expansion import expand
from vaebench.suite.suite import Suite


@dataclass(frozen=True)
class Incident:
    """The same thing said of several runs."""

    status: str
    where: Markdown
    metrics: Markdown
    seeds: str
    """Empty where it holds for every seed."""
    note: str


def unfinished(runs: pd.DataFrame) -> list[Incident]:
    """What failed, is missing or stale, each said once however many seeds and metrics it concerns."""
    return _incidents(runs, lambda run: run.status in (FAILED, MISSING, STALE))


def not_applicable(runs: pd.DataFrame) -> list[Incident]:
    return _incidents(runs, lambda run: run.status == NOT_APPLICABLE)


def remarks(runs: pd.DataFrame) -> list[Incident]:
    """What must be known to read some of the numbers."""
    return _incidents(runs, lambda run: run.status == DONE and run.note)


def impossible(suite: Suite) -> list[tuple[Markdown, str]]:
    """The pairs of variant and data set view that were not planned, by reason."""
    by_reason: dict[str, dict[str, list[str]]] = {}
    for pair in expand(suite).impossible:
        by_reason.setdefault(pair.reason, {}).setdefault(pair.source, []).append(pair.variant)
    return [(_places(places, everywhere={}), reason) for reason, places in by_reason.items()]


def seeds_text(seeds: Iterable[int]) -> str:
    ordered = sorted(seeds)
    return ("seed " if len(ordered) == 1 else "seeds ") + ", ".join(map(str, ordered))


def _incidents(runs: pd.DataFrame, concerns: Callable[[Any], Any]) -> list[Incident]:
    """The runs that `concerns` picks, grouped by what is said of which metrics and seeds."""
    seeds = sorted(set(runs["seed"]))
    metrics = _asked(runs)
    everywhere = _variants_by_source(runs)
    by_cell: dict[tuple[Any, ...], dict[str, None]] = {}
    for run in each_row(runs):
        if concerns(run):
            by_cell.setdefault((run.status, run.note, run.dataset, run.view, run.variant, run.seed), {})[run.metric] = (
                None
            )
    by_row: dict[tuple[Any, ...], list[int]] = {}
    for (*row, seed), names in by_cell.items():
        by_row.setdefault((*row, tuple(names)), []).append(seed)
    by_text: dict[tuple[Any, ...], dict[str, list[str]]] = {}
    for (status, text, dataset, view, variant, names), hit in by_row.items():
        all_metrics = set(names) >= metrics[dataset, view, variant] and status != NOT_APPLICABLE
        group = (status, text, () if all_metrics else names, tuple(hit))
        by_text.setdefault(group, {}).setdefault(f"{dataset}/{view}", []).append(variant)
    return [
        Incident(
            status=status,
            where=_places(places, everywhere),
            metrics=listed([code_cell(name) for name in names]) if names else Markdown("every metric"),
            seeds="" if list(hit) == seeds else seeds_text(hit),
            note=text,
        )
        for (status, text, names, hit), places in by_text.items()
    ]


def _asked(runs: pd.DataFrame) -> dict[Any, set[str]]:
    """Row → the metrics that apply to it."""
    found: dict[Any, set[str]] = {}
    for run in each_row(runs):
        metrics = found.setdefault((run.dataset, run.view, run.variant), set())
        if run.status != NOT_APPLICABLE:
            metrics.add(run.metric)
    return found


def _variants_by_source(runs: pd.DataFrame) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for run in each_row(runs):
        found.setdefault(f"{run.dataset}/{run.view}", set()).add(run.variant)
    return found


def _places(places: dict[str, list[str]], everywhere: dict[str, set[str]]) -> Markdown:
    """`digits/grey` (vae, vae-mse); without names where it holds for every variant."""
    texts = []
    for source, variants in places.items():
        complete = len(everywhere.get(source, ())) > 1 and set(variants) == everywhere[source]
        names = "every variant" if complete else ", ".join(code_cell(name) for name in variants)
        texts.append(f"{code_cell(source)} ({names})")
    return listed([Markdown(text) for text in texts])

"""What every metric means and how it was taken."""

from dataclasses import dataclass

import pandas as pd

from vaebench.catalog.catalog import load_catalog
from vaebench.reporting.runs import wanted_columns
from vaebench.reporting.tables import each_row
from vaebench.reporting.text import Markdown, code, listed
from vaebench.suite.suite import Suite

DIRECTIONS = {
    "higher": "higher is better",
    "lower": "lower is better",
    "one": "nearest 1 is better",
    "none": "neither direction is better",
}


@dataclass(frozen=True)
class Measure:
    """One metric family: what it means and how it was taken."""

    name: str
    title: str
    equation: str
    columns: list[tuple[str, str, str, str]]
    """Name, title, unit, direction of every number that was asked for."""
    protocols: list[tuple[str, Markdown]]
    """Protocol, and the variants it holds for; no variants where it holds for all."""


def measures(suite: Suite, runs: pd.DataFrame) -> list[Measure]:
    """The metric families of a suite, in its order."""
    catalog = load_catalog()
    columns = wanted_columns(suite)
    protocols = _protocols(runs)
    found = []
    for family in suite.families:
        metric = catalog.metrics[family]
        named = [(name, metric.column(name)) for name in columns if catalog.metric_of(name) is metric]
        found.append(
            Measure(
                name=family,
                title=metric.title,
                equation=metric.equation,
                columns=[(name, column.title, column.unit, DIRECTIONS[column.better]) for name, column in named],
                protocols=protocols.get(family, []),
            )
        )
    return found


def _protocols(runs: pd.DataFrame) -> dict[str, list[tuple[str, Markdown]]]:
    """Family → its protocols, with the variants of each where there are several."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for run in each_row(runs):
        if run.protocol:
            protocols = found.setdefault(run.metric.partition(".")[0], {})
            protocols.setdefault(run.protocol, {})[run.variant] = None
    return {
        family: [
            (protocol, listed([code(name) for name in variants]) if len(protocols) > 1 else Markdown(""))
            for protocol, variants in protocols.items()
        ]
        for family, protocols in found.items()
    }

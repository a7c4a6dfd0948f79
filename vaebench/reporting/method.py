"""What every metric means and how it was taken."""

from dataclasses import dataclass

import pandas as pd

from vaebench.catalog.catalog import load_catalog
from vaebench.reporting.content import Code, Phrase, listed
from vaebench.reporting.runs import wanted_columns
from vaebench.reporting.tables import each_row
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
    protocol: str
    """What every variant was asked; empty for costs, which are counted and not estimated."""
    additions: list[tuple[str, Phrase]]
    """What stands in the protocol of some variants only, and which."""


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
                protocol=" ".join(_shared(protocols.get(family, {}))),
                additions=_additions(protocols.get(family, {})),
            )
        )
    return found


def _protocols(runs: pd.DataFrame) -> dict[str, dict[str, list[str]]]:
    """Family → protocol → the variants that were scored by it."""
    found: dict[str, dict[str, list[str]]] = {}
    for run in each_row(runs):
        if run.protocol:
            variants = found.setdefault(run.metric.partition(".")[0], {}).setdefault(run.protocol, [])
            if run.variant not in variants:
                variants.append(run.variant)
    return found


def _shared(protocols: dict[str, list[str]]) -> list[str]:
    """The entries that stand in all of the protocols, in their order."""
    lists = [protocol.split() for protocol in protocols]
    return [entry for entry in lists[0] if all(entry in other for other in lists)] if lists else []


def _additions(protocols: dict[str, list[str]]) -> list[tuple[str, Phrase]]:
    shared = _shared(protocols)
    extras = (
        (" ".join(e for e in protocol.split() if e not in shared), names) for protocol, names in protocols.items()
    )
    return [(extra, listed([Code(name) for name in names])) for extra, names in extras if extra]

"""What is asked of one model outside a suite: metrics, as a suite lists them, on a data set view, under a budget."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vaebench.catalog.catalog import Catalog, Metric, load_catalog
from vaebench.catalog.parameters import shown
from vaebench.store.record import MetricRequest
from vaebench.suite.conditions import SEED
from vaebench.suite.expansion import not_applicable
from vaebench.suite.mistakes import Findings, Path
from vaebench.suite.values import checked_values

Listed = str | Mapping[str, Any]
Metrics = Listed | Sequence[Listed]
"""Names of families or of their parts; {name: {parameter: value}} changes the budget."""


def requests(dataset: str, metrics: Metrics, seed: int, budget: str, findings: Findings) -> list[MetricRequest]:
    """One request a metric family; every mistake goes to `findings`."""
    catalog = load_catalog()
    if dataset not in catalog.sources:
        findings.unknown(("dataset",), f"{shown(dataset)} is no data set view", str(dataset), catalog.sources)
    wrong_seed = SEED.mistake(seed)
    if wrong_seed is not None:
        findings.add(("seed",), wrong_seed)
    if budget not in catalog.budgets:
        findings.unknown(("budget",), f"{shown(budget)} is no budget", budget, catalog.budgets)
    changes: dict[str, dict[str, Any]] = {}
    for path, name, overrides in _entries(metrics):
        if name not in catalog.metrics and name not in catalog.columns:
            findings.unknown(path, f"{shown(name)} is no metric", name, (*catalog.metrics, *catalog.columns))
            continue
        family = catalog.metric_of(name)
        reason = None if findings.touches(("dataset",)) else not_applicable(name, None, dataset)
        if reason is not None:
            findings.add(path, reason)
        if not isinstance(overrides, Mapping):
            findings.add((*path, name), f"must be a mapping such as {{samples: 100}}, is {shown(overrides)}")
            continue
        valid = checked_values(dict(overrides), (*path, name), f"metric {family.name}", family.parameters, findings)
        changes.setdefault(family.name, {}).update(valid)
    if not changes and not findings.touches(("metrics",)):
        findings.add(("metrics",), "names no metric")
    if findings.touches(()):
        return []
    return [MetricRequest(name, _protocol(catalog, name, budget, changes[name], seed)) for name in changes]


def _entries(metrics: Metrics) -> Iterator[tuple[Path, str, Any]]:
    """Where each entry stands, the metric that it names, and what it changes of the budget."""
    if isinstance(metrics, str | Mapping):
        metrics = [metrics]
    for place, entry in enumerate(metrics):
        named = entry.items() if isinstance(entry, Mapping) else [(entry, {})]
        for name, overrides in named:
            yield ("metrics", place), name, overrides


def _protocol(catalog: Catalog, name: str, budget: str, changes: dict[str, Any], seed: int) -> dict[str, Any]:
    """As in a suite; a model that nobody described is sampled as the catalog's default says."""
    metric: Metric = catalog.metrics[name]
    if metric.cost:
        return {}
    generation = {f"generation_{key}": catalog.generation[key].default for key in ("prior", "around")}
    return {
        **catalog.budgets[budget][name],
        **changes,
        "split": changes.get("split", "test"),
        "seed": seed,
        **(generation if metric.generates else {}),
    }

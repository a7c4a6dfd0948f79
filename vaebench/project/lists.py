"""What the catalog has, by kind and by name."""

from collections.abc import Callable, Mapping
from typing import Any

from vaebench.catalog.catalog import load_catalog
from vaebench.project.settings import known
from vaebench.suite.loading import load_suite

LISTED: dict[str, Callable[[], Mapping[str, str]]] = {
    "variants": lambda: {name: entry.mapping["title"] for name, entry in load_catalog().variants.items()},
    "datasets": lambda: {name: entry.title for name, entry in load_catalog().datasets.items()},
    "metrics": lambda: _metric_titles(),
    "recipes": lambda: load_catalog().recipe_titles,
    "budgets": lambda: load_catalog().budget_titles,
    "views": lambda: {name: view.title for name, view in load_catalog().views.items()},
    "networks": lambda: _part_titles("network"),
    "likelihoods": lambda: _part_titles("likelihood"),
    "posteriors": lambda: _part_titles("posterior"),
    "priors": lambda: _part_titles("prior"),
    "objectives": lambda: _part_titles("objective"),
    "suites": lambda: _suite_titles(),
}
"""What can be listed → name and title of each."""


def _part_titles(kind: str) -> dict[str, str]:
    return {name: part.title for name, part in load_catalog().parts[kind].items()}


def listing(kind: str) -> Mapping[str, str]:
    known("list", kind, LISTED)
    return LISTED[kind]()


def describe(name: str) -> list[dict[str, Any]]:
    """Everything in the catalog that has this name; of one of a metric's numbers, the metric."""
    from vaebench.catalog import describe as descriptions

    catalog = load_catalog()
    if name in catalog.columns:
        name = catalog.metric_of(name).name
    found = descriptions.describe(catalog, name)
    if not found:
        known("such thing:", name, descriptions.names(catalog))
    return [_card(entry) for entry in found]


def _card(entry: dict[str, Any]) -> dict[str, Any]:
    """What the documentation's page says of it; what the catalog says, where there is no such page."""
    if entry["what"] == "variant":
        from vaebench.reporting.catalogue_page import content
    elif entry["what"] == "metric":
        from vaebench.reporting.metrics_page import content
    else:
        return entry
    return {"what": entry["what"], "name": entry["name"], **content(entry["name"])}


def _metric_titles() -> dict[str, str]:
    """Title of each family, and the numbers behind its dot."""
    metrics = load_catalog().metrics.values()
    parts = {metric.name: ", ".join(f".{part}" for part in metric.parts) for metric in metrics}
    return {metric.name: metric.title + (f" ({parts[metric.name]})" if metric.parts else "") for metric in metrics}


def _suite_titles() -> dict[str, str]:
    from vaebench.suite.loading import shipped

    return {name: load_suite(path).description for name, path in shipped().items()}

"""Anything that the catalog knows, as plain content for a person or a program to read."""

from collections.abc import Iterator
from typing import Any

from vaebench.catalog.catalog import KINDS, Catalog
from vaebench.catalog.library import Library
from vaebench.catalog.parameters import Parameter

NOT_SHOWN = {"implementation", "name", "kind"}


def describe(catalog: Catalog, name: str) -> list[dict[str, Any]]:
    """Every thing of this name: `what` it is, `name`, and what there is to say; empty if there is none."""
    return [entry for entry in everything(catalog) if entry["name"] == name]


def names(catalog: Catalog) -> list[str]:
    return list(dict.fromkeys(entry["name"] for entry in everything(catalog)))


def everything(catalog: Catalog) -> Iterator[dict[str, Any]]:
    """Variants (what their own entry says), data sets, views, metrics, recipes, budgets, profiles, parts, libraries."""
    for name, entry in catalog.variants.items():
        yield {"what": "variant", "name": name, **entry.mapping}
    for dataset in catalog.datasets.values():
        yield {"what": "data set", "name": dataset.name, **_fields(dataset)}
    for view in catalog.views.values():
        yield {"what": "view", "name": view.name, **_fields(view)}
    for metric in catalog.metrics.values():
        parts = {column: catalog.column(column).title for column in metric.columns}
        fields = {**_fields(metric), "columns": parts, "protocol": _parameters(metric.parameters)}
        yield {"what": "metric", "name": metric.name, **_without(fields, "parts", "parameters")}
    for name, recipe in catalog.recipes.items():
        yield {"what": "recipe", "name": name, "title": catalog.recipe_titles[name], **recipe}
    for name, budget in catalog.budgets.items():
        yield {"what": "budget", "name": name, "title": catalog.budget_titles[name], **budget}
    for profile in catalog.profiles.values():
        yield {"what": "profile", "name": profile.name, **_fields(profile)}
    for kind in KINDS:
        for part in catalog.parts[kind].values():
            fields = {**_fields(part), "parameters": _parameters(part.parameters)}
            yield {"what": kind, "name": part.name, **_without(fields)}
    for library in catalog.libraries.values():
        yield {"what": "library", "name": library.name, **_of_library(library)}


def _of_library(library: Library) -> dict[str, Any]:
    trained = {
        f"{model.name}, on {' or '.join(model.needs['likelihood'])}": ", ".join(
            f"{place} {' or '.join(map(str, values))}" for place, values in model.needs.items() if place != "likelihood"
        )
        for model in library.models
    }
    read = {
        kind: f"posterior {reading.posterior}, prior {reading.prior}, squared error {reading.squared_error}"
        for kind, reading in library.reads.items()
    }
    fields = {key: getattr(library, key) for key in ("title", "home", "note", "views", "follows", "honours")}
    return {**fields, "scores what is saved of": read, "trains": trained}


def _parameters(parameters: dict[str, Parameter]) -> dict[str, str]:
    return {name: f"default {parameter.default}; {parameter.help}" for name, parameter in parameters.items()}


def _fields(thing: Any) -> dict[str, Any]:
    return _without({name: value for name, value in vars(thing).items() if value not in (None, "", (), {}, False)})


def _without(fields: dict[str, Any], *more: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in NOT_SHOWN and name not in more and value != {}}

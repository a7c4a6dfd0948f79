"""Does the catalog contradict itself? Every name that one entry uses must be another entry's name."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaebench.catalog.catalog import Catalog, Part
    from vaebench.catalog.parameters import Parameter

BETTER = ("higher", "lower", "one", "none")
STANCES = ("theory", "practice", "baseline")
MEASURES = ("counting", "density", "levels")
GROUPS = ("likelihoods", "codes", "samples", "claims", "cost")
"""Of metrics, in the order in which a report shows them."""
VARIANT_KEYS = (
    "extends",
    "title",
    "stance",
    "source",
    "departs",
    "mended",
    "fixed",
    "latent",
    "conditional",
    "generation",
)


def contradictions(catalog: "Catalog") -> list[str]:
    """One line for each contradiction; empty for a sound catalog."""
    return [
        *_in_parameters(catalog),
        *_in_parts(catalog),
        *_in_datasets_and_views(catalog),
        *_in_recipes_and_budgets(catalog),
        *_in_metrics(catalog),
        *_in_variants(catalog),
        *_in_practised(catalog),
    ]


def _in_parameters(catalog: "Catalog") -> Iterator[str]:
    groups: dict[str, Iterable[Parameter]] = {
        "composition": [*catalog.scalars.values(), *catalog.generation.values()],
        "recipe": catalog.recipe_parameters.values(),
        **{f"metric {metric.name}": metric.parameters.values() for metric in catalog.metrics.values()},
        **{f"{part.kind} {part.name}": part.parameters.values() for part in _all_parts(catalog)},
    }
    for owner, parameters in groups.items():
        for parameter in parameters:
            mistake = parameter.mistake(parameter.default)
            if mistake:
                yield f"{owner}: default of {parameter.name} {mistake}"


def _in_parts(catalog: "Catalog") -> Iterator[str]:
    for part in _all_parts(catalog):
        where = f"{part.kind} {part.name}"
        yield from _unknown(f"{where}: view", part.views or (), catalog.views)
        yield from _unknown(f"{where}: view", part.by_view or (), catalog.views)
        yield from _unknown(f"{where}: measure", [part.measure] if part.measure else [], MEASURES)
        yield from _unknown(f"{where}: stand-in", (part.by_view or {}).values(), catalog.parts[part.kind])
        yield from _unknown(f"{where}: required kind", part.requires, catalog.parts)
        for kind, names in part.requires.items():
            yield from _unknown(f"{where}: required {kind}", names, catalog.parts.get(kind, {}))


def _in_datasets_and_views(catalog: "Catalog") -> Iterator[str]:
    for dataset in catalog.datasets.values():
        yield from _unknown(f"dataset {dataset.name}: view", dataset.views, catalog.views)
        if dataset.side is not None and dataset.side**2 != dataset.pixels:
            yield f"dataset {dataset.name}: {dataset.pixels} pixels are no square of side {dataset.side}"
    for view in catalog.views.values():
        yield from _unknown(f"view {view.name}: rank_by", [view.rank_by] if view.rank_by else [], catalog.columns)
        yield from _unknown(f"view {view.name}: ranked_as", [view.ranked_as] if view.ranked_as else [], catalog.views)
        yield from _unknown(f"view {view.name}: measure", [view.measure], MEASURES)


def _in_recipes_and_budgets(catalog: "Catalog") -> Iterator[str]:
    for name, recipe in catalog.recipes.items():
        yield from _wrong_values(f"recipe {name}", recipe, catalog.recipe_parameters)
    for name, budget in catalog.budgets.items():
        for metric, protocol in budget.items():
            yield from _wrong_values(f"budget {name}: {metric}", protocol, catalog.metrics[metric].parameters)
    for profile in catalog.profiles.values():
        yield from _unknown(f"profile {profile.name}: recipe", [profile.recipe], catalog.recipes)
        yield from _unknown(f"profile {profile.name}: budget", [profile.budget], catalog.budgets)


def _in_metrics(catalog: "Catalog") -> Iterator[str]:
    for metric in catalog.metrics.values():
        where = f"metric {metric.name}"
        yield from _unknown(f"{where}: view", metric.views or (), catalog.views)
        yield from _unknown(f"{where}: group", [metric.group] if metric.group else [], GROUPS)
        if not metric.columns:
            yield f"{where}: neither head nor parts, so it has no number"
        for column in metric.columns:
            yield from _unknown(f"{where}: better", [metric.column(column).better], BETTER)


def _in_variants(catalog: "Catalog") -> Iterator[str]:
    for name, variant in catalog.variants.items():
        where = f"variant {name}"
        yield from _unknown(f"{where}: key", variant.mapping, (*VARIANT_KEYS, *catalog.parts))
        yield from _unknown(f"{where}: extends", [variant.extends] if variant.extends else [], catalog.variants)
        yield from _unknown(f"{where}: fixed", variant.mapping.get("fixed", ()), catalog.parts)
        yield from _unknown(f"{where}: stance", [variant.mapping.get("stance", "none given")], STANCES)
        if "title" not in variant.mapping:
            yield f"{where}: no title"
        if _goes_in_a_circle(catalog, name):
            yield f"{where}: extends goes in a circle"


def _in_practised(catalog: "Catalog") -> Iterator[str]:
    choices = [f"generation.{name}" for name in catalog.generation]
    choices += [f"recipe.{name}" for name in catalog.recipe_parameters]
    yield from _unknown("practised", catalog.practised, (*catalog.variants, *catalog.columns, *choices))


def _goes_in_a_circle(catalog: "Catalog", name: str) -> bool:
    seen: set[str] = set()
    current: str | None = name
    while current in catalog.variants:
        if current in seen:
            return True
        seen.add(current)
        current = catalog.variants[current].extends
    return False


def _all_parts(catalog: "Catalog") -> list["Part"]:
    return [part for parts in catalog.parts.values() for part in parts.values()]


def _wrong_values(where: str, values: dict[str, Any], parameters: "dict[str, Parameter]") -> Iterator[str]:
    yield from _unknown(f"{where}: parameter", values, parameters)
    for name, parameter in parameters.items():
        mistake = parameter.mistake(values.get(name))
        if mistake:
            yield f"{where}: {name} {mistake}"


def _unknown(where: str, names: Iterable[str], valid: Iterable[str]) -> Iterator[str]:
    valid = tuple(valid)
    for name in names:
        if name not in valid:
            yield f"{where} {name!r} is not one of {', '.join(valid)}"

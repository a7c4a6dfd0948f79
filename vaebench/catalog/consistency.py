"""Does the catalog contradict itself? Every name that one entry uses must be another entry's name."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from vaebench.catalog.library import OURS
from vaebench.catalog.names import enumerated, nearest
from vaebench.catalog.parameters import shown

if TYPE_CHECKING:
    from vaebench.catalog.catalog import Catalog, Part
    from vaebench.catalog.parameters import Parameter

BETTER = ("higher", "lower", "one", "none")
STANCES = ("theory", "practice", "baseline")
MEASURES = ("counting", "density", "levels")
MOST_NAMES = 20
"""That a message lists."""
NEEDS = {"spread": "q is a point", "category": "q(z|x) has no categorical code"}
"""What a metric may need of q(z|x) → what is said of a q without it."""
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
    "trainer",
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
        *_in_libraries(catalog),
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
        yield from _unknown(f"{where}: what it has", part.has or (), NEEDS)
        yield from _unknown(f"{where}: measure", [part.measure] if part.measure else [], MEASURES)
        yield from _unknown(f"{where}: stand-in", (part.by_view or {}).values(), catalog.parts[part.kind])
        yield from _unknown(f"{where}: required kind", part.requires, catalog.parts)
        for kind in set(part.requires) & set(catalog.parts):
            yield from _unknown(f"{where}: required {kind}", part.requires[kind], catalog.parts[kind])


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
        yield from _missing(f"recipe {name}", _said(catalog.recipe_parameters), recipe)
        yield from _wrong_values(f"recipe {name}", recipe, catalog.recipe_parameters)
    for name, budget in catalog.budgets.items():
        for metric, protocol in budget.items():
            yield from _missing(f"budget {name}: {metric}", _said(catalog.metrics[metric].parameters), protocol)
            yield from _wrong_values(f"budget {name}: {metric}", protocol, catalog.metrics[metric].parameters)
    for profile in catalog.profiles.values():
        yield from _unknown(f"profile {profile.name}: recipe", [profile.recipe], catalog.recipes)
        yield from _unknown(f"profile {profile.name}: budget", [profile.budget], catalog.budgets)


def _in_metrics(catalog: "Catalog") -> Iterator[str]:
    for metric in catalog.metrics.values():
        where = f"metric {metric.name}"
        yield from _unknown(f"{where}: view", metric.views or (), catalog.views)
        yield from _unknown(f"{where}: effort", metric.effort, metric.parameters)
        yield from _unknown(f"{where}: group", [metric.group] if metric.group else [], GROUPS)
        if not metric.columns:
            yield f"{where}: neither head nor parts, so it has no number"
        for column in metric.columns:
            yield from _unknown(f"{where}: better", [metric.column(column).better], BETTER)
            yield from _unknown(f"{where}: needs", filter(None, (metric.needs, metric.column(column).needs)), NEEDS)


def _in_variants(catalog: "Catalog") -> Iterator[str]:
    for name, variant in catalog.variants.items():
        where = f"variant {name}"
        yield from _unknown(f"{where}: key", variant.mapping, (*VARIANT_KEYS, *catalog.parts))
        if variant.extends and variant.extends not in catalog.variants:
            yield from _unknown(f"{where}: extends", [variant.extends], catalog.variants)
            continue
        yield from _unknown(f"{where}: fixed", variant.mapping.get("fixed", ()), catalog.parts)
        yield from _unknown(f"{where}: stance", [variant.mapping.get("stance", "none given")], STANCES)
        if "title" not in variant.mapping:
            yield f"{where}: no title"
        if _goes_in_a_circle(catalog, name):
            yield f"{where}: extends goes in a circle"
        else:
            yield from _in_choices(catalog, name)


def _in_choices(catalog: "Catalog", name: str) -> Iterator[str]:
    """The choices of a variant: known parts, parameters that they have, and none missing in the end."""
    where, own = f"variant {name}", catalog.variants[name].mapping
    parts = _parts_along(catalog, name)
    for kind in catalog.parts:
        if kind not in parts:
            yield f"{where}: no {kind}, and nothing that it extends has one"
        elif not isinstance(parts[kind], str):
            yield f"{where}: {kind} must be a name or a mapping with a name, is {shown(parts[kind])}"
        elif parts[kind] not in catalog.parts[kind]:
            yield from _unknown(f"{where}: {kind}", [parts[kind]] if kind in own else [], catalog.parts[kind])
        elif isinstance(own.get(kind), dict):
            given = {key: value for key, value in own[kind].items() if key != "name"}
            of_part = catalog.parameters_of(kind, parts[kind])
            yield from _wrong_values(f"{where}: {kind} {parts[kind]}", given, of_part)
    alone = {key: own[key] for key in catalog.scalars if key in own}
    yield from _wrong_values(where, alone, catalog.scalars)
    generation = own.get("generation", {})
    if isinstance(generation, dict):
        yield from _wrong_values(f"{where}: generation", generation, catalog.generation)
    else:
        yield f"{where}: generation must be a mapping, is {shown(generation)}"
    if not any("latent" in catalog.variants[ancestor].mapping for ancestor in _lineage(catalog, name)):
        yield f"{where}: no latent, and nothing that it extends has one"


def _parts_along(catalog: "Catalog", name: str) -> dict[str, Any]:
    """Kind → the part that a variant names last, from what it extends to itself."""
    parts: dict[str, Any] = {}
    for ancestor in reversed(_lineage(catalog, name)):
        mapping = catalog.variants[ancestor].mapping
        for kind in catalog.parts:
            given = mapping.get(kind)
            chosen = given.get("name", parts.get(kind)) if isinstance(given, dict) else given
            if kind in mapping:
                parts[kind] = chosen
    return parts


def _lineage(catalog: "Catalog", name: str) -> list[str]:
    """A variant, what it extends, and so on as far as it is known."""
    found: list[str] = []
    current: str | None = name
    while current in catalog.variants and current not in found:
        found.append(current)
        current = catalog.variants[current].extends
    return found


def _in_practised(catalog: "Catalog") -> Iterator[str]:
    choices = [f"generation.{name}" for name in catalog.generation]
    choices += [f"recipe.{name}" for name in catalog.recipe_parameters]
    yield from _unknown("practised", catalog.practised, (*catalog.variants, *catalog.columns, *choices))


def _in_libraries(catalog: "Catalog") -> Iterator[str]:
    trainer = catalog.scalars["trainer"]
    if set(trainer.choices) != {OURS, *catalog.libraries} or trainer.default != OURS:
        yield f"trainer: its choices must be {OURS} and {', '.join(catalog.libraries)}"
    for library in catalog.libraries.values():
        where = f"library {library.name}"
        yield from _unknown(f"{where}: view", library.views, catalog.views)
        yield from _unknown(f"{where}: recipe parameter", library.follows, catalog.recipe_parameters)
        for model in library.models:
            places = (*model.needs, *model.takes.values(), *library.honours)
            parts = [place.partition(".")[0] for place in places]
            yield from _unknown(f"{where}: {model.name}: choice", parts, (*catalog.parts, *catalog.scalars))
            for kind in set(model.needs) & set(catalog.parts):
                yield from _unknown(f"{where}: {model.name}: {kind}", model.needs[kind], catalog.parts[kind])


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


def _said(parameters: "dict[str, Parameter]") -> "dict[str, Parameter]":
    """Those that are written out also where they are at their default."""
    return {name: parameter for name, parameter in parameters.items() if not parameter.unsaid}


def _wrong_values(where: str, values: dict[str, Any], parameters: "dict[str, Parameter]") -> Iterator[str]:
    yield from _unknown(f"{where}: parameter", values, parameters)
    for name, parameter in parameters.items():
        mistake = parameter.mistake(values[name]) if name in values else None
        if mistake:
            yield f"{where}: {name} {mistake}"


def _missing(where: str, names: Iterable[str], given: dict[str, Any]) -> Iterator[str]:
    for name in names:
        if name not in given:
            yield f"{where}: no {name}"


def _unknown(where: str, names: Iterable[str], valid: Iterable[str]) -> Iterator[str]:
    valid = tuple(valid)
    for name in names:
        if name not in valid:
            near = nearest(str(name), valid)
            hint = f" (did you mean {near!r}?)" if near else ""
            yield f"{where} {name!r} is not one of {enumerated(valid, MOST_NAMES)}{hint}"

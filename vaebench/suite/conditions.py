"""What all variants of a suite share: data sets, seeds, the recipe that trains them and the budget that scores them."""

import copy
from collections.abc import Mapping
from typing import Any

from vaebench.catalog.catalog import Catalog, Profile, complete
from vaebench.catalog.parameters import Parameter, shown
from vaebench.suite.mistakes import Findings, Path, nearest
from vaebench.suite.schema import BROKEN
from vaebench.suite.values import accepted, checked_values, written

MOST_CELLS = 100_000
DEFAULT_PROFILE = "cpu"
SEED_COUNT = Parameter("seeds", "integer", 5, minimum=1, maximum=MOST_CELLS)
SEED = Parameter("seed", "integer", 0, minimum=0, maximum=2**32 - 1)


def resolve_datasets(content: dict[str, Any], catalog: Catalog, findings: Findings) -> tuple[str, ...]:
    """The data set views that exist, each once."""
    found: list[str] = []
    for place, source in enumerate(content.get("datasets", [])):
        if source is BROKEN:
            continue
        path = ("datasets", place)
        if source in found:
            findings.add(path, f"{source} stands twice")
        elif source in catalog.sources:
            found.append(source)
        else:
            _note_unknown_source(source, path, catalog, findings)
    return tuple(found)


def _note_unknown_source(source: str, path: Path, catalog: Catalog, findings: Findings) -> None:
    name, _, view = source.partition("/")
    dataset = catalog.datasets.get(name)
    if dataset is None:
        findings.unknown(path, f"{shown(source)} is no data set view", source, catalog.sources)
    elif not view:
        views = ", ".join(f"{name}/{valid}" for valid in dataset.views)
        findings.add(path, f"{shown(source)} names no view; valid: {views}")
    else:
        near = nearest(view, dataset.views)
        hint = f"{name}/{near}" if near else None
        valid = "" if near else f"; valid: {', '.join(dataset.views)}"
        findings.add(path, f"data set {name} has no view {shown(view)}{valid}", hint)


def resolve_seeds(content: dict[str, Any], findings: Findings) -> tuple[int, ...]:
    """0…n−1 for a number n, or the listed ones."""
    given = content.get("seeds", SEED_COUNT.default)
    if not isinstance(given, list):
        return tuple(range(given)) if accepted(given, SEED_COUNT, ("seeds",), findings) else ()
    if not given:
        findings.add(("seeds",), "must not be an empty list")
    found: dict[int, None] = {}
    for place, seed in enumerate(given):
        if not accepted(seed, SEED, ("seeds", place), findings):
            continue
        if seed in found:
            findings.add(("seeds", place), f"seed {seed} stands twice")
        found[seed] = None
    return tuple(found)


def resolve_recipe(content: dict[str, Any], catalog: Catalog, findings: Findings) -> tuple[dict[str, Any], str]:
    """Every recipe parameter, and the recipe's name with what the suite changed in it."""
    base = _profile(content, catalog, findings).recipe
    name, changes = _base_and_changes("recipe", content, base, catalog.recipes, findings)
    changed = checked_values(changes, ("recipe",), "a recipe", catalog.recipe_parameters, findings)
    recipe = complete(catalog.recipe_parameters, {**copy.deepcopy(catalog.recipes[name]), **changed})
    _check_selection(recipe, findings)
    _check_warmup(recipe, findings)
    return recipe, _named(name, changed)


def _check_selection(recipe: dict[str, Any], findings: Findings) -> None:
    """Choosing an epoch by its validation loss needs validation images, and patience needs the choice."""
    if findings.touches(("recipe", "select")):
        return
    best = recipe["select"] == "best-validation"
    if recipe["patience"] is not None and not best:
        findings.add(("recipe", "patience"), f"needs select best-validation, here it is {recipe['select']}")
    if recipe["train"] == "all" and recipe.get("first_images") is not None:
        findings.add(
            ("recipe", "first_images"), "are the first of the training split; train all has others behind them"
        )
    if recipe["train"] == "all" and best:
        findings.add(("recipe", "train"), "select best-validation needs validation images, and train all uses them up")


def _check_warmup(recipe: dict[str, Any], findings: Findings) -> None:
    """A KL that never has its full weight is another objective than the one that the row names."""
    if recipe["kl_warmup"] > recipe["epochs"]:
        what = f"must be at most the {recipe['epochs']} epochs, or the KL never has its weight"
        findings.add(("recipe", "kl_warmup"), f"{what}; is {recipe['kl_warmup']:g}")


def resolve_budget(
    content: dict[str, Any], catalog: Catalog, findings: Findings
) -> tuple[dict[str, dict[str, Any]], str]:
    """Metric → every parameter of its protocol, and the budget's name with what the suite changed in it."""
    base = _profile(content, catalog, findings).budget
    name, changes = _base_and_changes("budget", content, base, catalog.budgets, findings)
    budget = copy.deepcopy(catalog.budgets[name])
    changed: dict[str, Any] = {}
    for metric, values in changes.items():
        path = ("budget", metric)
        if metric not in catalog.metrics:
            findings.unknown(path, f"{shown(metric)} is no metric", metric, catalog.metrics)
        elif not isinstance(values, dict):
            findings.add(path, f"must be a mapping such as {{samples: 100}}, is {shown(values)}")
        else:
            parameters = catalog.metrics[metric].parameters
            protocol = checked_values(values, path, f"metric {metric}", parameters, findings)
            budget[metric].update(protocol)
            changed.update({f"{metric}.{key}": value for key, value in protocol.items()})
    return budget, _named(name, changed)


def _profile(content: dict[str, Any], catalog: Catalog, findings: Findings) -> Profile:
    name = content.get("profile", DEFAULT_PROFILE)
    if name not in catalog.profiles:
        findings.unknown(("profile",), f"{shown(name)} is no profile", name, catalog.profiles)
    return catalog.profiles.get(name, catalog.profiles[DEFAULT_PROFILE])


def _base_and_changes(
    key: str, content: dict[str, Any], base: str, valid: Mapping[str, Any], findings: Findings
) -> tuple[str, dict[str, Any]]:
    """The named recipe or budget that `content[key]` starts from (`base` where it names none), and what it changes."""
    given = content.get(key, {})
    changes = {"extends": given} if isinstance(given, str) else dict(given)
    path: Path = (key,) if isinstance(given, str) else (key, "extends")
    name = changes.pop("extends", base)
    if not isinstance(name, str):
        findings.add(path, f"must be a {key}'s name, is {shown(name)}")
    elif name not in valid:
        findings.unknown(path, f"{shown(name)} is no {key}", name, valid)
    else:
        return name, changes
    return base, changes


def _named(name: str, changed: dict[str, Any]) -> str:
    return ", ".join([name, *(f"{key} {written(value)}" for key, value in changed.items())])

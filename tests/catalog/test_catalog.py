"""The packaged catalog: read, complete and free of contradictions."""

import copy
import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vaebench.catalog.catalog import FOLDER, KINDS, Catalog, load_catalog, read_catalog
from vaebench.catalog.consistency import contradictions
from vaebench.catalog.parameters import Parameter

CATALOG = load_catalog()


def test_the_catalog_contradicts_itself_nowhere() -> None:
    assert contradictions(CATALOG) == []


def test_it_is_read_once() -> None:
    assert load_catalog() is CATALOG


def test_every_implementation_stands_in_a_module_that_exists() -> None:
    parts = [part for parts in CATALOG.parts.values() for part in parts.values()]
    things = [*parts, *CATALOG.datasets.values(), *CATALOG.metrics.values()]
    modules = {thing.implementation.partition(":")[0] for thing in things if thing.implementation}
    missing = {name for name in modules if not (FOLDER.parent / Path(*name.split(".")[1:])).with_suffix(".py").exists()}
    assert missing == set()


def test_every_implementation_names_an_object() -> None:
    parts = [part for parts in CATALOG.parts.values() for part in parts.values()]
    things = [*parts, *CATALOG.datasets.values(), *CATALOG.metrics.values()]
    assert all(":" in thing.implementation for thing in things if thing.implementation)


def test_the_metrics_of_the_design_have_their_columns_and_directions() -> None:
    assert CATALOG.metrics["sharpness"].columns == (
        "sharpness.mean",
        "sharpness.ancestral",
        "sharpness.data",
        "sharpness.mean_ratio",
        "sharpness.ancestral_ratio",
    )
    assert CATALOG.metrics["reconstruction"].columns == ("reconstruction", "reconstruction.squared_error")
    assert CATALOG.column("bits_per_dim").better == "lower"
    assert CATALOG.column("reconstruction.squared_error").better == "lower"
    assert CATALOG.column("sharpness.mean_ratio").better == "one"


def test_a_column_leads_to_its_metric_and_an_unknown_one_to_none() -> None:
    assert CATALOG.metric_of("sharpness.mean").name == "sharpness"
    assert CATALOG.metric_of("sharpness").name == "sharpness"
    for unknown in ("sharpnes", "sharpness.man", "elbo.mean", "sharpness.", ""):
        with pytest.raises(KeyError):
            CATALOG.metric_of(unknown)
    with pytest.raises(KeyError):
        CATALOG.column("sharpness")


def test_recipes_and_budgets_are_complete() -> None:
    for recipe in CATALOG.recipes.values():
        assert list(recipe) == [name for name, parameter in CATALOG.recipe_parameters.items() if not parameter.unsaid]
    for budget in CATALOG.budgets.values():
        assert set(budget) == set(CATALOG.metrics)
    assert CATALOG.budgets["full"]["log_likelihood"]["samples"] == 5000
    assert CATALOG.budgets["full"]["active_units"] == {"threshold": 0.01}
    assert CATALOG.recipes["quick"]["epochs"] == 30


def test_settings_are_scalars() -> None:
    parts = [part for parts in CATALOG.parts.values() for part in parts.values()]
    found = [p for part in parts for p in part.parameters.values() if p.setting]
    assert {parameter.name for parameter in found} >= {"beta", "lambda", "sigma"}
    assert all(parameter.type == "number" and not parameter.optional for parameter in found)


def test_the_default_likelihood_takes_the_parameters_of_those_that_stand_in() -> None:
    assert set(CATALOG.parameters_of("likelihood", "default")) == {"sigma_floor", "bias"}
    assert CATALOG.parts["likelihood"]["default"].by_view is not None
    assert set(CATALOG.parts["likelihood"]["default"].by_view or ()) == set(CATALOG.views)


def _with_part(catalog: Catalog, kind: str, name: str, **changes: object) -> Catalog:
    changed = copy.deepcopy(catalog)
    changed.parts[kind][name] = dataclasses.replace(changed.parts[kind][name], **changes)  # type: ignore[arg-type]
    return changed


def _with_variant(catalog: Catalog, name: str, **keys: object) -> Catalog:
    changed = copy.deepcopy(catalog)
    changed.variants[name].mapping.update(keys)
    return changed


def _with_recipe(catalog: Catalog, **values: object) -> Catalog:
    changed = copy.deepcopy(catalog)
    changed.recipes["quick"].update(values)
    return changed


SLIPS: dict[str, tuple[Callable[[Catalog], Catalog], str]] = {
    "view": (lambda c: _with_part(c, "likelihood", "bernoulli", views=("binry",)), "view 'binry' is not one of"),
    "stand-in": (lambda c: _with_part(c, "likelihood", "default", by_view={"grey": "gauss"}), "stand-in 'gauss'"),
    "requirement": (
        lambda c: _with_part(c, "objective", "vmi", requires={"prior": ("norm",)}),
        "required prior 'norm'",
    ),
    "default": (
        lambda c: _with_part(c, "objective", "elbo", parameters={"beta": Parameter("beta", "number", -1, minimum=0)}),
        "default of beta must be at least 0, is -1",
    ),
    "variant to extend": (lambda c: _with_variant(c, "vae-mse", extends="vea"), "extends 'vea' is not one of"),
    "circle": (lambda c: _with_variant(c, "vae", extends="beta-vae"), "variant vae: extends goes in a circle"),
    "key of a variant": (lambda c: _with_variant(c, "vae", likelyhood="default"), "key 'likelyhood' is not one of"),
    "stance": (lambda c: _with_variant(c, "vae", stance="theori"), "stance 'theori' is not one of"),
    "recipe parameter": (lambda c: _with_recipe(c, epoch=3), "parameter 'epoch' is not one of"),
    "recipe value": (lambda c: _with_recipe(c, epochs=0), "recipe quick: epochs must be at least 1, is 0"),
}


@pytest.mark.parametrize(("slip", "what"), SLIPS.values(), ids=SLIPS)
def test_a_slip_in_the_catalog_is_found(slip: Callable[[Catalog], Catalog], what: str) -> None:
    found = contradictions(slip(CATALOG))
    assert any(what in line for line in found), found


def test_a_key_that_no_field_has_cannot_be_read(tmp_path: Path) -> None:
    for path in FOLDER.rglob("*.yaml"):
        copied = tmp_path / path.relative_to(FOLDER)
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(path.read_bytes())
    assert set(read_catalog(tmp_path).parts) == set(KINDS)
    views = tmp_path / "views.yaml"
    views.write_text(views.read_text(encoding="utf-8") + "  colour: red\n", encoding="utf-8")
    with pytest.raises(TypeError, match="colour"):
        read_catalog(tmp_path)


def test_the_catalog_needs_no_torch() -> None:
    code = (
        "import sys; from vaebench.catalog.catalog import load_catalog; load_catalog(); "
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0, finished.stderr

"""Compositions that a library of others trains: which of its models that is, and why there is none."""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from vaebench.catalog.catalog import KINDS, Catalog
from vaebench.catalog.library import ForeignModel, Library, choice
from vaebench.suite.mistakes import Findings, enumerated
from vaebench.suite.values import written

if TYPE_CHECKING:
    from vaebench.suite.suite import Variant


def library_of(composition: Mapping[str, Any], catalog: Catalog) -> Library | None:
    """Who trains a composition; None: vaebench."""
    return catalog.libraries.get(composition.get("trainer", ""))


def is_fitted(composition: Mapping[str, Any], catalog: Catalog) -> bool:
    """Whether it is trained without gradients: in closed form, or by expectation and maximisation."""
    return catalog.parts["objective"][composition["objective"]["name"]].fitted


def foreign_model(library: Library, composition: Mapping[str, Any]) -> ForeignModel | str:
    """The library's model whose loss is that of the composition; why none is, where none is."""
    unmet = [(model, model.unmet(composition)) for model in library.models]
    near = [(model, places) for model, places in unmet if "objective" not in places]
    if not near:
        named = dict.fromkeys(name for model in library.models for name in model.needs["objective"])
        return f"trainer {library.name} has no objective {choice(composition, 'objective')}; it has {enumerated(named)}"
    model, places = min(near, key=lambda candidate: len(candidate[1]))
    if not places:
        return model
    place = places[0]
    wanted, given = " or ".join(map(written, model.needs[place])), written(choice(composition, place))
    return f"trainer {library.name} trains its {model.name} with {place} {wanted}, here it is {given}"


def trainer_obstacle(composition: Mapping[str, Any], view: str, catalog: Catalog) -> str | None:
    """Why the library that a composition names cannot train it on a view; None where it can, or none is named."""
    library = library_of(composition, catalog)
    if library is None:
        return None
    if view not in library.views:
        return f"trainer {library.name} sees fixed images only: views {enumerated(library.views)}"
    model = foreign_model(library, composition)
    if isinstance(model, str):
        return model
    unknown = _unknown_choices(library, model, composition, catalog)
    return f"trainer {library.name} does not know {enumerated(unknown)}" if unknown else None


def _unknown_choices(
    library: Library, model: ForeignModel, composition: Mapping[str, Any], catalog: Catalog
) -> list[str]:
    """Choices that the model neither asks for nor takes, where they are not at their defaults: `likelihood.bias x`."""
    known = {*model.needs, *model.takes.values(), *library.honours}
    found = []
    for kind in KINDS:
        if kind == "network":
            continue
        for name, parameter in catalog.parts[kind][composition[kind]["name"]].parameters.items():
            value = composition[kind].get(name, parameter.default)
            if f"{kind}.{name}" not in known and value != parameter.default:
                found.append(f"{kind}.{name} {written(value)}")
    return found


def check_recipe(
    recipe: Mapping[str, Any], variants: Iterable["Variant"], catalog: Catalog, findings: Findings
) -> None:
    """What the training loops of the libraries that the suite's variants name cannot follow goes to `findings`."""
    named = [library_of(variant.composition, catalog) for variant in variants]
    for library in dict.fromkeys(library.name for library in named if library):
        for name, parameter in catalog.recipe_parameters.items():
            value = recipe.get(name, parameter.default)
            if name not in catalog.libraries[library].follows and value != parameter.default:
                usual = written(parameter.default)
                findings.add(("recipe", name), f"trainer {library} knows {usual} only, here it is {written(value)}")


def not_installed(library: Library) -> str | None:
    """What to do, in one line, where the library cannot be imported; None where it can."""
    if find_spec(library.package) is not None:
        return None
    return f"{library.name} is not installed: pip install 'vaebench[{library.package}]'"


def missing_libraries(variants: Iterable["Variant"], catalog: Catalog) -> list[str]:
    """A line for each library that variants need and that is not installed, with the variants that fail without it."""
    needing: dict[str, list[str]] = {}
    for variant in variants:
        library = library_of(variant.composition, catalog)
        if library is not None:
            needing.setdefault(library.name, []).append(variant.name)
    lines = {name: not_installed(catalog.libraries[name]) for name in needing}
    return [f"{line}; without it {enumerated(needing[name])} will fail" for name, line in lines.items() if line]

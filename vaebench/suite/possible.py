"""What can be said of choices before it is known which variant makes them: could any take this value?"""

from collections.abc import Mapping
from typing import Any

from vaebench.catalog.catalog import Catalog
from vaebench.catalog.parameters import Parameter
from vaebench.suite.drafts import Given, Place
from vaebench.suite.mistakes import Findings, Path
from vaebench.suite.values import accepted, note_unknown_parameter


def possible(
    place: Place,
    given: Given,
    names: Mapping[str, Given],
    catalog: Catalog,
    findings: Findings,
    no_grid: str | None = None,
) -> bool:
    """Could a variant with the parts `names` take this value? What is wrong with it goes to `findings`; `no_grid` says
    why it may not be several values."""
    path = given.path or ()
    owner, schemas = _schemas(place[0], names, catalog)
    candidates = [schema[place[-1]] for schema in schemas if place[-1] in schema]
    if not candidates:
        every = {name: parameter for schema in schemas for name, parameter in schema.items()}
        note_unknown_parameter(place[-1], path, owner, every, findings)
        return False
    if not _is_grid(given.value, candidates):
        return _one_possible(given.value, candidates, path, findings)
    if no_grid is not None:
        findings.add(path, no_grid)
        return False
    if not given.value:
        findings.add(path, "must not be an empty grid")
    each = [_one_possible(one, candidates, (*path, number), findings) for number, one in enumerate(given.value)]
    return bool(each) and all(each)


def _is_grid(value: Any, candidates: list[Parameter]) -> bool:
    """A list where no candidate takes one, or a list of lists."""
    if not isinstance(value, list) or any(parameter.mistake(value) is None for parameter in candidates):
        return False
    return all(parameter.type != "integers" for parameter in candidates) or any(isinstance(one, list) for one in value)


def _one_possible(value: Any, candidates: list[Parameter], path: Path, findings: Findings) -> bool:
    if any(parameter.mistake(value) is None for parameter in candidates):
        return True
    return accepted(value, candidates[0], path, findings)


def _schemas(group: str, names: Mapping[str, Given], catalog: Catalog) -> tuple[str, list[Mapping[str, Parameter]]]:
    """Whose parameters a value may be, in words and in the catalog."""
    if group in catalog.scalars:
        return group, [{group: catalog.scalars[group]}]
    if group == "generation":
        return "generation", [catalog.generation]
    if group not in names:
        return group, [catalog.parameters_of(group, name) for name in catalog.parts[group]]
    given = names[group].value
    several = given if isinstance(given, list) else [given]
    return f"{group} {' or '.join(several)}", [catalog.parameters_of(group, name) for name in several]

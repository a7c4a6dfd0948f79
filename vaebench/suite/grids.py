"""Grids laid open: a list where a scalar is expected stands for one variant for each of its values."""

import itertools
import math
from collections import Counter
from dataclasses import dataclass, replace

from vaebench.catalog.catalog import KINDS, Catalog
from vaebench.catalog.parameters import Parameter
from vaebench.suite.defaults import Defaults
from vaebench.suite.drafts import Draft, Given, Place
from vaebench.suite.mistakes import Findings
from vaebench.suite.values import accepted, note_unknown_parameter, written

ORDER = ("trainer", "network", "latent", "conditional", "likelihood", "posterior", "prior", "objective", "generation")
"""In which gridded keys stand in a name."""


@dataclass(frozen=True)
class Member:
    """A draft without grids, and what the grids add to its name."""

    draft: Draft
    bracket: str


def count(draft: Draft, catalog: Catalog, most: int) -> int:
    """How many variants a draft stands for, without laying it open; those of its part names, if more than `most`."""
    names = math.prod(len(points) for points in _name_axes(draft).values())
    if names > most:
        return names
    return sum(
        math.prod(len(points) for points in _value_axes(named, schema_of(named, catalog)).values())
        for named, _ in _with_one_name_each(draft)
    )


def is_gridded(draft: Draft, catalog: Catalog) -> bool:
    """Does the draft hold a grid, so that its members' names have brackets?"""
    if _name_axes(draft):
        return True
    return bool(_value_axes(draft, schema_of(draft, catalog)))


def lay_open(draft: Draft, defaults: Defaults, catalog: Catalog, findings: Findings) -> list[Member]:
    """The members of a draft's grids; none where a value is wrong."""
    members: list[Member] = []
    for named, names in _with_one_name_each(draft):
        schema = schema_of(named, catalog)
        joined = defaults.joined(named, schema)
        axes = _value_axes(joined, schema)
        if not _values_are_right(joined, axes, schema, findings):
            continue
        for points in itertools.product(*axes.values()):
            chosen = dict(zip(axes, points, strict=True))
            one = replace(joined, values={**joined.values, **chosen})
            members.append(Member(one, _bracket({**names, **chosen}, [*names, *schema])))
    return members


def schema_of(draft: Draft, catalog: Catalog) -> dict[Place, Parameter]:
    """Every value that a draft can hold, once its parts have one name each; in the order of ORDER."""
    schema: dict[Place, Parameter] = {}
    for group in ORDER:
        if group in catalog.scalars:
            schema[(group,)] = catalog.scalars[group]
        else:
            name = draft.names[group].value if group in KINDS else None
            parameters = catalog.generation if name is None else catalog.parameters_of(group, name)
            schema.update({(group, parameter): parameters[parameter] for parameter in parameters})
    return schema


def _name_axes(draft: Draft) -> dict[Place, list[Given]]:
    return {(kind,): _points(name) for kind, name in draft.names.items() if isinstance(name.value, list)}


def _with_one_name_each(draft: Draft) -> list[tuple[Draft, dict[Place, Given]]]:
    """The draft for each combination of gridded part names, with the names that were chosen."""
    axes = _name_axes(draft)
    chosen = [dict(zip(axes, points, strict=True)) for points in itertools.product(*axes.values())]
    return [
        (replace(draft, names={**draft.names, **{place[0]: name for place, name in names.items()}}), names)
        for names in chosen
    ]


def _value_axes(draft: Draft, schema: dict[Place, Parameter]) -> dict[Place, list[Given]]:
    """The gridded values: lists where a scalar is expected, lists of lists where a list is."""
    return {place: _points(draft.values[place]) for place in schema if _is_grid(draft.values.get(place), schema[place])}


def _is_grid(given: Given | None, parameter: Parameter) -> bool:
    if given is None or not isinstance(given.value, list):
        return False
    return parameter.type != "integers" or any(isinstance(element, list) for element in given.value)


def _points(grid: Given) -> list[Given]:
    return [Given(value, None if grid.path is None else (*grid.path, place)) for place, value in enumerate(grid.value)]


def _values_are_right(
    draft: Draft, axes: dict[Place, list[Given]], schema: dict[Place, Parameter], findings: Findings
) -> bool:
    """Is every value one that its parameter can take? What is wrong goes to `findings`."""
    right = True
    for place, given in draft.values.items():
        path = given.path or ()
        if place not in schema:
            _note_foreign_value(place, draft, schema, findings)
            right = False
        elif place not in axes:
            right &= accepted(given.value, schema[place], path, findings)
        else:
            right &= _grid_is_right(axes[place], schema[place], given, findings)
    return right


def _grid_is_right(points: list[Given], parameter: Parameter, grid: Given, findings: Findings) -> bool:
    if not points:
        findings.add(grid.path or (), "must not be an empty grid")
        return False
    wrong = [point for point in points if not accepted(point.value, parameter, point.path or (), findings)]
    if wrong:
        return False
    seen: set[str] = set()
    for point in points:
        value = written(parameter.normal(point.value))
        if value in seen:
            findings.add(point.path or (), f"the grid holds {value} twice")
            return False
        seen.add(value)
    return True


def _note_foreign_value(place: Place, draft: Draft, schema: dict[Place, Parameter], findings: Findings) -> None:
    group = place[0]
    owner = f"{group} {draft.names[group].value}" if group in KINDS else group
    valid = {other[-1]: parameter for other, parameter in schema.items() if other[0] == group}
    note_unknown_parameter(place[-1], draft.values[place].path or (), owner, valid, findings)


def _bracket(chosen: dict[Place, Given], order: list[Place]) -> str:
    """`[beta=4]`: the last step of each gridded key and its value; the whole key where two would read the same."""
    if not chosen:
        return ""
    places = sorted(chosen, key=lambda place: (ORDER.index(place[0]), len(place), order.index(place)))
    shared = {key for key, times in Counter(place[-1] for place in places).items() if times > 1}
    keys = {place: ".".join(place) if place[-1] in shared else place[-1] for place in places}
    return "[" + ",".join(f"{keys[place]}={written(chosen[place].value)}" for place in places) + "]"

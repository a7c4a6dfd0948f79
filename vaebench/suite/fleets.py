"""Cells that share one computation graph, to be trained in lock-step as one program."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vaebench.catalog.catalog import KINDS, Catalog, load_catalog
from vaebench.catalog.parameters import Parameter
from vaebench.store.cell import Cell, digest


@dataclass(frozen=True)
class Fleet:
    """Cells that differ only in their seed and in scalar settings (β, λ, fixed σ, the learning rate)."""

    key: str
    """Hash of what the members share; a part of a split fleet has its number appended."""
    cells: tuple[Cell, ...]


def group(cells: Iterable[Cell], max_members: int | None = None) -> list[Fleet]:
    """The fleets of `cells`, in the order in which each fleet's first member comes; a cell given twice is one member.

    A fleet of more than `max_members` is split into parts of that size.
    """
    if max_members is not None and max_members < 1:
        raise ValueError(f"max_members must be at least 1, is {max_members}")
    catalog = load_catalog()
    members: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        members.setdefault(digest(_template(cell, catalog)), {}).setdefault(cell.id, cell)
    return [fleet for key, found in members.items() for fleet in _split(key, tuple(found.values()), max_members)]


def _split(key: str, cells: tuple[Cell, ...], max_members: int | None) -> list[Fleet]:
    size = max_members or len(cells)
    if len(cells) <= size:
        return [Fleet(key, cells)]
    starts = range(0, len(cells), size)
    return [Fleet(f"{key}-{number}", cells[start : start + size]) for number, start in enumerate(starts)]


def _template(cell: Cell, catalog: Catalog) -> dict[str, Any]:
    """The cell without its seed and its settings."""
    parts = {kind: _without_settings(kind, cell.composition[kind], catalog) for kind in KINDS}
    return {
        "dataset": cell.dataset,
        "view": cell.view,
        "composition": {**cell.composition, **parts},
        "recipe": _without(cell.recipe, catalog.recipe_parameters),
    }


def _without_settings(kind: str, part: dict[str, Any], catalog: Catalog) -> dict[str, Any]:
    return _without(part, catalog.parts[kind][part["name"]].parameters)


def _without(values: dict[str, Any], parameters: dict[str, Parameter]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in parameters or not parameters[name].setting}

"""Grids laid open: a list where a scalar is expected stands for one variant for each of its values."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from vaebench.catalog.catalog import KINDS, Catalog
from vaebench.catalog.parameters import Parameter
from vaebench.suite.drafts import Draft, Given, PartDraft
from vaebench.suite.mistakes import Findings
from vaebench.suite.values import accepted, note_unknown_parameter, written

ORDER = ("network", "latent", "likelihood", "posterior", "prior", "objective", "generation")
"""In which gridded keys stand in a name."""

Place = tuple[str, ...]
"""Where a choice stands in a variant: `("objective", "beta")`, `("likelihood",)` for a part's name, `("latent",)`."""


@dataclass(frozen=True)
class Axis:
    """A gridded key and its values."""

    place: Place
    points: tuple[Given, ...]


@dataclass(frozen=True)
class Member:
    """A draft without grids, and the part of its name that the grids give."""

    draft: Draft
    bracket: str


def size(draft: Draft, catalog: Catalog, most: int) -> int:
    """How many variants a draft stands for, counted without laying it open; beyond `most` it may stop counting."""
    named = math.prod(len(axis.points) for axis in _name_axes(draft))
    if named > most:
        return named
    return sum(
        math.prod(len(axis.points) for axis in _value_axes(one, catalog)) for one, _ in _named_members(draft)
    )


def named_drafts(draft: Draft) -> list[Draft]:
    """The draft once for each combination of part names in its grids."""
    return [one for one, _ in _named_members(draft)]

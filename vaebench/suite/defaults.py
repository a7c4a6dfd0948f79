"""`defaults` of a suite: choices that reach every variant whose part has them."""

from dataclasses import dataclass, replace
from typing import Any

from vaebench.catalog.catalog import KINDS, Catalog
from vaebench.catalog.parameters import Parameter
from vaebench.suite.drafts import Draft, Given, Place, known_part, name_of, values_of
from vaebench.suite.mistakes import Findings
from vaebench.suite.possible import possible

PATH = ("defaults",)
NO_GRID = "defaults hold one value each; a grid stands in an entry of variants"


@dataclass(frozen=True)
class Defaults:
    names: dict[str, Given]
    """Kind → part that takes the place of those that a variant does not hold fixed."""
    values: dict[Place, Given]

    def joined(self, draft: Draft, schema: dict[Place, Parameter]) -> Draft:
        """The draft with every default that its parts have, unless the suite says otherwise for this variant."""
        reaching = {
            place: given
            for place, given in self.values.items()
            if place in schema and self._means(place[0], draft) and not _said_by_entry(draft, place)
        }
        return replace(draft, values={**draft.values, **reaching})

    def _means(self, kind: str, draft: Draft) -> bool:
        """Does the variant have the part that the default's values belong to?"""
        return kind not in self.names or draft.names[kind].value == self.names[kind].value


def _said_by_entry(draft: Draft, place: Place) -> bool:
    return place in draft.values and draft.values[place].path is not None


def resolve_defaults(content: dict[str, Any], catalog: Catalog, findings: Findings) -> Defaults:
    """The valid ones among a suite's defaults."""
    mapping = content.get("defaults", {})
    names = {kind: name for kind in KINDS if (name := name_of(mapping, kind, PATH)) is not None}
    known = {kind: name for kind, name in names.items() if _one_known_part(kind, name, catalog, findings)}
    values = {
        place: given
        for place, given in values_of(mapping, PATH).items()
        if (place[0] not in names or place[0] in known) and possible(place, given, known, catalog, findings, NO_GRID)
    }
    return Defaults(known, values)


def _one_known_part(kind: str, name: Given, catalog: Catalog, findings: Findings) -> bool:
    path = name.path or PATH
    if isinstance(name.value, list):
        findings.add(path, NO_GRID)
        return False
    return known_part(kind, name.value, path, catalog, findings)

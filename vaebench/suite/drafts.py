"""Entries of `variants` merged with what they extend, choice by choice: catalog < names in `defaults` < entry."""

from dataclasses import dataclass, field, replace
from typing import Any

from vaebench.catalog.catalog import KINDS, Catalog
from vaebench.catalog.parameters import shown
from vaebench.suite.mistakes import Findings, Path, enumerated
from vaebench.suite.schema import BROKEN

META = ("title", "stance", "source", "departs", "mended", "fixed", "on")
"""What a variant says about itself; inherited like the choices."""

SCALARS = ("latent", "conditional", "trainer")
"""Choices that are one value, not a part with parameters."""


@dataclass(frozen=True)
class Given:
    """A value, and where it was given."""

    value: Any
    path: Path | None = None
    """None: in the catalog."""


Place = tuple[str, ...]
"""Where a value stands in a variant: `("objective", "beta")`, `("generation", "output")`, `("latent",)`."""


@dataclass(frozen=True)
class Draft:
    """A variant in the making: what was said about it, with its grids still closed."""

    extends: str | None = None
    meta: dict[str, Given] = field(default_factory=dict)
    names: dict[str, Given] = field(default_factory=dict)
    """Kind → name of the part, or a grid of names."""
    values: dict[Place, Given] = field(default_factory=dict)
    """What was given with the parts, and beside them."""

    @property
    def fixed(self) -> tuple[str, ...]:
        """Kinds of part that a suite's defaults leave alone."""
        return tuple(self.meta["fixed"].value) if "fixed" in self.meta else ()

    def missing(self) -> list[str]:
        """What a variant needs and nothing has said."""
        choices = [kind for kind in KINDS if kind not in self.names]
        latent = [] if ("latent",) in self.values else ["latent"]
        return choices + latent + ([] if "stance" in self.meta else ["stance"])

    def named(self, names: dict[str, Given]) -> "Draft":
        """With these parts; what was given with a part that goes, goes with it."""
        changed = {
            kind for kind, name in names.items() if kind not in self.names or self.names[kind].value != name.value
        }
        kept = {place: given for place, given in self.values.items() if place[0] not in changed}
        return replace(self, names={**self.names, **{kind: names[kind] for kind in changed}}, values=kept)


def catalog_draft(name: str, catalog: Catalog) -> Draft:
    """The catalog's variant, with everything that it inherits there."""
    lineage: list[str] = []
    current: str | None = name
    while current is not None:
        lineage.append(current)
        current = catalog.variants[current].extends
    draft = Draft()
    for ancestor in reversed(lineage):
        draft = merged(draft, catalog.variants[ancestor].mapping, None)
    return draft


def merged(draft: Draft, mapping: dict[str, Any], path: Path | None) -> Draft:
    """`mapping` over `draft`: a part's mapping joins the part unless it gives another name."""
    draft = draft.named({kind: name for kind in KINDS if (name := name_of(mapping, kind, path)) is not None})
    meta = {key: Given(mapping[key], _at(path, key)) for key in META if key in mapping}
    return replace(draft, meta={**draft.meta, **meta}, values={**draft.values, **values_of(mapping, path)})


def name_of(mapping: dict[str, Any], kind: str, path: Path | None) -> Given | None:
    """The part that `mapping` names for a kind, in short (`network: mlp`) or at length; None if it names none."""
    content = mapping.get(kind)
    if isinstance(content, dict):
        return Given(content["name"], _at(path, kind, "name")) if "name" in content else None
    return None if content is None else Given(content, _at(path, kind))


def values_of(mapping: dict[str, Any], path: Path | None) -> dict[Place, Given]:
    """What `mapping` gives with the parts, what it chooses beside them, and its generation."""
    values: dict[Place, Given] = {
        (group, key): Given(value, _at(path, group, key))
        for group in (*KINDS, "generation")
        if isinstance(mapping.get(group), dict)
        for key, value in mapping[group].items()
        if key != "name" or group == "generation"
    }
    alone: dict[Place, Given] = {(key,): Given(mapping[key], _at(path, key)) for key in SCALARS if key in mapping}
    return {**values, **alone}


def _at(path: Path | None, *keys: str) -> Path | None:
    return None if path is None else (*path, *keys)


class EntryDrafts:
    """The drafts of a suite's `variants`, each over the variant that it extends."""

    def __init__(
        self, entries: list[Any], default_names: dict[str, Given], catalog: Catalog, findings: Findings
    ) -> None:
        self._entries = entries
        self._default_names = default_names
        self._catalog = catalog
        self._findings = findings
        self._named: dict[str, int] = {}
        for place, entry in enumerate(entries):
            if isinstance(entry, dict) and "name" in entry:
                self._named.setdefault(entry["name"], place)
        self._drafts: dict[int, Draft | None] = {}

    def all(self) -> list[Draft | None]:
        """One for each entry, None where what it extends cannot be found."""
        for place in range(len(self._entries)):
            self._work_back_from(place)
        return [self._drafts[place] for place in range(len(self._entries))]

    def _work_back_from(self, place: int) -> None:
        """Draft the entry and, before it, every entry of the suite that it builds upon."""
        chain: list[int] = []
        current: int | None = place
        while current is not None and current not in self._drafts:
            if current in chain:
                self._note_circle(chain[chain.index(current) :])
                break
            chain.append(current)
            current = self._extended_entry(current)
        for link in reversed(chain):
            if link not in self._drafts:
                self._drafts[link] = self._drafted(link)

    def _extends(self, place: int) -> str | None:
        entry = self._entries[place]
        if isinstance(entry, dict):
            return entry.get("extends")
        return None if entry is BROKEN else entry

    def _extended_entry(self, place: int) -> int | None:
        """Place of the suite's own entry that this one extends; a name of the suite goes before one of the catalog."""
        target = self._extends(place)
        other = None if target is None else self._named.get(target)
        return None if other == place else other

    def _note_circle(self, circle: list[int]) -> None:
        first = min(circle)
        start = circle.index(first)
        names = [str(self._entries[place]["name"]) for place in circle[start:] + circle[:start]]
        self._findings.add(("variants", first, "extends"), f"goes in a circle: {' → '.join([*names, names[0]])}")
        self._drafts.update(dict.fromkeys(circle))

    def _drafted(self, place: int) -> Draft | None:
        entry = self._entries[place]
        other = self._extended_entry(place)
        base = self._drafts[other] if other is not None else self._base(place)
        if base is None:
            return None
        base = replace(base, extends=self._extends(place))
        if isinstance(entry, str):
            return base
        return merged(base, self._with_known_parts(entry, base, place), ("variants", place))

    def _base(self, place: int) -> Draft | None:
        """Where an entry starts that extends no other entry of the suite."""
        entry, target = self._entries[place], self._extends(place)
        if entry is BROKEN:
            return None
        if target in self._catalog.variants:
            return self._exchanged(catalog_draft(target, self._catalog))
        if target is None:
            return None if self._findings.touches(("variants", place, "extends")) else self._exchanged(Draft())
        path: Path = ("variants", place, "extends") if isinstance(entry, dict) else ("variants", place)
        if self._named.get(target) == place:
            self._findings.add(path, f"{shown(target)} extends itself, and the catalog has no variant of this name")
            return None
        valid = [*self._catalog.variants, *(name for name in self._named if name != target)]
        self._findings.unknown(path, f"{shown(target)} is no variant to extend", target, valid)
        return None

    def _exchanged(self, draft: Draft) -> Draft:
        """The parts that the suite's defaults name, in place of those that the variant does not hold fixed."""
        return draft.named({kind: name for kind, name in self._default_names.items() if kind not in draft.fixed})

    def _with_known_parts(self, entry: dict[str, Any], base: Draft, place: int) -> dict[str, Any]:
        """The entry without the parts whose name the catalog does not know."""
        kept = dict(entry)
        for kind in KINDS:
            if kind in entry and not self._knows_part(kind, entry[kind], base, ("variants", place, kind)):
                del kept[kind]
        return kept

    def _knows_part(self, kind: str, content: Any, base: Draft, path: Path) -> bool:
        if isinstance(content, dict):
            if "name" in content:
                return known_part(kind, content["name"], (*path, "name"), self._catalog, self._findings)
            if kind not in base.names:
                self._findings.add(path, f"needs a name; valid: {enumerated(self._catalog.parts[kind])}")
            return kind in base.names
        return known_part(kind, content, path, self._catalog, self._findings)


def known_part(kind: str, name: Any, path: Path, catalog: Catalog, findings: Findings) -> bool:
    """Is `name` a part of the catalog, or a grid of several? What is wrong with it goes to `findings`."""
    if isinstance(name, list):
        return _known_parts(kind, name, path, catalog, findings)
    if not isinstance(name, str):
        findings.add(path, f"must be the {kind}'s name, is {shown(name)}")
    elif name not in catalog.parts[kind]:
        findings.unknown(path, f"{shown(name)} is no {kind}", name, catalog.parts[kind])
    else:
        return True
    return False


def _known_parts(kind: str, names: list[Any], path: Path, catalog: Catalog, findings: Findings) -> bool:
    if not names:
        findings.add(path, "must not be an empty grid")
    known = bool(names)
    for place, name in enumerate(names):
        if isinstance(name, list):
            findings.add((*path, place), f"must be the {kind}'s name, is {shown(name)}")
            known = False
        elif not known_part(kind, name, (*path, place), catalog, findings):
            known = False
        elif name in names[:place]:
            findings.add((*path, place), f"the grid holds {name} twice")
            known = False
    return known

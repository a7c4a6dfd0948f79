"""The variants of a suite: every entry resolved, named and held against the suite's data sets."""

import copy
from dataclasses import dataclass
from typing import Any

from vaebench.catalog.catalog import KINDS, Catalog, complete
from vaebench.catalog.parameters import shown
from vaebench.suite.defaults import PATH as DEFAULTS
from vaebench.suite.defaults import Defaults, resolve_defaults
from vaebench.suite.drafts import SCALARS, Draft, EntryDrafts, Place, known_part, name_of, values_of
from vaebench.suite.expansion import Impossible, compose
from vaebench.suite.grids import Member, count, is_gridded, lay_open
from vaebench.suite.mistakes import Findings, Path, dotted, enumerated, nearest
from vaebench.suite.possible import possible
from vaebench.suite.schema import BROKEN
from vaebench.suite.suite import Variant

MOST_VARIANTS = 1_000
MOST_LOST = 20
"""Wrong entries that a name elsewhere is compared with."""


@dataclass(frozen=True)
class Resolved:
    """One entry of `variants`: its members, more than one where it holds a grid."""

    place: int
    name: str | None
    """As the entry gives it, without the brackets of its members; None where it gives none."""
    drafts: tuple[Draft, ...] = ()
    variants: tuple[Variant, ...] = ()
    sound: bool = False
    """Nothing is wrong with the entry itself."""
    takes: tuple[str, ...] = ()
    """Names that no other entry may have."""

    @property
    def path(self) -> Path:
        return ("variants", self.place)


@dataclass(frozen=True)
class VariantTable:
    """The entries of `variants`, and on which data set views their members are trained."""

    entries: tuple[Resolved, ...]
    pairs: tuple[tuple[Variant, str], ...]

    @property
    def variants(self) -> tuple[Variant, ...]:
        return tuple(variant for entry in self.entries for variant in entry.variants)

    @property
    def sound(self) -> bool:
        return all(entry.sound for entry in self.entries)

    def sources(self, name: str) -> list[str]:
        """Data set views that the variant is trained on."""
        return [source for variant, source in self.pairs if variant.name == name]

    def members(self, name: str) -> list[str]:
        """Names of the members of the gridded entry `name`."""
        return [
            variant.name
            for entry in self.entries
            for variant in entry.variants
            if entry.name == name and variant.name != name
        ]

    def may_be_lost(self, name: str) -> bool:
        """Was `name` perhaps meant to be an entry that is wrong itself, and was complained of there?"""
        lost = [entry.name for entry in self.entries if not entry.sound and entry.name is not None]
        return name.partition("[")[0] in lost or nearest(name, lost[:MOST_LOST]) is not None


def resolve_variants(
    content: dict[str, Any],
    datasets: tuple[str, ...],
    catalog: Catalog,
    findings: Findings,
    sources: tuple[str, ...] = (),
) -> VariantTable:
    """Every variant that `content` asks for; what is wrong with the others goes to `findings`.

    `sources`: data set views beside `datasets` to which a variant may be restricted.
    """
    defaults = resolve_defaults(content, catalog, findings)
    entries = content.get("variants", [])
    _check_restrictions(entries, tuple(dict.fromkeys((*datasets, *sources))), catalog, findings)
    if len(entries) > MOST_VARIANTS:
        findings.add(("variants",), f"{len(entries):,} entries; a suite has at most {MOST_VARIANTS:,} variants")
        return VariantTable(tuple(Resolved(place, None) for place in range(len(entries))), ())
    drafts = _of_bounded_size(EntryDrafts(entries, defaults.names, catalog, findings).all(), entries, catalog, findings)
    resolved = tuple(
        _resolved(place, entry, draft, defaults, catalog, findings)
        for place, (entry, draft) in enumerate(zip(entries, drafts, strict=True))
    )
    _check_names(resolved, findings)
    pairs = [pair for entry in resolved if entry.sound for pair in _pairs(entry, datasets, catalog, findings)]
    table = VariantTable(resolved, tuple(pairs))
    if table.sound and not findings.touches(("datasets",)):
        _check_reach(defaults, table, catalog, findings)
    return table


def _check_restrictions(entries: list[Any], datasets: tuple[str, ...], catalog: Catalog, findings: Findings) -> None:
    """Every `on` names data set views of the suite, each once."""
    for place, entry in enumerate(entries):
        seen: set[str] = set()
        for number, source in enumerate(entry.get("on", []) if isinstance(entry, dict) else []):
            path = ("variants", place, "on", number)
            if source is BROKEN or (source in catalog.sources and findings.touches(("datasets",))):
                continue
            if source not in datasets:
                findings.unknown(path, f"{shown(source)} is not among the suite's datasets", source, datasets)
            elif source in seen:
                findings.add(path, f"{source} stands twice")
            seen.add(source)


def _of_bounded_size(
    drafts: list[Draft | None], entries: list[Any], catalog: Catalog, findings: Findings
) -> list[Draft | None]:
    """The drafts that say all they must and whose grids are not too large, counted before any is laid open."""
    kept: list[Draft | None] = []
    total = 0
    for place, draft in enumerate(drafts):
        if draft is None or not _is_complete(draft, entries[place], ("variants", place), findings):
            kept.append(None)
            continue
        size = count(draft, catalog, MOST_VARIANTS)
        if size > MOST_VARIANTS:
            findings.add(
                ("variants", place), f"a grid of {size:,} variants; a suite has at most {MOST_VARIANTS:,} variants"
            )
            kept.append(None)
            continue
        kept.append(draft)
        total += size
    if total > MOST_VARIANTS:
        findings.add(("variants",), f"{total:,} variants; a suite has at most {MOST_VARIANTS:,}")
        return [None] * len(drafts)
    return kept


def _is_complete(draft: Draft, entry: Any, path: Path, findings: Findings) -> bool:
    missing = draft.missing()
    if isinstance(entry, dict) and "extends" not in entry and not findings.touches(path):
        if "name" not in entry:
            findings.add(path, "needs extends or, where it extends nothing, a name")
            return False
        if missing:
            findings.add(path, f"extends nothing, so it must give {enumerated(missing)} too")
    return not missing


def _resolved(
    place: int, entry: Any, draft: Draft | None, defaults: Defaults, catalog: Catalog, findings: Findings
) -> Resolved:
    """The members of one entry, each a variant with every parameter written out."""
    name = entry.get("name", entry.get("extends")) if isinstance(entry, dict) else entry
    if draft is None and isinstance(entry, dict):
        _check_alone(entry, ("variants", place), catalog, findings)
    members = lay_open(draft, defaults, catalog, findings) if draft is not None else []
    if not isinstance(name, str) or findings.touches(("variants", place, "name")):
        return Resolved(place, name if isinstance(name, str) else None)
    alone = draft is not None and not is_gridded(draft, catalog)
    return Resolved(
        place,
        name,
        drafts=tuple(member.draft for member in members),
        variants=tuple(_variant(name, member, catalog) for member in members),
        sound=bool(members) and not findings.touches(("variants", place)),
        takes=tuple(name + member.bracket for member in members) or ((name,) if alone else ()),
    )


def _check_alone(entry: dict[str, Any], path: Path, catalog: Catalog, findings: Findings) -> None:
    """What is wrong with an entry whatever it builds upon, where that is not known."""
    names = {kind: name for kind in KINDS if (name := name_of(entry, kind, path)) is not None}
    known = {
        kind: name for kind, name in names.items() if known_part(kind, name.value, name.path or path, catalog, findings)
    }
    for where, given in values_of(entry, path).items():
        if where[0] not in names or where[0] in known:
            possible(where, given, known, catalog, findings)


def _variant(name: str, member: Member, catalog: Catalog) -> Variant:
    draft = member.draft
    meta = {key: " ".join(given.value.split()) for key, given in draft.meta.items() if isinstance(given.value, str)}
    on = draft.meta["on"].value if "on" in draft.meta else None
    return Variant(
        name=name + member.bracket,
        title=" ".join([meta.get("title", name), *([member.bracket] if member.bracket else [])]),
        stance=meta.get("stance", ""),
        composition=_composition(draft, catalog),
        generation=complete(catalog.generation, _below("generation", draft)),
        on=None if on is None else tuple(source for source in on if source is not BROKEN),
        extends=draft.extends,
        source=meta.get("source", ""),
        departs=meta.get("departs", ""),
        mended=meta.get("mended", ""),
    )


def _composition(draft: Draft, catalog: Catalog) -> dict[str, Any]:
    """Every choice with every parameter; `default` keeps only what was given, for the view to hand on."""
    composition: dict[str, Any] = {}
    for kind in KINDS:
        name = draft.names[kind].value
        parameters = catalog.parameters_of(kind, name)
        given = _below(kind, draft)
        if catalog.parts[kind][name].by_view is None:
            values = complete(parameters, given)
        else:
            values = {key: parameters[key].normal(value) for key, value in given.items()}
        composition[kind] = {"name": name, **copy.deepcopy(values)}
    scalars = complete(catalog.scalars, {key: draft.values[(key,)].value for key in SCALARS if (key,) in draft.values})
    return {"network": composition.pop("network"), **scalars, **composition}


def _below(group: str, draft: Draft) -> dict[str, Any]:
    return {place[1]: given.value for place, given in draft.values.items() if place[0] == group}


def _check_names(entries: tuple[Resolved, ...], findings: Findings) -> None:
    """Two variants of one name are an error: nobody could tell which one a row of the leaderboard means."""
    first: dict[str, Resolved] = {}
    for entry in entries:
        for name in entry.takes:
            if name in first:
                earlier = dotted(first[name].path)
                findings.add(entry.path, f"the name {name!r} is taken by {earlier} already; give this one its own name")
                break
            first[name] = entry


def _pairs(
    entry: Resolved, datasets: tuple[str, ...], catalog: Catalog, findings: Findings
) -> list[tuple[Variant, str]]:
    """The entry's variants with the views that they fit; a variant that fits none goes to `findings`."""
    pairs: list[tuple[Variant, str]] = []
    homeless: dict[str, list[str]] = {}
    for draft, variant in zip(entry.drafts, entry.variants, strict=True):
        wanted = datasets if variant.on is None else [source for source in datasets if source in variant.on]
        composed = {source: compose(variant, source, catalog) for source in wanted}
        obstacles = {source: made.reason for source, made in composed.items() if isinstance(made, Impossible)}
        fits = [source for source in composed if source not in obstacles]
        pairs += [(variant, source) for source in fits]
        if variant.on is not None:
            _note_forced(draft, variant, obstacles, findings)
        elif datasets and not fits and not findings.touches(("datasets",)):
            homeless.setdefault(_reasons(obstacles), []).append(variant.name)
        if fits:
            _check_handed_on(draft, fits, composed, catalog, findings)
    for reasons, names in homeless.items():
        fit = "fits" if len(names) == 1 else "fit"
        findings.add(entry.path, f"{enumerated(names, 2)} {fit} no data set of the suite: {reasons}")
    return pairs


def _note_forced(draft: Draft, variant: Variant, obstacles: dict[str, str], findings: Findings) -> None:
    on = draft.meta["on"]
    for number, source in enumerate(on.value):
        if source in obstacles:
            what = f"{variant.name} cannot be trained on {source}: {obstacles[source]}"
            findings.add((*(on.path or ()), number), what)


def _reasons(obstacles: dict[str, str]) -> str:
    """Why nothing fits, each reason once, with the views that it holds for where there are several."""
    by_reason: dict[str, list[str]] = {}
    for source, reason in obstacles.items():
        by_reason.setdefault(reason, []).append(source)
    if len(by_reason) == 1:
        return next(iter(by_reason))
    return "; ".join(f"on {enumerated(sources)} {reason}" for reason, sources in by_reason.items())


def _check_handed_on(
    draft: Draft,
    fits: list[str],
    composed: dict[str, dict[str, Any] | Impossible],
    catalog: Catalog,
    findings: Findings,
) -> None:
    """What an entry gives with `likelihood: default` must be a parameter of a likelihood that stands in for it."""
    likelihoods = [made["likelihood"]["name"] for source in fits if isinstance(made := composed[source], dict)]
    stand_ins = dict.fromkeys(likelihoods)
    known = {parameter for name in stand_ins for parameter in catalog.parts["likelihood"][name].parameters}
    for place, given in draft.values.items():
        if place[0] != "likelihood" or given.path is None or given.path[:1] == DEFAULTS:
            continue
        if place[1] not in known:
            findings.add(given.path, f"likelihood {enumerated(stand_ins)} has no such parameter")


def _check_reach(defaults: Defaults, table: VariantTable, catalog: Catalog, findings: Findings) -> None:
    """A default that reaches no variant says something that is not so."""
    for kind, name in defaults.names.items():
        if all(variant.composition[kind]["name"] != name.value for variant in table.variants):
            findings.add(name.path or DEFAULTS, f"reaches no variant: none has the {kind} {name.value}")
    for place, given in defaults.values.items():
        if place[0] in KINDS and not any(_has(*pair, place, defaults, catalog) for pair in table.pairs):
            whose = f"{place[0]} {defaults.names[place[0]].value}" if place[0] in defaults.names else place[0]
            findings.add(given.path or DEFAULTS, f"reaches no variant: no {whose} among them has it")


def _has(variant: Variant, source: str, place: Place, defaults: Defaults, catalog: Catalog) -> bool:
    """Does a default for `place` say something about the variant, once the view has resolved its likelihood?"""
    kind, parameter = place
    if kind in defaults.names and variant.composition[kind]["name"] != defaults.names[kind].value:
        return False
    composed = compose(variant, source, catalog)
    return isinstance(composed, dict) and parameter in catalog.parts[kind][composed[kind]["name"]].parameters

"""`profiles` of a suite: the same questions for a laptop and for a GPU. A profile says data sets, seeds, recipe, budget
and defaults in place of the suite, or joins what the suite says of them; variants, metrics and contrasts are shared."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vaebench.catalog.catalog import Catalog
from vaebench.catalog.parameters import shown
from vaebench.suite.mistakes import Findings, Mistake, Path, SuiteError, enumerated, nearest

OPTION = "--profile"
NEW_BASE = ("extends", "name")
"""Keys by which a mapping says that it builds upon something else than what it would join."""


@dataclass(frozen=True)
class Reading:
    """A suite's content as one profile has it."""

    profile: str | None
    """None where the suite has no profiles of its own, and nobody asked for one of the catalog's."""
    content: dict[str, Any]
    moved: dict[Path, Path]
    """Where something stands in the content → where it stands in the file."""
    profiles: tuple[str, ...] = ()
    """All that the suite has of its own."""
    sources: tuple[str, ...] = ()
    """Data set views that any of them names: a variant may be restricted to one that this profile leaves out."""


def readings(content: dict[str, Any], asked: str | None, catalog: Catalog, findings: Findings) -> list[Reading]:
    """The content under every profile of the suite, the one that is in force first.

    That is the one asked for, else the suite's `profile`, else the first. A suite without profiles of its own has one
    reading; `asked` is then a profile of the catalog, in place of the one that the suite names.
    """
    own = content.get("profiles", {})
    if not own:
        if asked is None:
            return [Reading(None, content, {})]
        _check_catalogs(asked, content, catalog)
        return [Reading(asked, {**content, "profile": asked}, {})]
    if asked is not None and asked not in own:
        raise _refused(f"the suite has no profile {shown(asked)}", asked, own)
    named = content.get("profile")
    if named is not None and named not in own:
        findings.unknown(("profile",), f"{shown(named)} is none of the suite's profiles", named, own)
        named = None
    first = asked or named or next(iter(own))
    return [_reading(name, content, own[name], catalog) for name in sorted(own, key=lambda name: name != first)]


def _reading(name: str, content: dict[str, Any], says: dict[str, Any], catalog: Catalog) -> Reading:
    """Recipe and budget start from the catalog's profile of that name, where it has one."""
    shared = {key: value for key, value in content.items() if key not in ("profiles", "profile")}
    base = {"profile": name} if name in catalog.profiles else {}
    moved: dict[Path, Path] = {}
    joined = {**_joined(shared, says, (), ("profiles", name), moved), **base}
    return Reading(name, joined, moved, tuple(content["profiles"]), _named_sources(content))


def _named_sources(content: dict[str, Any]) -> tuple[str, ...]:
    lists = [content.get("datasets", []), *(says.get("datasets", []) for says in content["profiles"].values())]
    return tuple(dict.fromkeys(source for named in lists for source in named if isinstance(source, str)))


def _joined(
    below: dict[str, Any], above: dict[str, Any], at: Path, stands: Path, moved: dict[Path, Path]
) -> dict[str, Any]:
    """`above` over `below`: mappings join unless the upper one names what it builds upon, all else is replaced."""
    joined = dict(below)
    for key, value in above.items():
        lower = below.get(key)
        if isinstance(value, dict) and isinstance(lower, dict) and not any(base in value for base in NEW_BASE):
            joined[key] = _joined(lower, value, (*at, key), (*stands, key), moved)
        else:
            joined[key] = value
            moved[(*at, key)] = (*stands, key)
    return joined


def _check_catalogs(asked: str, content: dict[str, Any], catalog: Catalog) -> None:
    """Does the catalog have the profile, and does it reach anything in a suite without profiles of its own?"""
    if asked not in catalog.profiles:
        raise _refused(f"{shown(asked)} is no profile", asked, catalog.profiles)
    if all(_names_base(content.get(key)) for key in ("recipe", "budget")):
        raise SuiteError([Mistake(OPTION, None, "", "changes nothing: the suite names recipe and budget itself")])


def _names_base(given: Any) -> bool:
    return isinstance(given, str) or (isinstance(given, dict) and "extends" in given)


def _refused(what: str, asked: str, valid: Iterable[str]) -> SuiteError:
    near = nearest(asked, valid)
    return SuiteError([Mistake(OPTION, None, "", what if near else f"{what}; valid: {enumerated(valid)}", near)])


def united(found: dict[str | None, list[Mistake]]) -> list[Mistake]:
    """The mistakes of all readings, each once; one that not every profile has says which have it."""
    holders: dict[Mistake, list[str | None]] = {}
    for profile, mistakes in found.items():
        for mistake in mistakes:
            holders.setdefault(mistake, []).append(profile)
    united = [
        mistake if len(profiles) == len(found) or mistake.path.startswith("profiles") else _under(mistake, profiles)
        for mistake, profiles in holders.items()
    ]
    return sorted(united, key=lambda mistake: mistake.line or 0)


def _under(mistake: Mistake, profiles: Iterable[str | None]) -> Mistake:
    which = enumerated(profile for profile in profiles if profile)
    return Mistake(mistake.file, mistake.line, mistake.path, f"{mistake.what} (profile {which})", mistake.suggestion)

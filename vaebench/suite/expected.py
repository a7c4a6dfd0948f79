"""`expected` of a suite: published numbers, exact truths and orders that its own numbers are held against."""

import math
from typing import Any

from vaebench.catalog.parameters import shown
from vaebench.suite.contrasts import side_is_known
from vaebench.suite.expansion import declined, not_applicable
from vaebench.suite.mistakes import Findings, Path, enumerated
from vaebench.suite.profiles import Reading
from vaebench.suite.schema import BROKEN
from vaebench.suite.scoring import Ground, covers
from vaebench.suite.suite import Expectation, split_side


def resolve_expected(
    reading: Reading, metrics: tuple[str, ...], ground: Ground, findings: Findings
) -> tuple[Expectation, ...]:
    """The expectations that the suite can be held against under a profile; what is wrong goes to `findings`.

    `metrics` are those that are scored. One that belongs to another profile is checked there, and kept here where the
    suite has its numbers.
    """
    found: list[Expectation] = []
    first: dict[tuple[Any, ...], int] = {}
    for place, entry in enumerate(reading.content.get("expected", [])):
        path: Path = ("expected", place)
        if entry is BROKEN:
            continue
        broken = findings.touches(path)
        own = entry.get("profile")
        if own is not None and not is_profile(own, reading.profiles, (*path, "profile"), findings):
            continue
        elsewhere = own is not None and own != reading.profile
        noted = findings.under() if elsewhere else findings
        expectation = _expectation(entry, path, metrics, ground, noted)
        if expectation is None or broken:
            continue
        said = (expectation.on, expectation.sides, own)
        if said in first:
            findings.add(path, f"says of the same numbers what expected[{first[said]}] says")
        first.setdefault(said, place)
        found.append(expectation)
    return tuple(found)


def is_profile(name: str, profiles: tuple[str, ...], path: Path, findings: Findings) -> bool:
    """Whether the suite has it; that it has not goes to `findings`."""
    if name not in profiles and profiles:
        findings.unknown(path, f"{shown(name)} is none of the suite's profiles", name, profiles)
    elif not profiles:
        findings.add(path, "the suite has no profiles of its own")
    return name in profiles


def _expectation(
    entry: dict[str, Any], path: Path, metrics: tuple[str, ...], ground: Ground, findings: Findings
) -> Expectation | None:
    before = len(findings)
    if "kind" in entry:
        _check_form(entry, path, findings)
    on = _source(entry, path, ground, findings)
    value = entry.get("value")
    sides: dict[Path, str] = {(*path, "of"): entry["of"]} if "of" in entry else {}
    sides |= {(*path, "value"): value} if isinstance(value, str) else {}
    sides |= {
        (*path, "order", number): side for number, side in enumerate(entry.get("order", ())) if side is not BROKEN
    }
    for where, side in sides.items():
        _check_side(side, where, on, metrics, ground, findings)
    _check_sides(list(sides.values()), path, ground, findings)
    if len(findings) > before or on is None or not {"source", "kind"} <= set(entry):
        return None
    return Expectation(
        source=" ".join(entry["source"].split()),
        kind=entry["kind"],
        on=on,
        of=entry.get("of"),
        value=value if isinstance(value, str) or value is None else float(value),
        band=float(entry["band"]) if "band" in entry else None,
        order=tuple(entry.get("order", ())),
        profile=entry.get("profile"),
        note=" ".join(entry.get("note", "").split()),
    )


def _check_form(entry: dict[str, Any], path: Path, findings: Findings) -> None:
    """An order, or a number with its band."""
    is_order = entry["kind"] == "order"
    needed, foreign = (("order",), ("of", "value", "band")) if is_order else (("of", "value", "band"), ("order",))
    for key in needed:
        if key not in entry and not findings.touches((*path, key)):
            findings.add(path, f"kind {entry['kind']} needs {key}")
    for key in foreign:
        if key in entry:
            findings.add((*path, key), f"belongs to another kind, this one is {entry['kind']}")
    for key in ("value", "band"):
        if isinstance(entry.get(key), int | float) and not math.isfinite(entry[key]):
            findings.add((*path, key), f"must be a finite number, is {shown(entry[key])}")
    if entry.get("band", 0) < 0:
        findings.add((*path, "band"), f"must be at least 0, is {shown(entry['band'])}")


def _source(entry: dict[str, Any], path: Path, ground: Ground, findings: Findings) -> str | None:
    """The data set view that it speaks of; without `on` the suite's only one."""
    on: str | None = entry.get("on")
    if findings.touches((*path, "on")):
        return None
    if on is None and len(ground.datasets) == 1:
        return ground.datasets[0]
    if on is None:
        if ground.datasets_are_sound:
            findings.add(path, f"needs on, one of {enumerated(ground.datasets)}")
    elif on in ground.datasets:
        return on
    elif ground.datasets_are_sound:
        findings.unknown((*path, "on"), f"{shown(on)} is not among the suite's datasets", on, ground.datasets)
    return None


def _check_side(
    side: str, path: Path, on: str | None, metrics: tuple[str, ...], ground: Ground, findings: Findings
) -> None:
    """A variant of the suite that is trained on the view, and a number of it that is scored there."""
    name, column = split_side(side)
    if not side_is_known(side, path, ground, findings):
        return
    if column is None:
        findings.add(path, f"must be variant:metric, such as {name}:elbo; is {shown(side)}")
    elif not covers(metrics, column):
        findings.add(path, f"{column} is not scored; list it among the metrics")
    elif on is not None and ground.table.sound:
        trained = ground.table.sources(name)
        variant = next(variant for variant in ground.table.variants if variant.name == name)
        reason = not_applicable(column, variant, on) or declined(column, variant)
        if on not in trained:
            findings.add(path, f"{name} is not trained on {on}, but on {enumerated(trained)}")
        elif reason is not None:
            findings.add(path, f"no {column} for {name} on {on}: {reason}")


def _check_sides(sides: list[str], path: Path, ground: Ground, findings: Findings) -> None:
    """Several numbers in one unit, none of them twice."""
    repeated = [side for place, side in enumerate(sides) if side in sides[:place]]
    if repeated:
        findings.add(path, f"{repeated[0]} stands twice")
    columns = [column for _, column in map(split_side, sides) if column in ground.catalog.columns]
    units = list(dict.fromkeys(ground.catalog.column(column).unit for column in columns if column))
    if len(units) > 1:
        findings.add(path, f"compares {enumerated(units)}")

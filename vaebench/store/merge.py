"""Results of several people and machines in one folder.

A cell that was trained twice has two versions. Merging is the union of versions, and of the answers within each, so it
is associative and loses nothing. One version is the cell's own: the older one, or with `newer` the newer one, though
never a failed one where another is done. The others stand aside in `cells/<id>/others/<version>/`.
"""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from vaebench.store.files import StoreError, read_json, replacing
from vaebench.store.folders import CellFolder, ResultsFolder, SuiteFolder
from vaebench.store.record import MetricValue
from vaebench.store.versions import OTHERS, Version, files_of, is_file, is_folder, joined, names_in, versions_of

SUITE = re.compile(r"\w[\w.-]{0,79}", re.ASCII)
VALUES_SHOWN = 3

Groups = Mapping[str, Sequence[Version]]
"""Version → the same training in several places."""


@dataclass
class Merged:
    """What a merge has done."""

    copied: int = 0
    """Cells that were not there before."""
    joined: int = 0
    """Cells that have got answers, files or versions."""
    same: int = 0
    """Cells that had all that was brought."""
    conflicts: list[str] = field(default_factory=list)
    """What two folders know differently, both values of it, and which is kept."""
    skipped: list[str] = field(default_factory=list)
    """What was refused, each with its reason."""
    suites: list[str] = field(default_factory=list)
    """Suites that can be reported from the merged folder."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def merge(into: ResultsFolder, sources: Sequence[ResultsFolder], newer: bool = False) -> Merged:
    """Bring every cell and every suite of `sources` into `into`; nothing is written anywhere else."""
    for source in sources:
        if not is_folder(source.path / "cells"):
            raise StoreError(f"{source.path}: no results folder (it has no folder cells)")
        if source.path.resolve() == into.path.resolve():
            raise StoreError(f"{source.path}: is the folder that is merged into")
    for path in (into.path, into.path / "cells"):
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise StoreError(f"{path}: is a link or no folder; a merge writes into a folder of its own")
    merged = Merged()
    for source in sources:
        for name in names_in(source.path / "cells"):
            _merge_cell(into.cell(name), source.cell(name), newer, merged)
        for name in names_in(source.path):
            _merge_suite(into.suite(name), source.suite(name), merged)
    return merged


def _merge_cell(target: CellFolder, origin: CellFolder, newer: bool, merged: Merged) -> None:
    theirs = versions_of(origin, merged.skipped, is_ours=False)
    ours = versions_of(target, merged.skipped, is_ours=True) if theirs and target.path.exists() else []
    groups: dict[str, list[Version]] = {}
    for version in (*ours, *theirs):
        groups.setdefault(version.id, []).append(version)
    places = (target.path, target.path / OTHERS, *(target.path / OTHERS / version for version in groups))
    links = [f"{path}: is a link, and a merge never writes through one" for path in places if path.is_symlink()]
    merged.skipped += links
    if links or not theirs:
        return
    own = min((members[0] for members in groups.values()), key=lambda version: version.order(newer))
    merged.conflicts += _conflicts(ours, theirs, own, newer)
    is_changed = _keep(target, groups, own.id, newer)
    merged.copied += not ours
    merged.joined += bool(ours) and is_changed
    merged.same += bool(ours) and not is_changed


def _keep(target: CellFolder, groups: Groups, own: str, newer: bool) -> bool:
    """Write every version to its place, those beside the cell first; whether anything changed.

    Where the cell's own files are exchanged its record goes first and comes last, so that wherever this is interrupted
    no record stands beside files of another version.
    """
    changes = [
        _write(CellFolder(target.path / OTHERS / version), members, newer)
        for version, members in groups.items()
        if version != own
    ]
    if all(version.home != target for version in groups[own]):
        target.result.unlink(missing_ok=True)
        for path in files_of(target):
            path.unlink(missing_ok=True)
    changes.append(_write(target, groups[own], newer))
    shutil.rmtree(target.path / OTHERS / own, ignore_errors=True)
    return any(changes)


def _write(home: CellFolder, versions: Sequence[Version], newer: bool) -> bool:
    """The files that are missing, and then the record if it is another; whether anything was written."""
    is_changed = False
    for version in versions:
        for path, source in zip(files_of(home), files_of(version.home), strict=True):
            if not path.exists() and is_file(source):
                with replacing(path) as temporary:
                    shutil.copyfile(source, temporary, follow_symlinks=False)
                is_changed = True
    record = joined(versions, newer)
    if home.read_record() != record:
        home.write_record(record)
        is_changed = True
    return is_changed


def _conflicts(ours: Sequence[Version], theirs: Sequence[Version], own: Version, newer: bool) -> Iterator[str]:
    """What `theirs` brings that `ours` knows otherwise."""
    known = {version.id: version for version in ours}
    for version in theirs if ours else ():
        if version.id in known:
            yield from _other_answers(known[version.id], version, newer)
            continue
        other = ours[0] if version.id == own.id else version
        has_failed = own.record.status != other.record.status
        why = "which did not fail" if has_failed else f"the {'newer' if newer else 'older'} one"
        kept = f"kept is that of {_date(own)}, {why}; the other is in {OTHERS}/{other.id}"
        yield f"{_title(version)}: trained twice{_both_values(own, other)}; {kept}"


def _other_answers(mine: Version, theirs: Version, newer: bool) -> Iterator[str]:
    """Requests that one model has answered in two ways."""
    before = mine.answers
    for key, answered in theirs.answers.items():
        if key in before and before[key].values != answered.values:
            kept, other = sorted((before[key], answered), key=lambda one: one.order(newer))
            pairs = zip(kept.values, other.values, strict=False)
            told = ", ".join(f"{first.metric} {_number(first)} and not {_number(second)}" for first, second in pairs)
            yield f"{_title(theirs)}: one model with two answers; kept is {told}"


def _both_values(own: Version, other: Version) -> str:
    """` (elbo -27.25 and -27.31)`, the kept number first; `, with the same numbers` where none differs."""
    there = other.answers
    pairs = [
        (first, second)
        for key, answered in own.answers.items()
        if key in there
        for first, second in zip(answered.values, there[key].values, strict=False)
        if first.status == second.status == "done" and first.value != second.value
    ]
    told = [f"{first.metric} {_number(first)} and {_number(second)}" for first, second in pairs[:VALUES_SHOWN]]
    more = [f"{len(pairs) - len(told)} more"] if len(pairs) > len(told) else []
    if not told and set(own.answers) & set(there):
        return ", with the same numbers"
    return f" ({', '.join([*told, *more])})" if told else ""


def _number(value: MetricValue) -> str:
    return value.status if value.value is None else f"{value.value:.7g}"


def _date(version: Version) -> str:
    if not version.finished:
        return "an unknown time"
    return datetime.fromtimestamp(version.finished, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _title(version: Version) -> str:
    """`digits/binary, seed 3, cell 0032280e62459788`"""
    if not version.home.spec.exists():
        return f"cell {version.record.cell}"
    cell = version.home.read_cell()
    return f"{cell.source}, seed {cell.seed}, cell {cell.id}"


def _merge_suite(target: SuiteFolder, origin: SuiteFolder, merged: Merged) -> None:
    """What a suite asks for, so that it can be reported from the merged cells. A suite that is there stays as it is."""
    if not (origin.lock.exists() or origin.lock.is_symlink()):
        return
    problem = _problem_of_suite(target, origin)
    if problem:
        merged.skipped.append(problem)
        return
    if target.lock.exists() and read_json(target.lock).get("suite") != read_json(origin.lock).get("suite"):
        kept = f"asks for something else than {target.lock}, which stays; the cells of both are there"
        merged.conflicts.append(f"{origin.lock}: {kept}")
    if not target.lock.exists():
        for path, source in ((target.plan, origin.plan), (target.lock, origin.lock)):
            if is_file(source):
                with replacing(path) as temporary:
                    shutil.copyfile(source, temporary, follow_symlinks=False)
    if target.path.name not in merged.suites:
        merged.suites.append(target.path.name)


def _problem_of_suite(target: SuiteFolder, origin: SuiteFolder) -> str | None:
    if not SUITE.fullmatch(origin.path.name) or origin.path.name.lower() == "cells":
        return f"{origin.path}: is no name of a suite"
    if not (is_folder(origin.path) and is_file(origin.lock)):
        return f"{origin.path}: is a link, and links are not followed"
    if target.path.is_symlink():
        return f"{target.path}: is a link, and a merge never writes through one"
    try:
        read_json(origin.lock)
    except StoreError as error:
        return str(error)
    return None

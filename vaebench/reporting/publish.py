"""Publishing a suite: its folder without its cells, small enough to be committed, whole or not at all."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vaebench.engines.lockfile import no_suite, read_lock
from vaebench.engines.planfile import read_plan
from vaebench.reporting.runs import counts_text, read_runs, runs_table, unfinished
from vaebench.reporting.write import has_records
from vaebench.store.files import StoreError, check_folder, file_checksum, read_json
from vaebench.store.folders import ResultsFolder, SuiteFolder

LIMIT = 20_000_000
"""Bytes that a published suite may have."""
LARGEST_NAMED = 5


@dataclass(frozen=True)
class Published:
    folder: SuiteFolder
    files: int
    bytes: int


def publish(source: SuiteFolder, to: Path, incomplete: bool = False, limit: int = LIMIT) -> Published:
    """Copy what people read and compare of a suite to `to`/SUITE, in place of what was published there before.

    A suite with a failed, missing or stale number is refused unless `incomplete` says so. What was fresh when the
    tables were written may be stale by now, which the records beside it tell.
    """
    files = _published_files(source)
    if not incomplete:
        _check_complete(source)
    _check_current(source)
    size = _checked_size(source, files, limit)
    target = SuiteFolder(to / source.path.resolve().name)
    _check_target(source, target)
    _replace(source, files, target)
    return Published(target, len(files), size)


def readable(size: int) -> str:
    """1.2 MB, 31 kB"""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"


def _published_files(source: SuiteFolder) -> list[Path]:
    """The files to copy; every fixed one must be there. No link is followed: what it names is no part of the suite."""
    fixed = [source.lock, source.plan, source.leaderboard, source.runs, source.contrasts, source.report, source.page]
    missing = [path.name for path in fixed if not path.is_file() or path.is_symlink()]
    if source.lock.name in missing:
        raise no_suite(source.path, source.lock.name)
    if missing:
        again = (
            f"`vaebench report {source.path}` writes it" if source.plan.name not in missing else "run the suite again"
        )
        raise StoreError(f"{source.path}: {', '.join(missing)} is missing; {again}")
    figures = (path for path in sorted(source.figures.rglob("*")) if not path.name.startswith("."))
    return [path for path in (*fixed, *figures) if path.is_file() and not path.is_symlink()]


def _check_complete(source: SuiteFolder) -> None:
    suite, results = read_lock(source.lock).suite, ResultsFolder(source.path.parent)
    written = unfinished(read_runs(source.runs))
    if cells := written or (unfinished(runs_table(suite, results)) if has_records(suite, results) else {}):
        advice = "run the suite again, or publish it as it is with --incomplete"
        raise StoreError(f"{source.path}: {counts_text(cells)}; {advice}")


def _check_current(source: SuiteFolder) -> None:
    """The tables are those that the report was written from, and no record is newer than they are."""
    lock, again = read_json(source.lock), f"`vaebench report {source.path}` writes everything anew"
    written = lock.get("written") or {}
    if written.get(source.runs.name, told := file_checksum(source.runs)) != told:
        raise StoreError(f"{source.runs}: not the table that the report was written from; {again}")
    cells = read_plan(source.plan).cells
    stamps = (ResultsFolder(source.path.parent).cell(line.cell).stamp for line in cells)
    newer = sum(stamp is not None and stamp[0] > source.runs.stat().st_mtime_ns for stamp in stamps)
    if newer:
        records = "the record of a cell is" if newer == 1 else f"the records of {newer} cells are"
        raise StoreError(f"{source.runs}: {records} newer; {again}")


def _checked_size(source: SuiteFolder, files: list[Path], limit: int) -> int:
    sizes = {path: path.stat().st_size for path in files}
    total = sum(sizes.values())
    if total > limit:
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:LARGEST_NAMED]
        named = ", ".join(f"{path.relative_to(source.path)} {readable(sizes[path])}" for path in largest)
        raise StoreError(
            f"{source.path}: {readable(total)} is more than the {readable(limit)} that a published suite may have; "
            f"the largest files: {named}"
        )
    return total


def _check_target(source: SuiteFolder, target: SuiteFolder) -> None:
    """Never onto itself, and never in place of something that is no published suite."""
    here, there = source.path.resolve(), target.path.resolve()
    if there.is_relative_to(here) or here.is_relative_to(there):
        place = "is" if there == here else "lies in" if there.is_relative_to(here) else "holds"
        raise StoreError(f"{target.path}: {place} the folder to be published; name another one with --to")
    if target.path.is_symlink() or (target.path.exists() and not target.lock.is_file()):
        raise StoreError(f"{target.path}: is there already and is no published suite; move it away first")
    if target.path.exists() and (named := _suite_name(target)) not in (None, _suite_name(source)):
        raise StoreError(f"{target.path}: holds another suite, {named}; move it away, or name another folder with --to")


def _suite_name(folder: SuiteFolder) -> str | None:
    """None where the lock file is damaged: nobody's."""
    try:
        suite = read_json(folder.lock).get("suite")
    except StoreError:
        return None
    return str(suite.get("name")) if isinstance(suite, dict) else None


def _replace(source: SuiteFolder, files: list[Path], target: SuiteFolder) -> None:
    """Copy beside the target, then let the copy take its place; what was there stays until the copy is whole."""
    check_folder(target.path.parent, "--to")
    target.path.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(prefix=f".{target.path.name}.", dir=target.path.parent))
    fresh, old = workplace / "fresh", workplace / "old"
    try:
        for path in files:
            _copy(path, fresh / path.relative_to(source.path))
        if target.path.exists():
            target.path.replace(old)
        try:
            fresh.replace(target.path)
        except OSError:
            if old.exists():
                old.replace(target.path)
            raise
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def _copy(path: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, copy)
    with copy.open("rb+") as stream:
        os.fsync(stream.fileno())

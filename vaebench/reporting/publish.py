"""Publishing a suite: its folder without its cells, small enough to be committed, whole or not at all."""

import os
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vaebench.reporting.runs import DONE, NOT_APPLICABLE, read_runs
from vaebench.reporting.tables import each_row
from vaebench.store.files import StoreError
from vaebench.store.folders import SuiteFolder

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

    A suite with a failed, missing or stale number is refused unless `incomplete` says so.
    """
    files = _published_files(source)
    if not incomplete:
        _check_complete(source)
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
        raise StoreError(f"{source.path}: no folder of a suite ({source.lock.name} is missing); give DIR/SUITE")
    if missing:
        again = (
            f"`vaebench report {source.path}` writes it" if source.plan.name not in missing else "run the suite again"
        )
        raise StoreError(f"{source.path}: {', '.join(missing)} is missing; {again}")
    figures = (path for path in sorted(source.figures.rglob("*")) if not path.name.startswith("."))
    return [path for path in (*fixed, *figures) if path.is_file() and not path.is_symlink()]


def _check_complete(source: SuiteFolder) -> None:
    cells: dict[str, str] = {}
    for run in each_row(read_runs(source.runs)):
        if run.status not in (DONE, NOT_APPLICABLE):
            cells.setdefault(run.cell, run.status)
    if cells:
        counts = ", ".join(f"{count} {status}" for status, count in Counter(cells.values()).items())
        which = "cell is" if len(cells) == 1 else "cells are"
        what = f"{len(cells)} {which} not complete ({counts})"
        raise StoreError(f"{source.path}: {what}; run the suite again, or publish it as it is with --incomplete")


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
    if target.path.resolve() == source.path.resolve():
        raise StoreError(f"{target.path}: is the folder to be published; name another one with --to")
    if target.path.is_symlink() or (target.path.exists() and not target.lock.is_file()):
        raise StoreError(f"{target.path}: is there already and is no published suite; move it away first")


def _replace(source: SuiteFolder, files: list[Path], target: SuiteFolder) -> None:
    """Copy beside the target, then let the copy take its place; what was there stays until the copy is whole."""
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

"""The versions of a cell: trainings of one cell on several machines, each with everything that was ever asked of it."""

import re
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from vaebench.store.cell import Cell, digest
from vaebench.store.files import StoreError, read_json
from vaebench.store.folders import CellFolder
from vaebench.store.record import MetricValue, Record
from vaebench.store.shapes import Misshapen

NAME = re.compile(r"[0-9a-f]{16}")
"""Of a cell, and of a version."""
OTHERS = "others"
"""Folder in a cell's folder for the versions that are not its own."""
SCORING = ("scoring_seconds", "scored")
"""What scoring adds to a record's `training`: request → seconds that it took, request → time at which it was done."""


@dataclass(frozen=True)
class Answered:
    """What a version answers to one request: every part of a metric, taken together."""

    values: tuple[MetricValue, ...]
    seconds: float | None
    scored: float | None
    """Time at which it was done; None where the record does not say."""

    def order(self, newer: bool) -> tuple[bool, float, str]:
        """The least of several is kept: what did not fail, then the older one, then what content says."""
        has_failed = any(value.status == "failed" for value in self.values)
        time = self.scored or 0.0
        return has_failed, -time if newer else time, digest([*map(asdict, self.values), self.seconds])


@dataclass(frozen=True)
class Version:
    """One training of a cell, and where its files lie."""

    record: Record
    home: CellFolder

    @property
    def id(self) -> str:
        """Of the training alone, not of what was asked of the model afterwards."""
        content = self.record.to_json()
        training = {name: value for name, value in content["training"].items() if name not in SCORING}
        return digest({**content, "metrics": [], "training": training})

    @property
    def finished(self) -> float:
        """Time at which the training was done; 0 where the record does not say."""
        return float(self.record.training.get("finished", 0.0))

    def order(self, newer: bool) -> tuple[bool, float, str]:
        """The least of several is the cell's own: what did not fail, then the older one."""
        return self.record.status == "failed", -self.finished if newer else self.finished, self.id

    @property
    def answers(self) -> dict[str, Answered]:
        """Request → what is answered."""
        seconds, scored = (self.record.training.get(name, {}) for name in SCORING)
        found: dict[str, list[MetricValue]] = {}
        for value in self.record.metrics:
            found.setdefault(value.request.key, []).append(value)
        return {key: Answered(tuple(values), seconds.get(key), scored.get(key)) for key, values in found.items()}


def joined(versions: Sequence[Version], newer: bool = False) -> Record:
    """One record of several of the same training, with everything that any of them answers."""
    found: dict[str, list[Answered]] = {}
    for version in versions:
        for key, answered in version.answers.items():
            found.setdefault(key, []).append(answered)
    kept = {key: min(answers, key=lambda answered: answered.order(newer)) for key, answers in sorted(found.items())}
    first = versions[0]
    if first.answers == kept:
        return first.record
    times = {
        "scoring_seconds": {key: answered.seconds for key, answered in kept.items() if answered.seconds is not None},
        "scored": {key: answered.scored for key, answered in kept.items() if answered.scored is not None},
    }
    training = {name: value for name, value in first.record.training.items() if name not in SCORING}
    values = [value for answered in kept.values() for value in answered.values]
    return replace(first.record, metrics=values, training={**training, **{name: t for name, t in times.items() if t}})


def versions_of(folder: CellFolder, problems: list[str], is_ours: bool) -> list[Version]:
    """A cell's own version and those beside it; what cannot be taken goes to `problems`, each with its reason.

    Somebody else's folder is looked through for what does not belong there; of ours only a damaged record is passed by.
    """
    beside = folder.path / OTHERS
    homes = [folder, *(CellFolder(beside / name) for name in names_in(beside))] if is_folder(beside) else [folder]
    found = []
    for home in homes:
        problem = None if is_ours else _problem(home, folder)
        record = None if problem else home.read_record()
        if record is not None and record.failure is not None and record.failure.kind == "damaged":
            problem = record.failure.message
        if problem:
            problems.append(problem)
        elif record is not None:
            found.append(Version(record, home))
    return found


def files_of(home: CellFolder) -> tuple[Path, ...]:
    """Everything of a finished cell but its record."""
    return home.spec, home.curves, home.arrays, home.model, home.log


def names_in(folder: Path) -> list[str]:
    """What lies in a folder; what begins with a dot is somebody's unfinished work."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def is_file(path: Path) -> bool:
    """A plain file: no link, no device, no pipe."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _problem(home: CellFolder, cell: CellFolder) -> str | None:
    """Why a version cannot be taken; None where it can, or where there is none yet."""
    if not is_folder(home.path):
        return f"{home.path}: is a link or no folder"
    if not NAME.fullmatch(home.path.name):
        return f"{home.path}: is no name of a cell"
    known = {path.name for path in (*files_of(home), home.result, home.checkpoint)}
    for entry in home.path.iterdir():
        if home == cell and entry.name == OTHERS and is_folder(entry):
            continue
        if not is_file(entry):
            return f"{entry}: is a link or no plain file"
        if entry.name not in known and not entry.name.startswith("."):
            return f"{entry}: is no file of a cell"
    try:
        described = Cell.from_spec(read_json(home.spec)).id if home.spec.exists() else cell.path.name
        recorded = read_json(home.result).get("cell") if home.result.exists() else cell.path.name
    except StoreError as error:
        return str(error)
    except Misshapen as error:
        return f"{home.spec}: does not describe a cell ({error})"
    other = next((found for found in (described, recorded) if found != cell.path.name), None)
    return f"{home.path}: holds another cell, {str(other)[:40]}" if other is not None else None

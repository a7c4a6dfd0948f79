"""Every path below a results folder, in one place."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vaebench.store.cell import Cell
from vaebench.store.files import Damaged, read_json, replacing, write_json
from vaebench.store.record import Failure, Record
from vaebench.store.shapes import Misshapen

Stamp = tuple[int, int] | None
"""Tells one writing of a record from the next; None where there is no record."""


@dataclass(frozen=True)
class CellFolder:
    """`DIR/cells/<id>/`, or a copy of it that stands elsewhere."""

    path: Path
    cell: str | None = None
    """Whose record it holds; None where the name of the folder does not say it."""

    @property
    def spec(self) -> Path:
        return self.path / "spec.json"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def curves(self) -> Path:
        return self.path / "curves.csv"

    @property
    def arrays(self) -> Path:
        return self.path / "arrays.npz"

    @property
    def model(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def checkpoint(self) -> Path:
        """Where an unfinished training stands; gone when it is done."""
        return self.path / "checkpoint.safetensors"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def stamp(self) -> Stamp:
        """Of the record as it stands now."""
        try:
            status = self.result.stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino

    def read_cell(self) -> Cell:
        try:
            return Cell.from_spec(read_json(self.spec))
        except Misshapen as error:
            raise Damaged(f"{self.spec}: does not describe a cell ({error})") from error

    def write_cell(self, cell: Cell) -> None:
        write_json(self.spec, cell.spec())

    def read_record(self) -> Record | None:
        """The record, or None where the cell has left none yet.

        One that is damaged reads as a failure that says so and has no fingerprints: it counts as nothing that was
        measured, stops nobody from reading the others, and the next run makes it again.
        """
        if not self.result.exists():
            return None
        try:
            record = Record.from_json(read_json(self.result))
            if self.cell is not None and record.cell != self.cell:
                raise Misshapen(f"it is of another cell, {record.cell[:40]!r}")
            return record
        except (Damaged, Misshapen) as error:
            reason = str(error) if isinstance(error, Damaged) else f"{self.result}: not a record ({error})"
            return Record(self.path.name, "failed", {}, failure=Failure("damaged", reason))

    def write_record(self, record: Record) -> None:
        write_json(self.result, record.to_json())

    @property
    def files(self) -> dict[str, Path]:
        """Name → file of everything that a worker writes; the log is the driver's."""
        written = (self.spec, self.curves, self.arrays, self.model, self.checkpoint, self.result)
        return {path.name: path for path in written}

    def take(self, content: Mapping[str, bytes | None]) -> None:
        """Write files that a worker has written elsewhere, the record last, and remove those that it removed."""
        for name, path in self.files.items():
            if name not in content:
                continue
            if (written := content[name]) is None:
                path.unlink(missing_ok=True)
            else:
                with replacing(path) as temporary:
                    temporary.write_bytes(written)


@dataclass(frozen=True)
class SuiteFolder:
    """`DIR/<suite>/`"""

    path: Path

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def leaderboard(self) -> Path:
        return self.path / "leaderboard.csv"

    @property
    def runs(self) -> Path:
        return self.path / "runs.csv"

    @property
    def contrasts(self) -> Path:
        return self.path / "contrasts.csv"

    @property
    def lock(self) -> Path:
        return self.path / "suite.lock.json"

    @property
    def report(self) -> Path:
        return self.path / "report.md"

    @property
    def page(self) -> Path:
        return self.path / "report.html"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    def progress(self, fleet: str) -> Path:
        """Where the worker of a fleet says how far it is, for `vaebench status` in another shell."""
        return self.path / "progress" / f"{fleet}.json"


@dataclass(frozen=True)
class ResultsFolder:
    """`--results DIR`"""

    path: Path

    def cell(self, cell: str) -> CellFolder:
        return CellFolder(self.path / "cells" / cell, cell)

    def suite(self, name: str) -> SuiteFolder:
        return SuiteFolder(self.path / name)

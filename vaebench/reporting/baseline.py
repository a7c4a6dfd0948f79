"""What a gate compares with: a leaderboard that somebody has kept, and the runs beside it."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaebench.catalog.catalog import load_catalog
from vaebench.reporting import statistics
from vaebench.reporting.compare import Side
from vaebench.reporting.gate import Gate, gate
from vaebench.reporting.leaderboard import TEXT, WHOLE, Leaderboard, leaderboard_table
from vaebench.reporting.runs import STALE, read_runs, runs_table
from vaebench.reporting.tables import write_table
from vaebench.reporting.text import absent, counted
from vaebench.store.files import StoreError, replacing
from vaebench.store.folders import ResultsFolder, SuiteFolder
from vaebench.suite.suite import Suite


@dataclass(frozen=True)
class Updated:
    """A baseline that was written."""

    path: Path
    size: str
    replaced: str | None
    """Size of the baseline that it takes the place of; None where there was none."""
    gate: Gate | None
    """What is accepted by it: the new numbers beside the old ones."""

    @property
    def lines(self) -> list[str]:
        written = f"{self.path}: written with {runs_file(self.path).name}: {self.size}"
        if self.gate is None or self.replaced is None:
            return [f"{written}; there was no baseline before"]
        return [*self.gate.lines, f"{written}, in place of {self.replaced}"]

    @property
    def passed(self) -> bool:
        """Whatever became worse has been accepted."""
        return True

    def to_json(self) -> dict[str, Any]:
        accepted = self.gate.to_json() if self.gate else None
        return {"baseline": str(self.path), "size": self.size, "replaced": self.replaced, "accepted": accepted}


def present(suite: Suite, results: ResultsFolder) -> Side:
    """The suite's numbers from its records, which alone say whether they are stale."""
    if not (results.path / "cells").is_dir():
        raise StoreError(f"{results.path}: has no records (cells is missing), and a gate looks at nothing else")
    runs = runs_table(suite, results)
    return Side(suite.name, Leaderboard(leaderboard_table(suite, runs)), runs, suite)


def read_baseline(path: Path) -> Side:
    """A leaderboard with its runs, where they are kept: `runs.csv` beside it, or `NAME.runs.csv` beside `NAME.csv`."""
    path = baseline_file(path)
    if not path.is_file():
        raise StoreError(f"{path}: no such baseline; --update (in pytest --vaebench-update) writes the first one")
    beside = [runs for runs in (runs_file(path), SuiteFolder(path.parent).runs) if runs.is_file()]
    side = Side(str(path), Leaderboard.read(path), read_runs(beside[0]) if beside else None)
    _check_columns(side.board, path)
    if beside:
        _check_runs(side, beside[0])
    return side


def update(path: Path, now: Side) -> Updated:
    """Let the present numbers be the baseline. Only one of the same suite is ever replaced."""
    path = baseline_file(path)
    old = read_baseline(path) if path.exists() else None
    accepted = gate(old, now) if old else None
    write_baseline(path, now)
    return Updated(path, size_of(now), size_of(old) if old else None, accepted)


def write_baseline(path: Path, now: Side) -> None:
    """Leaderboard and runs, each whole. A stale number is never written down as what is expected."""
    assert now.runs is not None
    stale = now.runs["cell"][now.runs["status"] == STALE].nunique()
    if stale:
        raise StoreError(f"{now.name}: {counted(stale, 'stale cell')}; run the suite again before its numbers are kept")
    with replacing(path) as board, replacing(runs_file(path)) as runs:
        write_table(board, now.board.table)
        write_table(runs, now.runs)


def baseline_file(path: Path) -> Path:
    """The file itself, or the leaderboard of a folder."""
    return SuiteFolder(path).leaderboard if path.is_dir() else path


def runs_file(path: Path) -> Path:
    """Where the runs of a baseline are kept, so that several fit into one folder."""
    folder = SuiteFolder(path.parent)
    return folder.runs if path.name == folder.leaderboard.name else path.with_name(f"{path.stem}.runs.csv")


def size_of(side: Side) -> str:
    """`6 rows, 12 metrics, 5 seeds`"""
    seeds = max((int(row["seeds"] + row["failed"]) for row in side.rows.values()), default=0)
    metrics = [metric for metric in side.board.metrics if side.board.table[metric].notna().any()]
    sizes = {"row": len(side.rows), "metric": len(metrics), "seed": seeds}
    return ", ".join(counted(size, noun) for noun, size in sizes.items())


def _check_columns(board: Leaderboard, path: Path) -> None:
    """A metric that lost its mean or an end of its interval would no more be compared, and nobody told."""
    there, known = set(board.table.columns), set(load_catalog().columns)
    stems = {name.removesuffix("_low").removesuffix("_high") for name in there - {*TEXT, *WHOLE}}
    for stem in sorted(stems):
        triple = [f"{stem}{end}" for end in ("", "_low", "_high")]
        missing = [name for name in triple if name not in there]
        if missing and (stem in known or len(missing) < len(triple) - 1):
            columns = "columns are" if len(missing) > 1 else "column is"
            advice = "restore it, or move it away and write it anew with --update"
            raise StoreError(f"{path}: the {columns} missing: {', '.join(missing)}; {advice}")


def _check_runs(side: Side, path: Path) -> None:
    """The runs are those that the leaderboard summarises, and none of them is stale."""
    assert side.runs is not None
    if (side.runs["status"] == STALE).any():
        raise StoreError(
            f"{path}: has stale numbers; move the baseline away and write it anew from fresh ones with --update"
        )
    for key, row in side.rows.items():
        values = side.values.get(key.runs, {})
        for metric in side.board.metrics:
            if not _is_mean(row[metric], list(values.get(metric, {}).values())):
                where = f"the mean of {metric} for {key.source} {key.variant} is another"
                raise StoreError(f"{path}: not the runs of {side.name} ({where}); keep together what belongs together")


def _is_mean(mean: float, values: list[float]) -> bool:
    if absent(mean) or not values:
        return absent(mean) and not values
    return math.isclose(statistics.estimate(values).mean, mean, rel_tol=1e-9, abs_tol=1e-12)

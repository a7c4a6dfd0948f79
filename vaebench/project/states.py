"""How far a suite is, told from files alone."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from vaebench.engines.lockfile import no_suite
from vaebench.engines.planfile import CellLine, PlanFile, read_plan
from vaebench.engines.progress import FleetStatus, read_progress
from vaebench.store.folders import ResultsFolder, SuiteFolder

FROM_TABLES = "told by its tables: none of its cells is here"
"""Of a published suite, and of one whose cells were deleted."""


@dataclass(frozen=True)
class Status:
    """How far a suite is, from files alone."""

    suite: str
    counts: dict[str, int]
    """done, failed, open."""
    from_tables: bool
    """Where none of its cells is here."""
    failures: dict[str, int]
    """What went wrong → in how many cells."""
    fleets: list[FleetStatus]


def status(path: Path) -> Status:
    """Told from plan.json, the records, and what running workers have said; works from any shell. Where the records
    are elsewhere, as those of a published folder, from runs.csv."""
    folder = SuiteFolder(path)
    if not folder.plan.exists():
        raise no_suite(path, folder.plan.name)
    planned, results = read_plan(folder.plan), ResultsFolder(path.parent)
    cells = _distinct(planned.cells)
    has_records = any(results.cell(cell.cell).path.is_dir() for cell in cells)
    from_tables = not has_records and folder.runs.is_file()
    states = _states_in(folder.runs, cells) if from_tables else [_state_of(cell, planned, results) for cell in cells]
    counts = {state: sum(state == found for found, _ in states) for state in ("done", "failed", "open")}
    fleets = read_progress(folder, [fleet.fleet for fleet in planned.fleets])
    return Status(planned.suite, counts, from_tables, dict(Counter(why for _, why in states if why)), fleets)


def _distinct(cells: Iterable[CellLine]) -> list[CellLine]:
    """Each cell once, with all that the rows which share it want."""
    found: dict[str, CellLine] = {}
    for cell in cells:
        other = found.get(cell.cell, cell)
        found[cell.cell] = replace(cell, wanted=list(dict.fromkeys([*other.wanted, *cell.wanted])))
    return list(found.values())


def _states_in(runs: Path, cells: Iterable[CellLine]) -> list[tuple[str, str]]:
    """The same by a table, in which every planned cell ought to be."""
    from vaebench.reporting.runs import FAILED, read_runs, unfinished

    table = read_runs(runs)
    there = set(table["cell"])
    states = {cell.cell: ("done" if cell.cell in there else "open", "") for cell in cells}
    for cell, run in unfinished(table).items():
        if cell not in states:
            continue
        states[cell] = ("failed", f"{run.metric}: {run.note}") if run.status == FAILED else ("open", "")
    return list(states.values())


def _state_of(cell: CellLine, planned: PlanFile, results: ResultsFolder) -> tuple[str, str]:
    """done, failed or open, and what went wrong."""
    record, keep_stale = results.cell(cell.cell).read_record(), planned.keep_stale
    if record is None or not (keep_stale or record.fingerprints == cell.fingerprints):
        return "open", ""
    if record.failure is not None:
        return "failed", f"{record.failure.kind}: {record.failure.message}"
    wanted, now = set(cell.wanted), planned.metric_fingerprints
    answers = [
        value
        for value in record.metrics
        if value.request.key in wanted and (keep_stale or value.fingerprint == now.get(value.family))
    ]
    if {value.request.key for value in answers} != wanted:
        return "open", ""
    failed = [f"{value.family}: {value.note}" for value in answers if value.status == "failed"]
    return ("failed", failed[0]) if failed else ("done", "")

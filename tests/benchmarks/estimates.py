"""How far a plan's estimate of time is from what was then taken, on a machine that has trained other variants.

    python -m tests.benchmarks.estimates RESULTS [--write]

Of every suite in the results folder, each variant on each view is estimated from the records of all others, as a plan
does whose suite has one variant more than were ever trained here, and held against the seconds on record.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from tests.benchmarks.outcome import FOLDER, command, into_page, keep, machine, origin, table
from vaebench.engines.estimate import Paces, earlier_records
from vaebench.engines.job import CellWork, Job
from vaebench.engines.lockfile import read_lock
from vaebench.store.cell import Cell
from vaebench.store.folders import ResultsFolder
from vaebench.store.record import Record
from vaebench.suite.expansion import expand, requests
from vaebench.suite.suite import Suite

NEAR = 0.3
"""An estimate within this share of the truth serves its purpose."""


class Judged(NamedTuple):
    row: str
    """Data set view and variant."""
    estimated: float
    taken: float


def judged(suite: Suite, seen: dict[str, tuple[Cell, Record]]) -> list[Judged]:
    """Every row of the suite that is on record in full, and that the others have something to say about."""
    rows: dict[tuple[str, str], list[CellWork]] = defaultdict(list)
    for planned in expand(suite).planned:
        work = CellWork(planned.cell, True, tuple(requests(suite, planned)), {})
        rows[planned.cell.source, planned.variant].append(work)
    found = []
    for (source, variant), works in rows.items():
        mine = {work.cell.id for work in works}
        if not mine <= seen.keys():
            continue
        others = Paces(record for cell, record in seen.items() if cell not in mine)
        estimate = others.job_seconds(Job("", tuple(works), {}))
        if estimate is not None:
            taken = sum(_seconds(seen[work.cell.id][1], work) for work in works)
            found.append(Judged(f"{source} {variant}", estimate, taken))
    return found


def _seconds(record: Record, work: CellWork) -> float:
    scoring = record.training.get("scoring_seconds", {})
    return record.training["seconds"] + sum(scoring.get(request.key, 0.0) for request in work.requests)


def summary(suite: str, found: list[Judged]) -> list[Any]:
    ratios = [one.estimated / one.taken for one in found]
    near = sum(abs(ratio - 1) <= NEAR for ratio in ratios)
    whole = sum(one.estimated for one in found) / sum(one.taken for one in found)
    return [
        suite,
        len(found),
        whole,
        median(ratios),
        f"{min(ratios):.2f} … {max(ratios):.2f}",
        f"{near} of {len(found)}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--write", action="store_true", help="the table into docs/performance.md")
    options = parser.parse_args()
    results = ResultsFolder(options.results)
    seen = {cell.id: (cell, record) for cell, record in earlier_records(results) if record.failure is None}
    suites = {lock.parent.name: read_lock(lock).suite for lock in sorted(options.results.glob("*/suite.lock.json"))}
    found = {name: rows for name, suite in suites.items() if (rows := judged(suite, seen))}
    columns = ["suite", "rows", "all rows, × the truth", "a row: median", "from … to", "within 30 %"]
    where, how = machine(), command("tests.benchmarks.estimates")
    text = f"{table(columns, [summary(name, rows) for name, rows in found.items()])}\n{origin(where, how)}"
    print(text)
    for name, rows in found.items():
        for one in sorted(rows, key=lambda one: one.estimated / one.taken):
            print(f"{name}: {one.row}: {one.estimated:.0f} s estimated, {one.taken:.0f} s taken")
    if options.write:
        numbers = {name: [one._asdict() for one in rows] for name, rows in found.items()}
        keep("estimates", {"machine": where, "command": how, "rows": numbers}, FOLDER)
        into_page("estimates", text)


if __name__ == "__main__":
    main()

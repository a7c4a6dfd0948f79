"""Which fleets of a plan are trained by compiled steps: those where compiling takes little of what it is to shorten."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Literal

from vaebench.catalog.catalog import load_catalog
from vaebench.engines.estimate import Paces, earlier_records, likeness
from vaebench.engines.job import Job
from vaebench.store.cell import Cell
from vaebench.store.folders import ResultsFolder
from vaebench.store.record import Record
from vaebench.suite.trainers import library_of

Wanted = Literal["auto", "never", "always"]

FIRST_SECONDS = 40.0
"""What compiling a fleet is taken to cost where none was seen to be compiled."""
SHARE = 0.1
"""Of a fleet's training that compiling it may take at most."""


def compiled_where_it_pays(jobs: Sequence[Job], results: ResultsFolder, wanted: Wanted) -> tuple[Job, ...]:
    """The jobs and their paths: what is like nothing that was trained here is compiled only if that is asked for."""
    if wanted == "never" or not any(takes_steps(job) for job in jobs):
        return tuple(jobs)
    if wanted == "always":
        return tuple(replace(job, compiled=takes_steps(job)) for job in jobs)
    seen = Seen(list(earlier_records(results)))
    return tuple(replace(job, compiled=takes_steps(job) and seen.pays(job)) for job in jobs)


def takes_steps(job: Job) -> bool:
    """Whether vaebench trains models of the job by gradients."""
    catalog = load_catalog()
    trained = [work.cell.composition for work in job.cells if work.train]
    return any(
        library_of(composition, catalog) is None
        and not catalog.parts["objective"][composition["objective"]["name"]].fitted
        for composition in trained
    )


class Seen:
    """What training by plain and by compiled steps took on this machine."""

    def __init__(self, earlier: Sequence[tuple[Cell, Record]]) -> None:
        by_path: dict[bool, list[tuple[Cell, Record]]] = {False: [], True: []}
        for cell, record in earlier:
            by_path[bool(record.training.get("compiled"))].append((cell, record))
        self.plain, self.compiled = Paces(by_path[False]), Paces(by_path[True])
        costs = [
            record.training["preparing_seconds"] * record.training.get("members", 1)
            for _, record in by_path[True]
            if record.training.get("preparing_seconds")
        ]
        self.compiling_seconds = median(costs) if costs else FIRST_SECONDS

    def pays(self, job: Job) -> bool:
        """Whether compiling takes a tenth of the plain training at most; not where a model of the very same kind was
        seen to gain nothing by it."""
        trained = [work.cell for work in job.cells if work.train]
        paces = [self.plain.training_pace(cell) for cell in trained]
        if not trained or None in paces:
            return False
        seconds = sum(pace * cell.recipe["epochs"] for pace, cell in zip(paces, trained, strict=True) if pace)
        if self.compiling_seconds > SHARE * seconds:
            return False
        same = likeness(trained[0])[:1]
        plain, compiled = (paces.training_pace(trained[0], same) for paces in (self.plain, self.compiled))
        return plain is None or compiled is None or compiled < plain

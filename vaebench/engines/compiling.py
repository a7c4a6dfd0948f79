"""Which fleets of a plan are trained by compiled steps: those where compiling takes less than it saves."""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import replace
from statistics import median
from typing import Literal

from vaebench.catalog.catalog import load_catalog
from vaebench.engines.estimate import Paces, earlier_records, likeness
from vaebench.engines.job import Job
from vaebench.store.cell import Cell
from vaebench.store.folders import ResultsFolder
from vaebench.store.record import Record
from vaebench.suite.trainers import is_fitted, library_of

Wanted = Literal["auto", "never", "always"]

FIRST_SECONDS = 40.0
"""What compiling a fleet is taken to cost where none was seen to be compiled."""
SAVED = 0.06
"""Share of a training that compiled steps are taken to save where no model of its kind was seen on both paths: of one
member of the network in docs/performance.md."""
SHARE = 0.1
"""Of a fleet's training that compiling it may take at most, whatever it saves."""


def compiled_where_it_pays(
    jobs: Sequence[Job], results: ResultsFolder, wanted: Wanted | Collection[str], on_gpu: bool = True
) -> tuple[Job, ...]:
    """The jobs and their paths: what is like nothing that was trained here is compiled only if that is asked for, by a
    word for all or by the cells. On a CPU too: what little it saves there is not worth that a seed's numbers depend on
    what else was trained before."""
    if not isinstance(wanted, str):
        named = frozenset(wanted)
        return tuple(replace(job, compiled=not named.isdisjoint(work.cell.id for work in job.cells)) for job in jobs)
    if wanted == "never" or (wanted == "auto" and not on_gpu) or not any(takes_steps(job) for job in jobs):
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
        library_of(composition, catalog) is None and not is_fitted(composition, catalog) for composition in trained
    )


class Seen:
    """What training by plain and by compiled steps took on this machine."""

    def __init__(self, earlier: Sequence[tuple[Cell, Record]]) -> None:
        by_path: dict[bool, list[tuple[Cell, Record]]] = {False: [], True: []}
        for cell, record in earlier:
            by_path[bool(record.training.get("compiled"))].append((cell, record))
        self.plain, self.compiled = Paces(by_path[False]), Paces(by_path[True])
        self.costs: dict[Hashable, list[float]] = {}
        """Kind → seconds that tracing and compiling one of its fleets took."""
        for cell, record in by_path[True]:
            if preparing := record.training.get("preparing_seconds"):
                self.costs.setdefault(_kind(cell), []).append(preparing * record.training.get("members", 1))

    def pays(self, job: Job) -> bool:
        """Whether compiling takes less than compiled steps save, and a tenth of the plain training at most."""
        trained = [work.cell for work in job.cells if work.train]
        paces = [self.plain.training_pace(cell) for cell in trained]
        if not trained or None in paces:
            return False
        seconds = sum(pace * cell.recipe["epochs"] for pace, cell in zip(paces, trained, strict=True) if pace)
        return self._cost(trained[0]) < min(SHARE, self._saved(trained[0])) * seconds

    def _cost(self, cell: Cell) -> float:
        """What is compiled is kept, so of its own kind what it usually took; of another the most that any took here."""
        if own := self.costs.get(_kind(cell)):
            return median(own)
        return max((cost for costs in self.costs.values() for cost in costs), default=FIRST_SECONDS)

    def _saved(self, cell: Cell) -> float:
        """Share of the plain training; of the very same kind where both paths were seen."""
        plain, compiled = (paces.training_pace(cell, [_kind(cell)]) for paces in (self.plain, self.compiled))
        return SAVED if plain is None or compiled is None else 1.0 - compiled / plain


def _kind(cell: Cell) -> Hashable:
    """Cells whose steps are the same program."""
    return likeness(cell)[0]

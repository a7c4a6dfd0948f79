"""What a driver may take up of its plan while others work on the same results folder."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from vaebench.engines.job import CellWork, Job
from vaebench.engines.planning import Plan
from vaebench.engines.settling import Settled, finished, remaining
from vaebench.store.folders import ResultsFolder
from vaebench.store.leases import Leases

Tell = Callable[[dict[str, Any]], None]


class Claims:
    """Hands out the jobs of a plan, each cell under a lease, and leaves to others what they hold.

    What somebody else has made since the plan was drawn up is not made again: it is `elsewhere`, and settled.
    """

    def __init__(self, plan: Plan, results: ResultsFolder, leases: Leases, tell: Tell) -> None:
        self.elsewhere: list[Settled] = []
        """What other drivers have made of this plan."""
        self._waiting = deque(plan.jobs)
        self._stamps = dict(plan.stamps)
        self._results = results
        self._leases = leases
        self._tell = tell
        self._told: set[str] = set()

    def __len__(self) -> int:
        """Jobs that wait, be it for a worker or for another driver."""
        return len(self._waiting)

    def next(self) -> Job | None:
        """The first job that can be taken; None where others hold all that is left."""
        for _ in range(len(self._waiting)):
            job = self._waiting.popleft()
            taken, left = self._take(job)
            if left:
                self._waiting.append(replace(job, cells=left))
                self._tell_once(job, left)
            if mine := self._undone(job, taken, is_all=not left):
                return mine
        return None

    def give_back(self, job: Job, first: bool = False) -> None:
        """Let a job wait again; `first`: before the others."""
        (self._waiting.appendleft if first else self._waiting.append)(job)

    def release(self, job: Job) -> None:
        for work in job.cells:
            self._leases.release(work.cell.id)

    def still_ours(self, job: Job) -> Job:
        """The cells of a job that no other driver has taken over."""
        return replace(job, cells=tuple(work for work in job.cells if self._leases.holds(work.cell.id)))

    def holds(self, cell: str) -> bool:
        """Whether a cell is still this driver's."""
        return self._leases.holds(cell)

    def lost(self) -> set[str]:
        """Cells that another driver has taken over, which had every reason to think that this one was dead."""
        return self._leases.lost()

    def _take(self, job: Job) -> tuple[tuple[CellWork, ...], tuple[CellWork, ...]]:
        """The cells that are ours now, and the others; a fleet whose first cell is taken is left to who took it."""
        first, *others = job.cells
        if not self._leases.take(first.cell.id):
            return (), job.cells
        taken = {first.cell.id, *(work.cell.id for work in others if self._leases.take(work.cell.id))}
        return (
            tuple(work for work in job.cells if work.cell.id in taken),
            tuple(work for work in job.cells if work.cell.id not in taken),
        )

    def _undone(self, job: Job, taken: tuple[CellWork, ...], is_all: bool) -> Job | None:
        """What is still to be done of the cells that were taken; the rest is free again."""
        if not taken:
            return None
        mine = replace(job, cells=taken, owner=self._leases.owner.name)
        settled = finished(mine, self._results, self._stamps)
        left = remaining(mine, self._results, self._stamps)
        self._release_all_but(left.cells if left else (), taken)
        if settled.done or settled.failed:
            self.elsewhere.append(settled)
        if not left and is_all:
            content = {"done": list(settled.done), "failed": [list(failed) for failed in settled.failed]}
            self._tell({"event": "end", "fleet": job.fleet, "status": "done", **content})
        return left

    def _release_all_but(self, kept: Iterable[CellWork], taken: Iterable[CellWork]) -> None:
        keep = {work.cell.id for work in kept}
        for work in taken:
            if work.cell.id not in keep:
                self._leases.release(work.cell.id)

    def _tell_once(self, job: Job, left: tuple[CellWork, ...]) -> None:
        """Say who has a fleet that would be ours to make."""
        if job.fleet not in self._told and (holder := self._leases.holder(left[0].cell.id)):
            self._told.add(job.fleet)
            self._tell({"event": "elsewhere", "fleet": job.fleet, "holder": holder})

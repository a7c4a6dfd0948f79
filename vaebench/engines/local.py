"""The engine of one machine: fleets run in worker processes, and a worker that dies costs its fleet only."""

import threading
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from vaebench.catalog.implementation import implementation
from vaebench.engines.claims import Claims
from vaebench.engines.crew import (
    CLAIM_SECONDS,
    Inbox,
    Listener,
    Outcome,
    Rules,
    Worker,
    end_event,
    for_fleet,
    interruptible,
    outcome_of,
    run_with_workers,
)
from vaebench.engines.gpus import gpus
from vaebench.engines.planning import Plan
from vaebench.engines.process import WorkerProcess, threads_per_worker
from vaebench.engines.settling import Settled, finished, settle, stamps
from vaebench.engines.worker import PERFORM
from vaebench.store.folders import ResultsFolder
from vaebench.store.leases import Leases


@dataclass(frozen=True)
class LocalEngine:
    """Runs a plan's jobs on this machine."""

    workers: int = 1
    """Jobs at a time; they share the cores evenly, and the GPUs."""
    timeout: float | None = None
    fail_fast: bool = False
    debug: bool = False
    """Perform the jobs in this process, where a debugger reaches them and errors keep their traceback."""
    perform: str = PERFORM
    """`module:function` that performs a job."""

    def run(self, plan: Plan, results: ResultsFolder, listener: Listener) -> Outcome:
        """Perform every job of `plan`; on the first Ctrl-C stop the workers and return, on the second kill them."""
        if not plan.jobs:
            return Outcome()
        if self.debug:
            return self._run_here(plan, results, listener)
        size = max(1, min(self.workers, len(plan.jobs)))
        place = ThisMachine(results.path, self.perform, size, gpus(plan.jobs[0].device))
        return run_with_workers(Rules(self.timeout, self.fail_fast), place, plan, results, listener)

    def _run_here(self, plan: Plan, results: ResultsFolder, listener: Listener) -> Outcome:
        with interruptible() as interrupts, Leases(results.path) as leases:
            claims = Claims(plan, results, leases, listener)
            settled = _perform_here(self, claims, results, listener, interrupts)
        return outcome_of([*claims.elsewhere, *settled], interrupts)


@dataclass(frozen=True)
class ThisMachine:
    """So many worker processes, each with its share of the cores and, where there are GPUs, with one of them."""

    results: Path
    perform: str
    size: int
    gpus: tuple[str, ...] = ()

    def room(self) -> int:
        return self.size

    def hire(self, inbox: Inbox, beside: Collection[Worker]) -> WorkerProcess:
        taken = [worker.gpu for worker in beside if isinstance(worker, WorkerProcess)]
        gpu = min(self.gpus, key=taken.count, default=None)
        return WorkerProcess(self.results, self.perform, threads_per_worker(self.size), inbox, gpu)


def _perform_here(
    engine: LocalEngine,
    claims: Claims,
    results: ResultsFolder,
    listener: Listener,
    interrupts: threading.Event,
) -> list[Settled]:
    perform = implementation(engine.perform)
    settled: list[Settled] = []
    while claims and not interrupts.is_set():
        job = claims.next()
        if job is None:
            listener({"event": "tick"})
            interrupts.wait(CLAIM_SECONDS)
            continue
        before = stamps(job, results)
        emit = for_fleet(job, listener)
        emit({"event": "start"})
        try:
            perform(job, results, emit, interrupts.is_set)
        except Exception:
            if not interrupts.is_set():
                raise
            settled.append(finished(job, results, before))
        else:
            settled.append(settle(job, results, before, None))
        emit(end_event("stopped" if interrupts.is_set() else "done", settled[-1]))
        claims.release(job)
        if engine.fail_fast and settled[-1].failed:
            break
    return settled

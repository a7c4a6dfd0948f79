"""The engine of a Slurm cluster, through submitit: a fleet is a job, and fleets of like needs are an array of jobs."""

import contextlib
import json
import math
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import submitit
from submitit.core.utils import FailedJobError, UncompletedJobError

from vaebench.engines.crew import (
    STOP_SECONDS,
    EngineUnavailable,
    Listener,
    Outcome,
    end_event,
    interruptible,
    outcome_of,
)
from vaebench.engines.job import Job
from vaebench.engines.local import LocalEngine
from vaebench.engines.needs import GPU_PROCESS, Needs
from vaebench.engines.planning import Plan
from vaebench.engines.settling import Settled, finished, settle, stamps
from vaebench.engines.slurm_task import FleetTask
from vaebench.engines.worker import PERFORM
from vaebench.store.folders import ResultsFolder, Stamp
from vaebench.store.leases import Leases
from vaebench.store.record import Failure, FailureKind

MINUTES = 60
"""That a job asks for where its user does not say: when they are over, it is queued again and goes on."""
TIMEOUTS = 100
"""How often a job may be queued again because its time was over."""
LEAST_MEMORY = 4
"""GB of a job."""
ARRAY = 1000
"""Jobs of one array: what Slurm takes unless its administrators say otherwise (MaxArraySize)."""
LOOK_SECONDS = 0.5
GENERIC = ("timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node")
"""Parameters that submitit knows on every cluster; all others are Slurm's."""
RECORDED: dict[str, FailureKind] = {"OUT_OF_MEMORY": "oom", "TIMEOUT": "timeout"}
"""Ends of a Slurm job that its fleet is to blame for. After any other its cells are open, for the next run."""


@dataclass(frozen=True)
class SlurmEngine:
    """Runs a plan's jobs on a Slurm cluster; the results folder is one that all nodes share."""

    parameters: Mapping[str, str | int] = field(default_factory=dict)
    """What submitit's AutoExecutor takes: `partition`, `time` (minutes), `mem_gb`, `cpus_per_task`, …; and `cluster`,
    which may be `local` or `debug` where there is no Slurm."""
    detach: bool = False
    """Leave when everything is submitted."""
    workers: int | None = None
    """Jobs of an array at a time; None: as many as Slurm likes."""
    timeout: float | None = None
    fail_fast: bool = False
    perform: str = PERFORM

    def run(self, plan: Plan, results: ResultsFolder, listener: Listener) -> Outcome:
        """Submit every job of `plan` and follow them; on Ctrl-C they are cancelled, and what is finished stays."""
        if not plan.jobs:
            return Outcome()
        shared = ResultsFolder(results.path.resolve())
        submissions = self.submit(plan, shared)
        if self.detach:
            return Outcome(detached=_told(submissions, shared.suite(plan.suite.name).path))
        with interruptible() as interrupts:
            settled = Watch(submissions, shared, listener, interrupts, self.fail_fast).run()
        return outcome_of(settled, interrupts)

    def submit(self, plan: Plan, results: ResultsFolder) -> list["Submission"]:
        """Every job of `plan`, as arrays of tasks that need nobody to wait for them."""
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
        folder = results.suite(plan.suite.name).path / "slurm" / name
        folder.mkdir(parents=True)
        engine = LocalEngine(1, self.timeout, self.fail_fast, perform=self.perform)
        submissions = []
        for resources, jobs in _classes(plan.jobs):
            executor = self._executor(folder, resources)
            tasks = [FleetTask(_alone(plan, job), results.path, folder / f"{job.fleet}.events", engine) for job in jobs]
            with executor.batch():
                queued = [executor.submit(task) for task in tasks]
            submissions += [
                Submission(job, task, handle, stamps(job, results))
                for job, task, handle in zip(jobs, tasks, queued, strict=True)
            ]
        return submissions

    def _executor(self, folder: Path, resources: dict[str, int]) -> submitit.AutoExecutor:
        given = {"timeout_min": MINUTES, "array_parallelism": self.workers or ARRAY, **resources, **self.parameters}
        cluster = given.pop("cluster", "slurm")
        parameters = {name if name in GENERIC else f"slurm_{name}": value for name, value in given.items()}
        try:
            executor = submitit.AutoExecutor(folder / "%j", cluster=str(cluster), slurm_max_num_timeout=TIMEOUTS)
            executor.update_parameters(name="vaebench", **parameters)
        except (NameError, ValueError, AssertionError) as error:
            raise EngineUnavailable(f"--slurm: {str(error).splitlines()[0]}") from error
        except RuntimeError as error:
            raise EngineUnavailable(f"--engine slurm: {error} (--slurm cluster=local tries it without)") from error
        return executor


@dataclass(frozen=True)
class Submission:
    """One fleet in the queue."""

    job: Job
    task: FleetTask
    handle: "submitit.Job[Outcome]"
    before: dict[str, Stamp]


class Watch:
    """Follows what was submitted: passes on its events, and says what became of it."""

    def __init__(
        self,
        submissions: list[Submission],
        results: ResultsFolder,
        listener: Listener,
        interrupts: threading.Event,
        fail_fast: bool,
    ) -> None:
        self.running = submissions
        self.results = results
        self.listener = listener
        self.interrupts = interrupts
        self.fail_fast = fail_fast
        self.settled: list[Settled] = []
        self.read: dict[str, int] = {}
        """Fleet → bytes of its events that have been passed on."""
        self.stop_asked: float | None = None

    def run(self) -> list[Settled]:
        while self.running and not self._is_too_late():
            for submission in list(self.running):
                is_done = submission.handle.done()
                self._follow(submission)
                if is_done:
                    self.running.remove(submission)
                    self.settled.append(self._settle(submission))
            if self.interrupts.is_set():
                self._stop("interrupted")
            elif self.fail_fast and any(settled.failed for settled in self.settled):
                self._stop("a cell failed")
            self.listener({"event": "tick"})
            if self.running:
                self.interrupts.wait(LOOK_SECONDS) if not self.stop_asked else time.sleep(LOOK_SECONDS)
        self.settled += [finished(left.job, self.results, left.before) for left in self.running]
        return self.settled

    def _follow(self, submission: Submission) -> None:
        fleet = submission.job.fleet
        with contextlib.suppress(FileNotFoundError), submission.task.events.open("rb") as stream:
            stream.seek(self.read.get(fleet, 0))
            lines = stream.read().splitlines(keepends=True)
            for line in lines:
                if line.endswith(b"\n"):
                    self.read[fleet] = self.read.get(fleet, 0) + len(line)
                    self.listener(json.loads(line))

    def _settle(self, submission: Submission) -> Settled:
        """By what the job has returned; where it ended without an answer, by how Slurm says that it did."""
        try:
            outcome = submission.handle.result()
        except (UncompletedJobError, FailedJobError) as error:
            settled = self._settle_without_answer(submission, error)
            status = "stopped" if self.stop_asked else "failed"
            self.listener({**end_event(status, settled), "fleet": submission.job.fleet})
            return settled
        return Settled(outcome.done, outcome.failed)

    def _settle_without_answer(self, submission: Submission, error: Exception) -> Settled:
        job, handle = submission.job, submission.handle
        done = finished(job, self.results, submission.before)
        if self.stop_asked:
            return done
        state = str(handle.state).split(" ")[0]
        log = f"its log: {handle.paths.stderr}"
        why = f"job {handle.job_id} ended as {state} without an answer ({_cause(error)}); {log}"
        if state in RECORDED:
            return self._put_on_record(submission, Failure(RECORDED[state], why))
        over = {cell for cell, _ in done.failed} | set(done.done)
        return Settled(
            done.done, (*done.failed, *((work.cell.id, why) for work in job.cells if work.cell.id not in over))
        )

    def _put_on_record(self, submission: Submission, failure: Failure) -> Settled:
        """Where nobody else is at it by now."""
        with Leases(self.results.path) as leases:
            cells = tuple(work for work in submission.job.cells if leases.take(work.cell.id))
            return settle(replace(submission.job, cells=cells), self.results, submission.before, failure)

    def _stop(self, why: str) -> None:
        if self.stop_asked:
            return
        self.stop_asked = time.monotonic()
        self.listener({"event": "stopping", "why": why})
        for submission in self.running:
            submission.handle.cancel(check=False)

    def _is_too_late(self) -> bool:
        return self.stop_asked is not None and time.monotonic() - self.stop_asked > STOP_SECONDS


def _classes(jobs: Iterable[Job]) -> Iterator[tuple[dict[str, int], list[Job]]]:
    """Jobs by what Slurm is asked for, GPUs and memory in powers of two, in arrays of a size that it takes."""
    found: dict[tuple[int, int], list[Job]] = {}
    jobs = list(jobs)
    needs = _needs(jobs)
    for job in jobs:
        gigabytes = max(LEAST_MEMORY, 2 ** math.ceil(math.log2(needs[job.fleet].memory / 2**30)))
        found.setdefault((int(needs[job.fleet].gpu), gigabytes), []).append(job)
    for (gpus, gigabytes), alike in found.items():
        for begin in range(0, len(alike), ARRAY):
            yield {"mem_gb": gigabytes, **({"gpus_per_node": gpus} if gpus else {})}, alike[begin : begin + ARRAY]


def _needs(jobs: list[Job]) -> dict[str, Needs]:
    """Predicted here; a GPU is had whole."""
    if jobs[0].device == "cuda":
        return {job.fleet: Needs(GPU_PROCESS, 1.0) for job in jobs}
    from vaebench.engines.predicting import all_needs

    return all_needs(jobs, on_gpu=False)


def _alone(plan: Plan, job: Job) -> Plan:
    """The plan of one job."""
    mine = {work.cell.id for work in job.cells}
    return replace(
        plan,
        jobs=(job,),
        cells=tuple(planned for planned in plan.cells if planned.cell.id in mine),
        impossible=(),
        stamps={cell: stamp for cell, stamp in plan.stamps.items() if cell in mine},
    )


def _told(submissions: list[Submission], suite: Path) -> tuple[str, ...]:
    ids = dict.fromkeys(submission.handle.job_id.partition("_")[0] for submission in submissions)
    many = "fleet" if len(submissions) == 1 else "fleets"
    return (
        f"{len(submissions)} {many} submitted: job {', '.join(ids)}",
        f"how far they are: vaebench status {suite}",
        f"when they are through: vaebench report {suite}",
    )


def _cause(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__

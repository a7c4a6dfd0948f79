"""The workers of a run, wherever they are: who gets which fleet, and what a worker that dies or misbehaves costs."""

import contextlib
import queue
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from vaebench.engines.claims import Claims
from vaebench.engines.job import Job
from vaebench.engines.planning import Plan
from vaebench.engines.settling import Settled, finished, remaining, settle, stamps
from vaebench.store.files import Unwritable, write_text
from vaebench.store.folders import ResultsFolder, Stamp
from vaebench.store.leases import Leases
from vaebench.store.record import Failure

Listener = Callable[[dict[str, Any]], None]
"""Hears of everything that happens.

The engine's own events: `start` (fleet), `end` (fleet, status, done, failed), `stopping` (why) and, twice a second,
`tick`; between start and end of a fleet, with its key as `fleet`, those that the worker emits, and `restart` (why).
Of a fleet that another driver works on: `elsewhere` (fleet, holder), and `end` if that driver has done all of it.
"""

TICK_SECONDS = 0.5
START_SECONDS = 300
"""A worker that has not imported its modules by then never will."""
DEATHS = 3
"""Workers that a fleet may lose before it is recorded as failed; each goes on from the last one's checkpoints. One that
was lost with its machine counts only if it had not come further than those before it."""
STOP_SECONDS = 60
"""How long workers have to come to a point where they can stop."""
CLAIM_SECONDS = 1.0
"""How often a driver looks whether others have let go of a cell, and whether its own leases still are its own."""


class EngineError(Exception):
    """Workers cannot be started, so nothing can run."""


class EngineUnavailable(EngineError):
    """The engine that was asked for is not installed, or is not where its user says that it is."""


@dataclass(frozen=True)
class Outcome:
    """What a run has done; cells that it never came to are in neither list."""

    done: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    """Cell ids, with what happened."""
    interrupted: bool = False
    detached: tuple[str, ...] = ()
    """Where the work goes on without this process: what was submitted, a line each."""


class Engine(Protocol):
    """Where the fleets of a plan are run."""

    def run(self, plan: Plan, results: ResultsFolder, listener: Listener) -> Outcome: ...


class Worker(Protocol):
    """Performs one job after another in a process of its own. What it has to say arrives in the inbox that it was
    given: `ready` when it can take a job, then of each job `begun`, the events of vaebench.engines.worker, and `end`;
    `exit` when it has ended by itself, `garbage` (text) when it said something that is no event, `broken` (why) when
    no worker could do better, `files` (cell, files) when it writes elsewhere."""

    is_ready: bool
    """Set by the crew."""
    is_lost: bool
    """Whether it ended with the machine that it was on."""

    def send(self, job: Job) -> None:
        """Hand over a job."""

    def ask_to_stop(self) -> None: ...

    def kill(self) -> None:
        """End the worker and whatever it has started, at once."""

    def ending(self) -> str:
        """How a worker that ended by itself did so, and the last that it printed."""

    def last_words(self) -> str:
        """The last lines that it printed as the end of a message; empty where there are none."""

    def said(self) -> str:
        """What was printed since it got its job."""


Inbox = queue.Queue[tuple[Worker, dict[str, Any]]]


class Place(Protocol):
    """Where workers can be had."""

    def room(self) -> int:
        """How many there can be at a time, as things stand."""

    def hire(self, inbox: Inbox, beside: Collection[Worker]) -> Worker:
        """One more, beside those that there are."""


@dataclass(frozen=True)
class Rules:
    """How long a run has patience, with every fleet alike."""

    timeout: float | None = None
    """Seconds that one fleet may take in a run, over all its workers; None: as long as it likes."""
    fail_fast: bool = False
    """Stop at the first cell that fails."""


def run_with_workers(rules: Rules, place: Place, plan: Plan, results: ResultsFolder, listener: Listener) -> Outcome:
    """Perform every job of `plan`; on the first Ctrl-C stop the workers and return, on the second kill them."""
    with interruptible() as interrupts, Leases(results.path) as leases:
        claims = Claims(plan, results, leases, listener)
        crew = Crew(rules, place, claims, results, listener, interrupts)
        try:
            settled = crew.run()
        finally:
            crew.kill()
    return outcome_of([*claims.elsewhere, *settled], interrupts)


def outcome_of(settled: list[Settled], interrupts: threading.Event) -> Outcome:
    total = Settled.total(settled)
    return Outcome(total.done, total.failed, interrupts.is_set())


@dataclass
class _Assignment:
    """A job in the hands of a worker."""

    job: Job
    before: dict[str, Stamp]
    tell: Listener
    begun: float | None = None
    """When work on it began; None while it waits."""
    at: str = ""
    """How far it is, in words."""
    is_further: bool = False
    """Whether this worker has brought it further than those before it."""


class Crew:
    """The workers of one run, and the loop that listens to them."""

    def __init__(
        self,
        rules: Rules,
        place: Place,
        claims: Claims,
        results: ResultsFolder,
        listener: Listener,
        interrupts: threading.Event,
    ) -> None:
        self.rules = rules
        self.place = place
        self.results = results
        self.listener = listener
        self.interrupts = interrupts
        self.claims = claims
        self.settled: list[Settled] = []
        self.inbox: Inbox = queue.Queue(maxsize=10_000)
        self.workers: dict[Worker, float] = {}
        """Worker → when it was started."""
        self.assigned: dict[Worker, _Assignment] = {}
        self.deaths: Counter[str] = Counter()
        """Fleet → workers that died over it."""
        self.spent: dict[str, float] = {}
        """Fleet → seconds that earlier workers have had for it."""
        self.reached: Counter[str] = Counter()
        """Fleet → the furthest epoch that a worker has come to."""
        self.claimed_at = 0.0
        self.stop_asked: float | None = None
        self.handlers = {
            "begun": self._on_begun,
            "end": self._on_end,
            "exit": self._on_exit,
            "garbage": self._on_garbage,
            "broken": self._on_broken,
            "files": self._on_files,
        }

    def run(self) -> list[Settled]:
        last_tick = time.monotonic()
        self._hire()
        while self.workers:
            with contextlib.suppress(queue.Empty):
                self._hear(*self.inbox.get(timeout=TICK_SECONDS / 2))
            if self.interrupts.is_set():
                self._stop("interrupted")
            if time.monotonic() - last_tick >= TICK_SECONDS:
                last_tick = time.monotonic()
                self._enforce_limits()
                self._look_after_leases()
                self.listener({"event": "tick"})
        return self.settled

    def kill(self) -> None:
        """End every worker that is left."""
        for worker in list(self.workers):
            self._end(worker)

    def _hire(self) -> None:
        """Start workers while there is work for them."""
        while not self.stop_asked and len(self._free()) < len(self.claims) and len(self.workers) < self.place.room():
            worker = self.place.hire(self.inbox, self.workers)
            self.workers[worker] = time.monotonic()

    def _free(self) -> list[Worker]:
        return [worker for worker in self.workers if worker not in self.assigned]

    def _assign(self, worker: Worker) -> None:
        """Give a free worker the next job, or end it: it holds nothing that is not on disk. Where other drivers hold
        all that is left it waits, for they may let go of it undone."""
        job = None if self.stop_asked else self.claims.next()
        if job is None:
            if self.stop_asked or not self.claims:
                self._end(worker)
            return
        if job.fleet not in self.deaths:
            self._forget_logs(job)
        self.assigned[worker] = _Assignment(job, stamps(job, self.results), for_fleet(job, self.listener))
        worker.send(job)

    def _hear(self, worker: Worker, event: dict[str, Any]) -> None:
        """Act on an event; what comes from a worker that was ended meanwhile is late and ignored."""
        if worker in self.assigned:
            self.handlers.get(event["event"], self._on_news)(worker, event)
        elif worker in self.workers and event["event"] == "ready":
            worker.is_ready = True
            self._assign(worker)
        elif worker in self.workers and event["event"] == "exit":
            if not worker.is_ready:
                raise EngineError(f"a worker {worker.ending()} before it was ready")
            self._end(worker)
            self._hire()

    def _on_begun(self, worker: Worker, event: dict[str, Any]) -> None:
        """From now on its time counts: until now its job may have waited for a machine."""
        assignment = self.assigned[worker]
        assignment.begun = time.monotonic()
        assignment.tell({"event": "start"})

    def _on_news(self, worker: Worker, event: dict[str, Any]) -> None:
        assignment = self.assigned[worker]
        assignment.is_further |= event["event"] == "cell"
        if event["event"] == "epoch":
            self._note_epoch(assignment, event["epoch"])
            assignment.at = f" in epoch {event.get('epoch')} of {event.get('epochs')}"
        if event["event"] == "scoring":
            assignment.at = f" while {event.get('metric')} was scored"
        assignment.tell(event)
        if event["event"] == "cell" and event.get("status") == "failed" and self.rules.fail_fast:
            self._stop("a cell failed")

    def _note_epoch(self, assignment: _Assignment, epoch: int) -> None:
        fleet = assignment.job.fleet
        if epoch > self.reached[fleet]:
            self.reached[fleet] = epoch
            assignment.is_further = True

    def _on_end(self, worker: Worker, event: dict[str, Any]) -> None:
        status = event["status"]
        if status == "failed" and event["kind"] == "unwritable":
            # nothing can be put on record either, so the cells stay as they are, for the next run
            raise Unwritable(event["message"])
        if status == "failed":
            # after an error that `perform` did not expect, its process is not trusted with another job
            self._dismiss(worker, Failure(event["kind"], event["message"]))
        elif status == "stopped" and not self.stop_asked and self._is_robbed(worker):
            self._yield(worker)
        elif status == "stopped" and not self.stop_asked:
            self._dismiss(worker, Failure("crash", "the worker was told to stop (SIGTERM), and not by vaebench"))
        else:
            self._settle(worker, None, status)
            self._assign(worker)

    def _on_exit(self, worker: Worker, event: dict[str, Any]) -> None:
        """A worker that died costs its fleet the way since its last checkpoint; one that keeps dying, the fleet."""
        assignment = self.assigned[worker]
        fleet = assignment.job.fleet
        self.deaths[fleet] += not (worker.is_lost and assignment.is_further)
        if self.deaths[fleet] >= DEATHS or self.stop_asked:
            self._dismiss(worker, Failure("crash", f"the worker{assignment.at} {worker.ending()}"))
            return
        assignment.tell({"event": "restart", "why": f"the worker{assignment.at} {worker.ending()}"})
        del self.assigned[worker]
        self.spent[fleet] = self._seconds(assignment, time.monotonic())
        self._keep_log(assignment.job, worker.said())
        self._end(worker)
        self._put_back(assignment)
        self._hire()

    def _put_back(self, assignment: _Assignment) -> None:
        """Keep what a worker had finished, and let the rest of its job wait for another."""
        job = assignment.job
        self.settled.append(finished(job, self.results, assignment.before))
        self.claims.release(job)
        if left := remaining(job, self.results, assignment.before):
            self.claims.give_back(left, first=True)
        else:
            assignment.tell(end_event("done", self.settled[-1]))

    def _on_broken(self, worker: Worker, event: dict[str, Any]) -> None:
        raise EngineError(event["why"])

    def _on_files(self, worker: Worker, event: dict[str, Any]) -> None:
        """Take over what a worker without this folder has written, unless somebody else has the cell by now."""
        if self.claims.holds(event["cell"]):
            self.results.cell(event["cell"]).take(event["files"])

    def _on_garbage(self, worker: Worker, event: dict[str, Any]) -> None:
        text = f"the worker wrote something that is no event into its event stream: {event['text']!r}"
        self._dismiss(worker, Failure("crash", text + worker.last_words()))

    def _enforce_limits(self) -> None:
        now = time.monotonic()
        limit = self.rules.timeout
        for worker, started in list(self.workers.items()):
            assignment = self.assigned.get(worker)
            if self.stop_asked and now - self.stop_asked > STOP_SECONDS:
                self._dismiss(worker, Failure("crash", "the worker did not stop when it was asked to"))
            elif assignment and limit and self._seconds(assignment, now) > limit:
                message = f"the fleet ran past its {limit:g} seconds{assignment.at}{worker.last_words()}"
                self._dismiss(worker, Failure("timeout", message))
            elif not worker.is_ready and now - started > START_SECONDS:
                raise EngineError(f"a worker did not start within {START_SECONDS} seconds{worker.last_words()}")

    def _seconds(self, assignment: _Assignment, now: float) -> float:
        """What a fleet has taken in this run, over all its workers."""
        now_spent = now - assignment.begun if assignment.begun is not None else 0.0
        return self.spent.get(assignment.job.fleet, 0.0) + now_spent

    def _look_after_leases(self) -> None:
        """Stop work on cells that another driver has taken over, and take up what others have let go of."""
        now = time.monotonic()
        if now - self.claimed_at < CLAIM_SECONDS:
            return
        self.claimed_at = now
        lost = self.claims.lost()
        for worker in list(self.assigned) if lost else ():
            if self._is_robbed(worker):
                self._yield(worker)
        self._hire()
        for worker in self._free():
            if worker.is_ready:
                self._assign(worker)

    def _is_robbed(self, worker: Worker) -> bool:
        """Whether another driver has taken over a cell that the worker is at."""
        job = self.assigned[worker].job
        return self.claims.still_ours(job) != job

    def _yield(self, worker: Worker) -> None:
        """Leave to another driver what it has taken over, and what we still hold to whoever comes first."""
        assignment = self.assigned.pop(worker)
        assignment.tell({"event": "restart", "why": "another driver took it for abandoned and has it now"})
        self._end(worker)
        self._put_back(assignment)
        self._hire()

    def _dismiss(self, worker: Worker, failure: Failure) -> None:
        """End a worker, put `failure` on record for what it left undone, and go on with another."""
        self._end(worker)
        if worker in self.assigned:
            self._settle(worker, failure, "stopped" if self.stop_asked else "failed")
        self._hire()

    def _end(self, worker: Worker) -> None:
        self.workers.pop(worker, None)
        worker.kill()

    def _settle(self, worker: Worker, failure: Failure | None, status: str) -> None:
        assignment = self.assigned.pop(worker)
        job, before = self.claims.still_ours(assignment.job), assignment.before
        if status == "stopped":
            settled = finished(job, self.results, before)
        else:
            settled = settle(job, self.results, before, failure)
        self._keep_log(job, worker.said())
        self.settled.append(settled)
        self.claims.release(assignment.job)
        assignment.tell(end_event(status, settled))
        if settled.failed and self.rules.fail_fast:
            self._stop("a cell failed")

    def _forget_logs(self, job: Job) -> None:
        for work in job.cells:
            self.results.cell(work.cell.id).log.unlink(missing_ok=True)

    def _keep_log(self, job: Job, text: str) -> None:
        """Add what was printed to each cell's log."""
        for work in job.cells if text else ():
            path = self.results.cell(work.cell.id).log
            write_text(path, (path.read_text(encoding="utf-8") if path.exists() else "") + text)

    def _stop(self, why: str) -> None:
        """Ask the busy workers to stop; the others go at once, and so do those whose job has not begun."""
        if self.stop_asked:
            return
        self.stop_asked = time.monotonic()
        self.listener({"event": "stopping", "why": why})
        for worker in list(self.workers):
            assignment = self.assigned.get(worker)
            if assignment is not None and assignment.begun is not None:
                worker.ask_to_stop()
                continue
            self._end(worker)
            if assignment is not None:
                self._settle(worker, None, "stopped")


def for_fleet(job: Job, listener: Listener) -> Listener:
    """`listener` for the events of one job."""
    return lambda event: listener({**event, "fleet": job.fleet})


def end_event(status: str, settled: Settled) -> dict[str, Any]:
    return {"event": "end", "status": status, "done": list(settled.done), "failed": [list(f) for f in settled.failed]}


@contextlib.contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C (or SIGTERM) sets; the second one is a KeyboardInterrupt."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    def on_signal(*_: object) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

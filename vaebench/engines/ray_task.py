"""What runs on a node of a Ray cluster: the same worker process as on one machine, and what passes its events on.

The files of a fleet are written straight into the results folder where the node sees it. Whether it does is not asked
of the user: the driver holds a lease on every cell, a file with a name that was never used before, and who finds that
file has the driver's folder before him. Elsewhere the worker writes into a folder of the node's own, and what it writes
comes back through the object store, finished cells at once and checkpoints every minute.
"""

import contextlib
import queue
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray

from vaebench.catalog.implementation import implementation
from vaebench.engines.crew import START_SECONDS, Inbox
from vaebench.engines.job import Job
from vaebench.engines.needs import Needs
from vaebench.engines.process import WorkerProcess
from vaebench.engines.ray_shipping import unpacked
from vaebench.store.folders import ResultsFolder, Stamp
from vaebench.store.leases import is_held

Event = dict[str, Any]

FLUSH_SECONDS = 0.25
"""Events are passed on that often, and all that came meanwhile at once."""
BATCH = 200
"""Most of them at a time."""
CHECKPOINT_SECONDS = 60.0
"""A checkpoint is sent that often where the results folder is not shared."""
NEWS = ("epoch", "scoring")
"""Events of which only the last of a batch says anything."""


@dataclass(frozen=True)
class Order:
    """One fleet for one node."""

    job: Job
    results: str
    """The driver's results folder, from the root."""
    perform: str
    threads: int
    files: dict[str, dict[str, "ray.ObjectRef[bytes]"]] = field(default_factory=dict)
    """Cell → name → what stands in the driver's folder, for a node that does not see it."""


class Post:
    """One fleet on a node, as an actor of Ray's: it lives as long as its fleet does."""

    worker: WorkerProcess

    def perform(self, order: Order) -> Iterator[list[Event]]:
        """The events of the worker in batches; the last one ends it."""
        job = replace(order.job, plugins=unpacked(order.job.plugins))
        inbox: Inbox = queue.Queue(maxsize=BATCH)
        with _folder(order) as (folder, mirror):
            if mirror is not None:
                job = replace(job, owner=None)
            self.worker = WorkerProcess(folder.path, order.perform, order.threads, inbox)
            try:
                for events in _until_its_end(self.worker, job, inbox):
                    is_last = events[-1:] != [] and events[-1]["event"] in ENDS
                    files = mirror.changes(is_last) if mirror is not None else []
                    if files or events:
                        yield files + events
            finally:
                self.worker.kill()

    def stop(self) -> None:
        self.worker.ask_to_stop()


ENDS = ("end", "exit", "garbage", "broken")


def _until_its_end(worker: WorkerProcess, job: Job, inbox: Inbox) -> Iterator[list[Event]]:
    """Batches of events until the one of ENDS; a batch may be empty."""
    started = time.monotonic()
    is_ready = False
    while True:
        batch: list[Event] = []
        for event in _gathered(inbox):
            if event["event"] == "ready":
                is_ready = True
                worker.send(job)
            else:
                batch.append(_told(event, worker, is_ready))
        if not is_ready and not batch and time.monotonic() - started > START_SECONDS:
            why = f"a worker on {socket.gethostname()} did not start within {START_SECONDS} s{worker.last_words()}"
            batch.append({"event": "broken", "why": why})
        ended = next((place for place, event in enumerate(batch) if event["event"] in ENDS), None)
        yield _latest(batch if ended is None else batch[: ended + 1])
        if ended is not None:
            return


def _gathered(inbox: Inbox) -> list[Event]:
    """What comes within a moment."""
    found: list[Event] = []
    until = time.monotonic() + FLUSH_SECONDS
    while len(found) < BATCH and (left := until - time.monotonic()) > 0:
        with contextlib.suppress(queue.Empty):
            found.append(inbox.get(timeout=left)[1])
    return found


def _told(event: Event, worker: WorkerProcess, is_ready: bool) -> Event:
    """The event, with what the driver cannot ask a process on another machine for."""
    if event["event"] not in ENDS:
        return event
    if event["event"] == "exit":
        event = {**event, "ending": f"on {socket.gethostname()} {worker.ending()}"}
        if not is_ready:
            return {"event": "broken", "why": f"a worker {event['ending']} before it was ready"}
    return {**event, "said": worker.said(), "last_words": worker.last_words()}


def _latest(batch: list[Event]) -> list[Event]:
    """Without news that newer news make old."""
    last = {event["event"]: place for place, event in enumerate(batch)}
    return [event for place, event in enumerate(batch) if event["event"] not in NEWS or place == last[event["event"]]]


@contextlib.contextmanager
def _folder(order: Order) -> "Iterator[tuple[ResultsFolder, Mirror | None]]":
    """The driver's results folder where this node sees it; else one of its own, and what sends its files back."""
    shared, cells = ResultsFolder(Path(order.results)), [work.cell.id for work in order.job.cells]
    owner = order.job.owner
    if owner is None or any(is_held(shared.path, cell, owner) for cell in cells):
        yield shared, None
        return
    path = Path(tempfile.mkdtemp(prefix="vaebench-"))
    own = ResultsFolder(path)
    try:
        for cell, files in order.files.items():
            own.cell(cell).take({name: ray.get(content) for name, content in files.items()})
        yield own, Mirror(own, cells)
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Mirror:
    """Tells the driver of the files that a worker writes or removes in a folder that the driver does not see."""

    def __init__(self, results: ResultsFolder, cells: list[str]) -> None:
        self.results = results
        self.cells = cells
        self.known = {cell: self._stamps(cell) for cell in cells}
        self.sent = time.monotonic()

    def changes(self, is_last: bool) -> list[Event]:
        """`files` (cell, files) for every cell of which anything changed; a file that is gone is None."""
        with_checkpoints = is_last or time.monotonic() - self.sent >= CHECKPOINT_SECONDS
        if with_checkpoints:
            self.sent = time.monotonic()
        found = []
        for cell in self.cells:
            changed = self._changed(cell, with_checkpoints)
            if changed:
                found.append({"event": "files", "cell": cell, "files": changed})
        return found

    def _changed(self, cell: str, with_checkpoints: bool) -> dict[str, bytes | None]:
        folder, known = self.results.cell(cell), self.known[cell]
        now = self._stamps(cell)
        passed_over = set() if with_checkpoints or now[folder.checkpoint.name] is None else {folder.checkpoint.name}
        changed = [name for name in now if now[name] != known[name] and name not in passed_over]
        content: dict[str, bytes | None] = {}
        for name in changed:
            try:
                content[name] = folder.files[name].read_bytes()
            except FileNotFoundError:
                content[name] = None
            known[name] = now[name]
        return content

    def _stamps(self, cell: str) -> dict[str, Stamp]:
        return {name: _stamp(path) for name, path in self.results.cell(cell).files.items()}


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino


def measured(jobs: list[Job], on_gpu: bool, measure: str) -> dict[str, Needs]:
    """Fleet → its needs, asked on a node: the driver's machine may have neither a GPU nor time to import torch."""
    there = [replace(job, plugins=unpacked(job.plugins)) for job in jobs]
    found: dict[str, Needs] = implementation(measure)(there, on_gpu)
    return found

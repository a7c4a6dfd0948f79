"""A long-lived process that performs one job after another: `python -m vaebench.engines.worker --results DIR`.

It reads one JSON job a line on its standard input and writes one JSON event a line on its standard output: `ready`,
then for each job `begun`, those that `perform` emits, and `end`. What user code prints goes to standard error instead.
When standard input closes, the driver is gone: the worker leaves at once, with every process it has started.
"""

import argparse
import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from vaebench.catalog.implementation import implementation
from vaebench.engines.job import Interrupted, Job
from vaebench.store.failures import is_out_of_memory
from vaebench.store.files import StoreError, Unwritable
from vaebench.store.folders import ResultsFolder

PERFORM = "vaebench.engines.work:perform"
Event = dict[str, Any]
Emit = Callable[[Event], None]
Perform = Callable[[Job, ResultsFolder, Emit, Callable[[], bool]], None]


def main() -> None:
    """Perform jobs until standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m vaebench.engines.worker", description="Performs jobs from stdin.")
    parser.add_argument("--results", type=Path, required=True, help="results folder")
    parser.add_argument("--perform", default=PERFORM, metavar="MODULE:FUNCTION", help="what performs a job")
    arguments = parser.parse_args()
    jobs_stream, emit = _take_over_streams()
    stopping = threading.Event()
    jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs_stream, jobs), daemon=True).start()
    perform: Perform = implementation(arguments.perform)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    limit_threads()
    emit({"event": "ready"})
    while True:
        job = jobs.get()
        emit({"event": "begun"})
        emit(answer(perform, job, ResultsFolder(arguments.results), emit, stopping.is_set))


def answer(perform: Perform, job: Job, results: ResultsFolder, emit: Emit, stop: Callable[[], bool]) -> Event:
    """Perform one job; the event that ends it."""
    try:
        perform(job, results, emit, stop)
    except Interrupted:
        return {"event": "end", "status": "stopped"}
    except Exception as error:
        if stop():
            return {"event": "end", "status": "stopped"}
        traceback.print_exc()
        return {"event": "end", "status": "failed", "kind": failure_kind(error), "message": describe(error)}
    return {"event": "end", "status": "done"}


def failure_kind(error: BaseException) -> str:
    """`oom` where memory ran out, `unwritable` where nothing can be written, which is no fault of a cell; else
    `error`."""
    if isinstance(error, Unwritable):
        return "unwritable"
    return "oom" if is_out_of_memory(error) else "error"


def describe(error: BaseException) -> str:
    """Type and message of an error, on one line; of one that is for the user, the message alone."""
    if isinstance(error, StoreError):
        return " ".join(str(error).split())
    return " ".join(f"{type(error).__name__}: {error}".split())


def limit_threads() -> None:
    """Hold torch, where it was imported, to the share of the cores that the driver gave this process.

    torch's OpenMP threads spin while they wait: two busy processes with two threads each on two cores are ten to
    twenty times slower than with one thread each.
    """
    torch = sys.modules.get("torch")
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if torch is not None and threads.isdigit():
        torch.set_num_threads(int(threads))


def _take_over_streams() -> tuple[BinaryIO, Emit]:
    """The stream of jobs and the way to emit an event; file descriptors 0 and 1 become harmless for user code."""
    jobs = os.fdopen(os.dup(0), "rb")
    events = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    lock = threading.Lock()

    def emit(event: Event) -> None:
        line = (json.dumps(event) + "\n").encode()
        try:
            with lock:
                while line:
                    line = line[os.write(events, line) :]
        except BrokenPipeError:
            _leave_at_once()

    return jobs, emit


def _read_jobs(stream: BinaryIO, jobs: "queue.SimpleQueue[Job]") -> None:
    """Run in a thread of its own, so that the end of the driver is noticed while a job is under way."""
    for line in stream:
        jobs.put(Job.from_json(json.loads(line)))
    _leave_at_once()


def _leave_at_once() -> None:
    """End this process, and those that it has started where it leads a group of its own."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()

"""What stands in for training in these tests: workers that behave, and workers that misbehave in every way there is.

Each misbehaves only with the fleet of the variant `odd` (three latents) and does its duty on the others.
"""

import contextlib
import faulthandler
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from vaebench.catalog.catalog import load_catalog
from vaebench.engines.job import CellWork, Interrupted, Job
from vaebench.engines.needs import Needs
from vaebench.engines.worker import Emit, Perform
from vaebench.plugins.loading import load_as_planned
from vaebench.store.folders import ResultsFolder
from vaebench.store.leases import is_held
from vaebench.store.record import Failure, MetricValue, Record

ODD_LATENT = 3


def obedient(job: Job, results: ResultsFolder, emit: Emit, stop: Callable[[], bool]) -> None:
    for epoch in (1, 2):
        emit({"event": "epoch", "epoch": epoch, "epochs": 2, "members": len(job.cells), "seconds": 0.1 * epoch})
    for work in job.cells:
        if stop():
            raise Interrupted
        if work.train:
            train(work, results)
        score(work, job, results)
        emit({"event": "cell", "cell": work.cell.id, "status": "done", "message": ""})


def train(work: CellWork, results: ResultsFolder) -> None:
    folder = results.cell(work.cell.id)
    folder.write_cell(work.cell)
    folder.model.write_bytes(b"a model")
    training = {"epochs": 2, "seconds": 0.5, "members": 1}
    environment = {"pid": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS"), "data_checksum": "abc"}
    folder.write_record(Record(work.cell.id, "done", work.fingerprints, training=training, environment=environment))


def score(work: CellWork, job: Job, results: ResultsFolder) -> None:
    folder = results.cell(work.cell.id)
    record = folder.read_record()
    assert record is not None
    values = [
        MetricValue(
            metric=column,
            family=request.metric,
            protocol=request.protocol,
            status="done",
            value=float(work.cell.seed),
            fingerprint=job.metric_fingerprints[request.metric],
        )
        for request in work.requests
        for column in load_catalog().metrics[request.metric].columns
    ]
    folder.write_record(record.with_answers(values))


def misbehaving(misbehave: Perform) -> Perform:
    """Obedient but for the odd fleet."""

    def perform(job: Job, results: ResultsFolder, emit: Emit, stop: Callable[[], bool]) -> None:
        is_odd = job.cells[0].cell.composition["latent"] == ODD_LATENT
        (misbehave if is_odd else obedient)(job, results, emit, stop)

    return perform


@misbehaving
def killed(job, results, emit, stop):
    emit({"event": "epoch", "epoch": 1, "epochs": 2, "members": 2, "seconds": 0.1})
    print("the last thing that it said")
    os.kill(os.getpid(), signal.SIGKILL)


@misbehaving
def dying_once(job, results, emit, stop):
    """Trains its first cell before it dies, and does its duty when it is given what is left."""
    memory = results.path / "died"
    if memory.exists():
        obedient(job, results, emit, stop)
        return
    train(job.cells[0], results)
    memory.write_text("")
    os.kill(os.getpid(), signal.SIGKILL)


@misbehaving
def crashing(job, results, emit, stop):
    faulthandler._sigsegv()


@misbehaving
def leaving(job, results, emit, stop):
    sys.exit(0)


@misbehaving
def leaving_at_once(job, results, emit, stop):
    os._exit(0)


@misbehaving
def hanging(job, results, emit, stop):
    train(job.cells[0], results)
    score(job.cells[0], job, results)
    print("still alive")
    time.sleep(600)


@misbehaving
def hanging_at_once(job, results, emit, stop):
    time.sleep(600)


@misbehaving
def dying_slowly(job, results, emit, stop):
    time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGKILL)


@misbehaving
def chattering(job, results, emit, stop):
    while True:
        print("\x1b[31mblah\x1b[0m " * 50)


@misbehaving
def babbling(job, results, emit, stop):
    for descriptor in range(3, 30):
        with contextlib.suppress(OSError):
            os.write(descriptor, b"<html>no event</html>\n")
    time.sleep(600)


@misbehaving
def flooding(job, results, emit, stop):
    while True:
        emit({"event": "epoch", "epoch": 1, "epochs": 2, "members": 2, "seconds": 0.1})


@misbehaving
def raising(job, results, emit, stop):
    raise ValueError("no such\nthing")


@misbehaving
def exhausting(job, results, emit, stop):
    raise MemoryError("8 TiB")


@misbehaving
def forgetting(job, results, emit, stop):
    pass


@misbehaving
def dying_while_scoring(job, results, emit, stop):
    for work in job.cells:
        if work.train:
            train(work, results)
    emit({"event": "scoring", "cell": job.cells[0].cell.id, "metric": "elbo", "done": 0, "of": 2})
    os.kill(os.getpid(), signal.SIGKILL)


@misbehaving
def diverging(job, results, emit, stop):
    for work in job.cells:
        failure = Failure("diverged", "the loss is not finite", 7)
        results.cell(work.cell.id).write_record(Record(work.cell.id, "failed", work.fingerprints, failure=failure))
        emit({"event": "cell", "cell": work.cell.id, "status": "failed", "message": failure.message})


@misbehaving
def terminated_by_somebody(job, results, emit, stop):
    os.kill(os.getpid(), signal.SIGTERM)
    while not stop():
        time.sleep(0.01)
    raise Interrupted


@misbehaving
def asking_for_input(job, results, emit, stop):
    input("what now? ")


def patient(job: Job, results: ResultsFolder, emit: Emit, stop: Callable[[], bool]) -> None:
    """Finishes its first cell, then trains until it is told to stop, or until a test's patience is at its end."""
    if (results.path / "impatient").exists():
        obedient(job, results, emit, stop)
        return
    train(job.cells[0], results)
    score(job.cells[0], job, results)
    for epoch in range(1, 100_000):
        emit({"event": "epoch", "epoch": epoch, "epochs": 100_000, "members": 2, "seconds": 0.1})
        _say_who(results)
        if stop():
            raise Interrupted
        time.sleep(0.02)


def noted(job: Job, results: ResultsFolder, emit: Emit, stop: Callable[[], bool]) -> None:
    """Obedient and slow; every training leaves a line of who has done it."""
    for work in job.cells if any(work.train for work in job.cells) else ():
        time.sleep(0.1)
        with (results.path / "trained.txt").open("a") as stream:
            stream.write(f"{work.cell.id} {os.getppid()}\n")
    obedient(job, results, emit, stop)


def frozen_once(job: Job, results: ResultsFolder, emit: Emit, stop: Callable[[], bool]) -> None:
    """The first worker to come waits until it is robbed of its cells, and looks before it writes as training does."""
    memory = results.path / "frozen"
    try:
        memory.touch(exist_ok=False)
    except FileExistsError:
        obedient(job, results, emit, stop)
        return
    cell = job.cells[0].cell.id
    while job.owner and is_held(results.path, cell, job.owner):
        time.sleep(0.02)
    raise Interrupted


def deaf(job: Job, results: ResultsFolder, emit: Emit, stop: Callable[[], bool]) -> None:
    """Never looks up, and has started a process of its own."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    _say_who(results, child.pid)
    time.sleep(600)


def broken(job: Job, results: ResultsFolder, emit: Emit, stop: Callable[[], bool]) -> None:
    """Every metric fails, nothing else does."""
    obedient(job, results, emit, stop)
    for work in job.cells:
        record = results.cell(work.cell.id).read_record()
        values = [MetricValue(**{**value.__dict__, "status": "failed", "note": "singular"}) for value in record.metrics]
        results.cell(work.cell.id).write_record(record.with_answers(values))


def _say_who(results: ResultsFolder, *others: int) -> None:
    """Leave the numbers of the processes where a test finds them."""
    path = results.path / "pids" / f"{os.getpid()}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(f"{path}.tmp")
        temporary.write_text(" ".join(map(str, (os.getpid(), *others))))
        temporary.rename(path)


def gpu_noted(job: Job, results: ResultsFolder, emit: Emit, stop: Callable[[], bool]) -> None:
    """Obedient and slow; leaves a line of which GPU it saw, and from when to when."""
    began = time.time()
    time.sleep(1.5)
    with (results.path / "gpus.txt").open("a") as stream:
        stream.write(f"{os.environ.get('CUDA_VISIBLE_DEVICES')} {began} {time.time()}\n")
    obedient(job, results, emit, stop)


def with_plugins(job: Job, results: ResultsFolder, emit: Emit, stop: Callable[[], bool]) -> None:
    """Obedient; loads the plugins of its job first, and prints where they lie."""
    load_as_planned(job.plugins)
    print(f"plugins: {', '.join(job.plugins)}")
    obedient(job, results, emit, stop)


def little_needed(jobs: list[Job], on_gpu: bool) -> dict[str, Needs]:
    """A prediction in no time; of a GPU a quarter."""
    return {job.fleet: Needs(1 << 26, 0.25 if on_gpu else 0.0) for job in jobs}


def dying_once_and_noted(job: Job, results: ResultsFolder, emit: Emit, stop: Callable[[], bool]) -> None:
    """Says which GPU it sees; the first worker of all dies."""
    memory = results.path / "died"
    try:
        memory.touch(exist_ok=False)
    except FileExistsError:
        gpu_noted(job, results, emit, stop)
        return
    os.kill(os.getpid(), signal.SIGKILL)

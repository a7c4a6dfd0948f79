"""The engine of many machines that a Ray cluster joins: each fleet is an actor with its CPU, its share of a GPU and its
memory, which lives as long as the fleet trains and is scored. Ray finds the machine; all else (leases, retries from
checkpoints, time limits, what becomes of a fleet that fails) is the crew's, as on one machine."""

import contextlib
import os
import queue
import socket
import tempfile
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnschedulableError, RayError, RayTaskError, RuntimeEnvSetupError

from vaebench.engines.crew import EngineUnavailable, Inbox, Listener, Outcome, Rules, Worker, run_with_workers
from vaebench.engines.job import Job
from vaebench.engines.needs import PROCESS, Needs
from vaebench.engines.planning import Plan
from vaebench.engines.ray_shipping import runtime_environment
from vaebench.engines.ray_task import ENDS, Order, Post, measured
from vaebench.engines.worker import PERFORM
from vaebench.store.folders import ResultsFolder

WAIT_SECONDS = 0.2
"""How long a look at the events of all fleets takes where there are none."""
CONNECT_SECONDS = 10.0
SHARE = 0.8
"""Of the largest node's memory that a fleet may ask for; one that needs more is trained in parts."""
THREADS = 1
"""Of a fleet, and so its CPUs."""
MEASURE = "vaebench.engines.predicting:all_needs"


@dataclass(frozen=True)
class RayEngine:
    """Runs a plan's jobs on a Ray cluster."""

    address: str | None = None
    """Of a running cluster, or `auto`; None: one of this machine's own, for this run."""
    workers: int | None = None
    """Jobs at a time; None: as many as the cluster has room for, also when it grows."""
    timeout: float | None = None
    fail_fast: bool = False
    perform: str = PERFORM
    """`module:function` that performs a job."""
    measure: str = MEASURE
    """`module:function` that says what jobs need."""

    def run(self, plan: Plan, results: ResultsFolder, listener: Listener) -> Outcome:
        if not plan.jobs:
            return Outcome()
        with _connected(self.address, plan.jobs):
            on_gpu = _has_gpus(plan.jobs[0].device)
            needs = _needs(list(plan.jobs), on_gpu, self.measure)
            with Hearing() as hearing:
                place = Cluster(results.path.resolve(), self.perform, self.workers, needs, hearing)
                return run_with_workers(Rules(self.timeout, self.fail_fast), place, plan, results, listener)


class Cluster:
    """Where the workers of a run are, as Ray sees it."""

    def __init__(
        self, results: Path, perform: str, workers: int | None, needs: dict[str, Needs], hearing: "Hearing"
    ) -> None:
        self.results = results
        self.perform = perform
        self.workers = workers
        self.needs = needs
        self.hearing = hearing

    def room(self) -> int:
        """As many as have a CPU, and the share of a GPU that the smallest fleet needs."""
        if self.workers is not None:
            return self.workers
        there = ray.cluster_resources()
        share = min(needs.gpu for needs in self.needs.values())
        room = there.get("CPU", 0) // THREADS
        return max(1, int(min(room, there.get("GPU", 0) // share) if share else room))

    def hire(self, inbox: Inbox, beside: Collection[Worker]) -> "RayWorker":
        worker = RayWorker(self)
        self.hearing.greet(worker, inbox)
        return worker

    def options(self, job: Job) -> dict[str, Any]:
        """What Ray is asked for."""
        needs = self.needs[job.fleet]
        most = max(node["Resources"].get("memory", 0) for node in _nodes())
        return {
            "num_cpus": THREADS,
            "num_gpus": needs.gpu,
            "memory": int(min(needs.memory, SHARE * most)),
            "max_restarts": 0,
            "max_concurrency": 2,  # it is asked to stop while it performs
        }


class RayWorker:
    """The driver's side of the actors that perform the fleets of one place in the crew, one after another."""

    is_lost = False

    def __init__(self, cluster: Cluster) -> None:
        self.is_ready = False
        self._cluster = cluster
        self._actor: Any = None
        self._last: dict[str, Any] = {}
        """The event that ended its last fleet."""
        self._files: dict[str, dict[str, Any]] = {}

    def send(self, job: Job) -> None:
        self.kill()
        self._last = {}
        self._files = {work.cell.id: self._stored(work.cell.id) for work in job.cells}
        cluster = self._cluster
        order = Order(job, str(cluster.results), cluster.perform, THREADS, self._files)
        self._actor = ray.remote(Post).options(**cluster.options(job)).remote()
        cluster.hearing.listen(self, self._actor.perform.options(num_returns="streaming").remote(order))

    def ask_to_stop(self) -> None:
        self._actor.stop.remote()

    def kill(self) -> None:
        """Its worker process ends with the actor, for that held its standard input."""
        self._cluster.hearing.forget(self)
        if self._actor is not None:
            with contextlib.suppress(RayError, ValueError):
                ray.kill(self._actor)
            self._actor = None

    def ending(self) -> str:
        return str(self._last.get("ending", "closed its events"))

    def last_words(self) -> str:
        return str(self._last.get("last_words", ""))

    def said(self) -> str:
        return str(self._last.get("said", ""))

    def heard(self, event: dict[str, Any]) -> None:
        """Remember how its fleet ended."""
        if "ending" in event or "said" in event:
            self._last = event
        self.is_lost = event["event"] == "exit" and "said" not in event

    def _stored(self, cell: str) -> dict[str, Any]:
        """What stands in the results folder, where a node can get it that does not see the folder."""
        files = ResultsFolder(self._cluster.results).cell(cell).files
        return {name: ray.put(path.read_bytes()) for name, path in files.items() if path.is_file()}


class Hearing:
    """Listens to the events of all fleets, in a thread of its own, and puts them into the crew's inbox."""

    def __init__(self) -> None:
        self._inbox: Inbox
        self._streams: dict[Any, RayWorker] = {}
        self._newcomers: list[RayWorker] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> "Hearing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def greet(self, worker: RayWorker, inbox: Inbox) -> None:
        """A worker costs nothing before it has a job, so it can take one at once."""
        self._inbox = inbox
        with self._lock:
            self._newcomers.append(worker)

    def listen(self, worker: RayWorker, stream: Any) -> None:
        with self._lock:
            self._streams[stream] = worker

    def forget(self, worker: RayWorker) -> None:
        with self._lock:
            self._streams = {stream: other for stream, other in self._streams.items() if other is not worker}

    def _listen(self) -> None:
        while not self._ended.is_set():
            with self._lock:
                newcomers, self._newcomers = self._newcomers, []
                streams = dict(self._streams)
            for worker in newcomers:
                self._put({"event": "ready"}, worker, None)
            if not streams:
                self._ended.wait(WAIT_SECONDS / 4)
                continue
            ready, _ = ray.wait(list(streams), num_returns=len(streams), timeout=WAIT_SECONDS, fetch_local=False)
            for stream in ready:
                self._hear(stream, streams[stream])

    def _hear(self, stream: Any, worker: RayWorker) -> None:
        """The next batch of a fleet's events; what Ray says instead is told as an event too."""
        try:
            events = ray.get(next(stream))
        except StopIteration:
            self._drop(stream)
            return
        except (RuntimeEnvSetupError, ActorUnschedulableError, RayTaskError) as error:
            events = [{"event": "broken", "why": f"Ray cannot run a fleet: {_last_line(error)}"}]
        except RayError as error:
            events = [{"event": "exit", "ending": f"was lost with its node or its Ray worker ({type(error).__name__})"}]
        for event in events:
            worker.heard(event)
            self._put(event, worker, stream)
        if events[-1]["event"] in ENDS:
            self._drop(stream)

    def _drop(self, stream: Any) -> None:
        with self._lock:
            self._streams.pop(stream, None)

    def _put(self, event: dict[str, Any], worker: RayWorker, stream: Any) -> None:
        """Unless the stream was forgotten meanwhile: the worker may be at its next fleet."""
        while not self._ended.is_set():
            with self._lock, contextlib.suppress(queue.Full):
                if stream is None or stream in self._streams:
                    self._inbox.put_nowait((worker, event))
                return
            self._ended.wait(WAIT_SECONDS / 4)


@contextlib.contextmanager
def _connected(address: str | None, jobs: Collection[Job]) -> Iterator[None]:
    """A connection to the cluster, with the sources and plugins for its nodes."""
    if ray.is_initialized():
        raise EngineUnavailable("--engine ray: this process is connected to Ray already; call ray.shutdown() first")
    if address is not None and address.startswith("ray://"):
        raise EngineUnavailable(
            f"--address {address}: Ray's client is too narrow for this; run vaebench on a node of the cluster "
            "(`ray job submit` does), with --address auto"
        )
    _check_answers(address)
    own = {"include_dashboard": False, "num_cpus": _cores()} if address is None else {}
    with tempfile.TemporaryDirectory(prefix="vaebench-") as folder:
        try:
            ray.init(
                address=address or "local",
                runtime_env=runtime_environment(jobs, Path(folder)),
                log_to_driver=False,
                logging_level="ERROR",
                **own,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise EngineUnavailable(f"--address {address or 'local'}: {_last_line(error)}") from error
        try:
            yield
        finally:
            ray.shutdown()


def _check_answers(address: str | None) -> None:
    """Ray itself tries for minutes."""
    host, _, port = (address or "").rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise EngineUnavailable(f"--address {address}: nothing answers there ({error.strerror or error})") from error


def _nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _has_gpus(device: str) -> bool:
    """Whether the fleets are to compute on GPUs."""
    count = ray.cluster_resources().get("GPU", 0)
    if device == "cuda" and not count:
        raise EngineUnavailable("--device cuda: no node of the Ray cluster has a GPU")
    return bool(count) and device != "cpu"


def _needs(jobs: list[Job], on_gpu: bool, measure: str) -> dict[str, Needs]:
    ask = ray.remote(measured).options(num_cpus=0, num_gpus=0.01 if on_gpu else 0, memory=PROCESS)
    found: dict[str, Needs] = ray.get(ask.remote(jobs, on_gpu, measure))
    return found


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__

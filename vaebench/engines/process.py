"""The driver's side of a worker: starting it, talking to it, ending it, and saying how it ended."""

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

from vaebench.engines.crew import Inbox
from vaebench.engines.gpus import VISIBLE
from vaebench.engines.job import Job

LINE_LIMIT = 1 << 20
"""Bytes of one event; what is longer is no event."""
LOG_LIMIT = 1 << 16
"""Bytes of a worker's output that are kept: the last ones."""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_REQUIRED: dict[str, set[str]] = {
    "ready": set(),
    "begun": set(),
    "epoch": {"epoch", "epochs"},
    "scoring": {"metric"},
    "cell": {"cell", "status"},
    "end": {"status"},
}
"""The events of a worker, and what each must say."""


class WorkerProcess:
    """One worker and the two threads that read its events and its log.

    It leads a session of its own: Ctrl-C in the terminal reaches the driver only, and the processes that user code
    starts end with it. Its events arrive in `inbox`; beside its own there are `exit` and `garbage`.
    """

    is_lost = False

    def __init__(self, results: Path, perform: str, threads: int, inbox: Inbox, gpu: str | None = None) -> None:
        self.is_ready = False
        self.gpu = gpu
        """The only one that it sees; None: whatever this process sees."""
        self._inbox = inbox
        self._closed = threading.Event()
        self._process = subprocess.Popen(
            # -P: a file of the user's that is called queue.py or torch.py must not shadow a module
            [sys.executable, "-P", "-m", "vaebench.engines.worker", "--results", str(results), "--perform", perform],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(threads, gpu),
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.log = Tail(self._process.stderr)
        threading.Thread(target=self._read_events, args=(self._process.stdout,), daemon=True).start()

    def send(self, job: Job) -> None:
        """Hand over a job; a worker that has died meanwhile shows by its `exit`."""
        assert self._process.stdin is not None
        self.log.clear()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(job.to_json()).encode() + b"\n")
            self._process.stdin.flush()

    def ask_to_stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the worker and whatever it has started, at once."""
        self._closed.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def ending(self) -> str:
        """How a worker that ended by itself did so, and the last that it printed."""
        try:
            code = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return "closed its events but went on running"
        self.log.join(timeout=1)
        return f"{_exit_words(code)}{self.last_words()}"

    def last_words(self) -> str:
        """The last lines of the log as the end of a message; empty where nothing was printed."""
        lines = self.log.last_lines()
        return f"; last lines: {lines}" if lines else ""

    def said(self) -> str:
        return self.log.text()

    def _read_events(self, stream: IO[bytes]) -> None:
        """Pass the events on; what Python prints before the worker is ready is none of them, and no harm."""
        ready = False
        while line := stream.readline(LINE_LIMIT):
            event = _event(line)
            if event is not None:
                ready = True
                self._put(event)
            elif ready:
                self._put({"event": "garbage", "text": printable(line[:80].decode(errors="replace")).strip()})
                return
        self._put({"event": "exit"})

    def _put(self, event: dict[str, Any]) -> None:
        """Hand an event to the driver; the queue is bounded, so that a flood of events waits in the worker."""
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._inbox.put((self, event), timeout=0.5)
                return


class Tail:
    """The last part of a stream that is read to its end in a thread."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._kept = b""
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def clear(self) -> None:
        with self._lock:
            self._kept = b""

    def join(self, timeout: float) -> None:
        """Wait for the end of the stream."""
        self._thread.join(timeout)

    def text(self) -> str:
        with self._lock:
            kept = self._kept
        return printable(kept.decode(errors="replace"))

    def last_lines(self, count: int = 3, limit: int = 500) -> str:
        """The last lines that say something, as one; of a fatal error of Python's the first, which say what it is."""
        lines = [line.strip() for line in self.text().splitlines() if line.strip()]
        fatal = next((place for place, line in enumerate(lines) if line.startswith("Fatal Python error")), None)
        told = lines[-count:] if fatal is None else lines[fatal : fatal + count]
        return " | ".join(told)[-limit:]

    def _read(self, stream: IO[bytes]) -> None:
        descriptor = stream.fileno()
        while chunk := os.read(descriptor, LOG_LIMIT):
            with self._lock:
                self._kept = (self._kept + chunk)[-LOG_LIMIT:]


def printable(text: str) -> str:
    """`text` without escape sequences and control characters; a carriage return ends a line, half a character is ?."""
    whole = text.encode(errors="replace").decode()
    return _ESCAPES.sub("", whole.replace("\r\n", "\n").replace("\r", "\n"))


def threads_per_worker(workers: int) -> int:
    """An even share of the cores, and no more than OMP_NUM_THREADS allows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    share = max(1, cores // workers)
    return min(share, int(allowed)) if allowed.isdigit() and int(allowed) else share


def _environment(threads: int, gpu: str | None) -> dict[str, str]:
    """The driver's environment, the modules that it would import, a share of the cores, and one GPU."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        **({} if gpu is None else {VISIBLE: gpu}),
    }


def _event(line: bytes) -> dict[str, Any] | None:
    """The event on a line, or None where it holds none."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return None
    required = _REQUIRED.get(event["event"])
    return event if required is not None and required <= event.keys() else None


def _exit_words(code: int) -> str:
    if code >= 0:
        return f"left with exit code {code} in the middle of its work"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    memory = " (perhaps the system ran out of memory)" if name == "SIGKILL" else ""
    return f"was killed by {name}{memory}"

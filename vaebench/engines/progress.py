"""How far a run is: state kept from the engine's events, for the live view and for `vaebench status`."""

import contextlib
import os
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from vaebench.engines.planning import Plan
from vaebench.store.files import Damaged, read_json, write_json
from vaebench.store.folders import SuiteFolder
from vaebench.store.shapes import Misshapen, shaped

FleetState = Literal["waiting", "training", "scoring", "done", "failed", "stopped"]
WRITE_SECONDS = 1.0
"""Progress files are written at most that often."""
LIFE_SECONDS = 30.0
"""A driver that has given no sign for so long is taken for dead."""


@dataclass
class FleetProgress:
    """How far one fleet is."""

    fleet: str
    source: str
    variants: tuple[str, ...]
    cells: int
    members: int
    """Cells that are trained; those that have stopped early or diverged no longer count."""
    epochs: int | None
    state: FleetState = "waiting"
    epoch: int = 0
    scoring: str = ""
    outcomes: dict[str, str] = field(default_factory=dict)
    """Cell → what went wrong with it; empty where nothing did."""
    started: float = 0.0
    ended: float = 0.0
    model_epochs_a_second: float | None = None
    _first: tuple[int, float] | None = None

    @property
    def failures(self) -> dict[str, str]:
        return {cell: message for cell, message in self.outcomes.items() if message}

    @property
    def is_running(self) -> bool:
        return self.state in ("training", "scoring")

    @property
    def seconds_left(self) -> float | None:
        """Of its training; None where that cannot be told yet."""
        if self.state != "training" or not self.epochs or not self.model_epochs_a_second:
            return None
        return (self.epochs - self.epoch) * self.members / self.model_epochs_a_second

    def apply(self, event: dict[str, Any], now: float) -> None:
        """Take in an event of this fleet, which happened at the monotonic time `now`."""
        kind = event["event"]
        if kind == "start":
            self.state, self.started = ("training" if self.members else "scoring"), now
        elif kind == "epoch":
            self._on_epoch(event, now)
        elif kind == "scoring":
            self.state = "scoring"
            self.scoring = f"{event['metric']} {event.get('done', 0)}/{event.get('of', 0)}"
        elif kind == "cell":
            self.outcomes[event["cell"]] = _message(event)
        elif kind == "end":
            self.started, self.ended = self.started or now, now
            self.outcomes.update(dict.fromkeys(event["done"], ""), **dict(event["failed"]))
            self.state = "failed" if self.failures and event["status"] != "stopped" else event["status"]

    def _on_epoch(self, event: dict[str, Any], now: float) -> None:
        """The first epoch carries what is done once (loading, compiling), so speed is measured from its end on."""
        self.state = "training"
        self.epoch, self.epochs = event["epoch"], event["epochs"]
        self.members = event.get("members", self.members)
        first_epoch, first_time = self._first or (0, self.started)
        if self._first is None:
            self._first = (self.epoch, now)
        if now > first_time and self.epoch > first_epoch:
            self.model_epochs_a_second = self.members * (self.epoch - first_epoch) / (now - first_time)

    def to_json(self) -> dict[str, Any]:
        return {
            "fleet": self.fleet,
            "source": self.source,
            "variants": list(self.variants),
            "cells": self.cells,
            "members": self.members,
            "epoch": self.epoch,
            "epochs": self.epochs,
            "state": self.state,
            "scoring": self.scoring,
            "model_epochs_a_second": self.model_epochs_a_second,
            "seconds_left": self.seconds_left,
        }


class Progress:
    """The state of a whole run."""

    def __init__(self, plan: Plan) -> None:
        self.counts = plan.counts
        self.stopping = ""
        """Why the run is being stopped; empty while it is not."""
        self.fleets = {
            job.fleet: FleetProgress(
                fleet=job.fleet,
                source=job.cells[0].cell.source,
                variants=plan.variants(job),
                cells=len(job.cells),
                members=sum(work.train for work in job.cells),
                epochs=job.epochs,
            )
            for job in plan.jobs
        }

    def apply(self, event: dict[str, Any]) -> FleetProgress | None:
        """Take in an event of the engine; the fleet that it is about, if any."""
        if event["event"] == "stopping":
            self.stopping = event["why"]
        fleet = self.fleets.get(event.get("fleet", ""))
        if fleet is not None:
            fleet.apply(event, time.monotonic())
        return fleet

    @property
    def running(self) -> list[FleetProgress]:
        return [fleet for fleet in self.fleets.values() if fleet.is_running]

    @property
    def waiting(self) -> int:
        return sum(fleet.state == "waiting" for fleet in self.fleets.values())

    @property
    def done(self) -> int:
        """Cells that were finished in this run."""
        return sum(len(fleet.outcomes) - len(fleet.failures) for fleet in self.fleets.values())

    @property
    def failed(self) -> int:
        """Cells that failed in this run."""
        return sum(len(fleet.failures) for fleet in self.fleets.values())


class ProgressFiles:
    """Writes the state of running fleets where another shell can read it."""

    def __init__(self, folder: SuiteFolder, progress: Progress) -> None:
        self._folder = folder
        self._progress = progress
        self._driver = {"pid": os.getpid(), "host": socket.gethostname()}
        self._written = 0.0
        self.clear(progress.fleets)

    def clear(self, fleets: Iterable[str]) -> None:
        """Remove what earlier runs left."""
        for fleet in fleets:
            self._folder.progress(fleet).unlink(missing_ok=True)

    def update(self, event: dict[str, Any]) -> None:
        """To be called after the progress has taken in `event`."""
        if event["event"] == "end":
            self._on_end(self._progress.fleets[event["fleet"]])
        now = time.monotonic()
        if now - self._written >= WRITE_SECONDS:
            self._written = now
            for fleet in self._progress.running:
                self._write(fleet)

    def _on_end(self, fleet: FleetProgress) -> None:
        """A fleet that is through is told by its records; one that was stopped keeps its file."""
        if fleet.state == "stopped":
            self._write(fleet)
        else:
            self.clear([fleet.fleet])

    def _write(self, fleet: FleetProgress) -> None:
        path = self._folder.progress(fleet.fleet)
        write_json(path, {**fleet.to_json(), **self._driver, "heartbeat": time.time()})


@dataclass(frozen=True)
class FleetStatus:
    """What another shell can tell of a fleet from its progress file."""

    content: dict[str, Any]
    is_running: bool

    def sentence(self) -> str:
        """Such as `running: epoch 3 of 30`, or `stopped at epoch 3 of 30`."""
        what = self.content
        place = f"epoch {what['epoch']} of {what['epochs']}" if what["epochs"] else ""
        if what["scoring"]:
            place = f"scoring {what['scoring']}"
        place = place or "its start"
        return f"running: {place}" if self.is_running else f"stopped at {place}"


def read_progress(folder: SuiteFolder, fleets: Iterable[str]) -> list[FleetStatus]:
    """The fleets that are running or were stopped on the way."""
    found = []
    for fleet in fleets:
        path = folder.progress(fleet)
        with contextlib.suppress(FileNotFoundError, Damaged, Misshapen):  # a damaged one says nothing
            content = read_json(path)
            shaped(_ProgressFile, content)
            found.append(FleetStatus(content, is_alive(content)))
    return found


@dataclass(frozen=True)
class _ProgressFile:
    """What others read in such a file."""

    source: str
    variants: list[str]
    state: FleetState
    epoch: int
    epochs: int | None
    scoring: str
    pid: int
    host: str
    heartbeat: float


def is_alive(content: dict[str, Any]) -> bool:
    """Whether the driver that wrote this is still at it: by its process where that is on this host, by its
    heartbeat elsewhere and where the process number may have been given away since."""
    if content["state"] == "stopped" or time.time() - content["heartbeat"] > LIFE_SECONDS:
        return False
    return content["host"] != socket.gethostname() or _process_exists(content["pid"])


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _message(event: dict[str, Any]) -> str:
    return "" if event["status"] == "done" else event.get("message") or event["status"]

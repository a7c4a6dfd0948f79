"""About how long a plan will take, judged by what earlier models of the same results folder took on this machine."""

import os
import platform
from collections.abc import Hashable, Iterable, Iterator, Sequence
from statistics import median
from typing import Any

from vaebench.catalog.catalog import load_catalog
from vaebench.engines.job import CellWork, Job
from vaebench.store.cell import Cell, digest
from vaebench.store.files import StoreError
from vaebench.store.folders import CellFolder, ResultsFolder
from vaebench.store.record import Record

MOST_RECORDS = 500
"""The newest are read; older ones would teach nothing more."""


def estimate_seconds(jobs: Sequence[Job], results: ResultsFolder, workers: int) -> float | None:
    """Seconds on the clock with `workers` fleets at a time; None where nothing like it was done before."""
    if not jobs:
        return 0.0
    paces = Paces(_earlier(results))
    fleets = [paces.job_seconds(job) for job in jobs]
    known = [seconds for seconds in fleets if seconds is not None]
    if len(known) < len(fleets):
        return None
    return max(sum(known) / min(workers, len(known)), *known)


class Paces:
    """Seconds that a model-epoch and a metric took, of the most alike cells first."""

    def __init__(self, earlier: Iterable[tuple[Cell, Record]]) -> None:
        self.training: dict[Hashable, list[float]] = {}
        self.scoring: dict[Hashable, list[float]] = {}
        for cell, record in earlier:
            pace = seconds_per_model_epoch(record)
            if pace is not None:
                _note(self.training, likeness(cell), pace)
            for key, seconds in record.training.get("scoring_seconds", {}).items():
                family = key.partition("@")[0]
                _note(self.scoring, [(key, *like) for like in likeness(cell)], seconds)
                _note(self.scoring, [(family, *like) for like in likeness(cell)], seconds)

    def job_seconds(self, job: Job) -> float | None:
        """Training and scoring of a fleet; None where a part of it is like nothing before."""
        parts = [part for work in job.cells for part in self._work_seconds(work)]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None

    def _work_seconds(self, work: CellWork) -> Iterator[float | None]:
        alike = likeness(work.cell)
        if work.train:
            pace = _pace(self.training, alike)
            yield None if pace is None else pace * work.cell.recipe["epochs"]
        for request in work.requests:
            exact = [(request.key, *like) for like in alike]
            yield _pace(self.scoring, exact + [(request.metric, *like) for like in alike])


def likeness(cell: Cell) -> list[tuple[Hashable, ...]]:
    """Keys under which cells cost about the same, from the most to the least alike."""
    choices, pixels = cell.composition, load_catalog().datasets[cell.dataset].pixels
    parts = {kind: choices[kind]["name"] for kind in ("likelihood", "posterior", "prior", "objective")}
    network = digest([choices["network"], choices["latent"]])
    return [
        (pixels, cell.view, cell.recipe["batch"], network, digest(parts)),
        (pixels, network, parts["objective"]),
        (pixels, parts["objective"]),
        (pixels,),
    ]


def seconds_per_model_epoch(record: Record) -> float | None:
    """A model's share of its fleet's seconds / its epochs, where the record says both."""
    seconds, epochs = record.training.get("seconds"), record.training.get("epochs")
    return seconds / epochs if seconds and epochs else None


def machine() -> dict[str, Any]:
    """What tells one machine's speed from another's, without asking torch."""
    name = platform.processor() or platform.machine()
    return {"platform": platform.platform(), "processor": name, "cores": os.cpu_count()}


def _earlier(results: ResultsFolder) -> Iterator[tuple[Cell, Record]]:
    """The newest cells of the folder that were made on this machine."""
    here = machine()
    files = sorted((results.path / "cells").glob("*/result.json"), key=_changed, reverse=True)
    for file in files[:MOST_RECORDS]:
        folder = CellFolder(file.parent)
        try:
            cell, record = folder.read_cell(), folder.read_record()
        except (StoreError, OSError, KeyError):
            continue
        if record and record.environment.items() >= here.items():
            yield cell, record


def _changed(file: Any) -> float:
    try:
        return float(file.stat().st_mtime)
    except OSError:
        return 0.0


def _note(paces: dict[Hashable, list[float]], keys: Iterable[Hashable], seconds: float) -> None:
    for key in keys:
        paces.setdefault(key, []).append(seconds)


def _pace(paces: dict[Hashable, list[float]], keys: Iterable[Hashable]) -> float | None:
    return next((median(paces[key]) for key in keys if key in paces), None)

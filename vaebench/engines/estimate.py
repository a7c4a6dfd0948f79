"""About how long a plan will take, judged by what earlier models took on this machine, those of its own results folder
and those of others, and by how far its own have come."""

import heapq
import json
import os
import platform
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from math import prod
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from vaebench.catalog.catalog import load_catalog
from vaebench.engines.job import CellWork, Job
from vaebench.engines.size import size
from vaebench.store.cell import Cell, digest
from vaebench.store.files import StoreError
from vaebench.store.folders import CellFolder, ResultsFolder
from vaebench.store.here import results_remembered
from vaebench.store.record import MetricRequest, Record
from vaebench.suite.trainers import is_fitted

CLOSE = 2
"""Likenesses of cells that have one network; among others the time grows with the model's size."""
REFINING = 12
"""Four draws, decoded, and the gradient, which costs as much as two decodings more."""
MOST_RECORDS = 500
"""The newest are read; older ones would teach nothing more."""
LONGEST_HEAD = 1 << 26
"""Bytes of a checkpoint's head that are read; one of more is damaged."""


def estimate_seconds(jobs: Sequence[Job], results: ResultsFolder, workers: int) -> float | None:
    """Seconds on the clock with `workers` fleets at a time; None where nothing like it was done before."""
    if not jobs:
        return 0.0
    trained = [work for job in jobs for work in job.cells if work.train]
    begun = {work.cell.id: found for work in trained if (found := standing(work.cell, work.fingerprints, results))}
    paces = Paces(earlier_records(results))
    for job in jobs:
        for work in job.cells:
            if work.cell.id in begun:
                paces.note_training(work.cell, begun[work.cell.id])
    fleets = [paces.job_seconds(job, begun) for job in jobs]
    known = [seconds for seconds in fleets if seconds is not None]
    if len(known) < len(fleets):
        return None
    return makespan(known, workers)


def makespan(fleets: Iterable[float], workers: int) -> float:
    """Until the last of the fleets is done, each taken in its turn by the worker that is free first."""
    free = [0.0] * max(workers, 1)
    for seconds in fleets:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


class Standing(NamedTuple):
    """How far an unfinished model has come."""

    epochs: float
    seconds: float
    """Its share of its fleets' time so far."""


class Pace(NamedTuple):
    seconds: float
    size: float
    """Of the model that took them (vaebench.engines.size)."""


class Paces:
    """Seconds that training on an image and a metric took, of the most alike cells first."""

    def __init__(self, earlier: Iterable[tuple[Cell, Record]]) -> None:
        self.training: dict[Hashable, list[Pace]] = {}
        self.scoring: dict[Hashable, list[Pace]] = {}
        for cell, record in earlier:
            once = seconds_per_pass(cell, record)
            if once is not None:
                _note(self.training, _trained_alike(cell), Pace(once / images_an_epoch(cell), size(cell)))
            took = record.training.get("scoring_seconds", {})
            for request in {value.request.key: value.request for value in record.metrics}.values():
                if request.key in took:
                    seconds, alike, of_one = took[request.key], likeness(cell), size(cell, draws=1)
                    _note(self.scoring, [(request.key, *like) for like in alike], Pace(seconds, of_one))
                    in_all = Pace(seconds / effort(request, cell), of_one)
                    _note(self.scoring, [(request.metric, *like) for like in alike], in_all)

    def note_training(self, cell: Cell, begun: Standing) -> None:
        """As one more of its kind."""
        pace = Pace(begun.seconds / begun.epochs / images_an_epoch(cell), size(cell))
        _note(self.training, _trained_alike(cell), pace)

    def job_seconds(self, job: Job, begun: Mapping[str, Standing] | None = None) -> float | None:
        """Training, what remains of it, and scoring of a fleet; None where a part of it is like nothing before."""
        parts = [part for work in job.cells for part in self._work_seconds(work, (begun or {}).get(work.cell.id))]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None

    def training_pace(self, cell: Cell, alike: Sequence[Hashable] | None = None) -> float | None:
        """Seconds of a pass by the most alike cells seen; `alike` holds the likenesses that count, else all. A fit of a
        kind that was never seen is taken for an epoch of what takes steps."""
        keys = [*_trained_alike(cell), likeness(cell)[-1]] if alike is None else alike
        pace = _pace(self.training, keys, size(cell))
        return None if pace is None else pace * images_an_epoch(cell)

    def _work_seconds(self, work: CellWork, begun: Standing | None) -> Iterator[float | None]:
        alike, of_one = likeness(work.cell), size(work.cell, draws=1)
        if work.train and begun is not None:
            yield begun.seconds / begun.epochs * (work.cell.recipe["epochs"] - begun.epochs)
        elif work.train:
            pace = self.training_pace(work.cell)
            yield None if pace is None else pace * passes(work.cell)
        for request in work.requests:
            exact = _pace(self.scoring, [(request.key, *like) for like in alike], of_one)
            pace = _pace(self.scoring, [(request.metric, *like) for like in alike], of_one)
            yield exact if exact is not None or pace is None else pace * effort(request, work.cell)


def likeness(cell: Cell) -> list[tuple[Hashable, ...]]:
    """Keys under which cells cost about the same, from the most to the least alike."""
    choices, pixels = cell.composition, load_catalog().datasets[cell.dataset].pixels
    parts = {kind: choices[kind]["name"] for kind in ("likelihood", "posterior", "prior", "objective")}
    network = digest([choices["network"], choices["latent"]])
    draws = choices["objective"].get("samples", 1)
    return [
        (pixels, cell.view, cell.recipe["batch"], network, draws, digest(parts)),
        (pixels, network, parts["objective"], draws),
        (pixels, parts["objective"]),
        (pixels,),
    ]


def _trained_alike(cell: Cell) -> list[tuple[Hashable, ...]]:
    """Keys under which training costs about the same: a fit is no measure of what takes steps."""
    *closer, widest = likeness(cell)
    return [*closer, ("fit", *widest) if is_fitted(cell.composition, load_catalog()) else widest]


def passes(cell: Cell) -> int:
    """The epochs of what takes steps; a fit is one, however many iterations it needs."""
    return 1 if is_fitted(cell.composition, load_catalog()) else cell.recipe["epochs"]


def images_an_epoch(cell: Cell) -> int:
    """That a model is trained on."""
    recipe, splits = cell.recipe, load_catalog().datasets[cell.dataset].splits
    images = splits["train"] + (splits["validation"] if recipe["train"] == "all" else 0)
    return min(recipe.get("first_images") or images, images)


def effort(request: MetricRequest, cell: Cell) -> float:
    """What the time of a metric grows with: draws × images of log_likelihood, and 1 where nothing is known of it.

    A step that fits q to an image first is worth REFINING draws.
    """
    catalog = load_catalog()
    splits = catalog.datasets[cell.dataset].splits
    images = splits.get(str(request.protocol.get("split")), splits["test"])
    metric = catalog.metrics.get(request.metric)
    protocol = dict(request.protocol)
    if isinstance(protocol.get("refine"), int) and isinstance(protocol.get("samples"), int):
        protocol["samples"] += REFINING * protocol["refine"]
    factors = [(name, protocol.get(name)) for name in (metric.effort if metric else ())]
    return prod(
        min(value, images) if name.endswith("images") else value
        for name, value in factors
        if isinstance(value, int) and value > 0
    )


def seconds_per_pass(cell: Cell, record: Record) -> float | None:
    """A model's share of its fleet's seconds without those of tracing and compiling / its epochs, or of a whole fit."""
    seconds, epochs = record.training.get("seconds"), record.training.get("epochs")
    if not seconds or not epochs:
        return None
    fitted = is_fitted(cell.composition, load_catalog())
    return (seconds - record.training.get("preparing_seconds", 0.0)) / (1 if fitted else epochs)


def machine() -> dict[str, Any]:
    """What tells one machine's speed from another's, without asking torch."""
    name = platform.processor() or platform.machine()
    return {"platform": platform.platform(), "processor": name, "cores": os.cpu_count()}


def earlier_records(results: ResultsFolder) -> Iterator[tuple[Cell, Record]]:
    """The newest cells that were made on this machine: those of the folder, then those of other results folders."""
    folders = [results.path, *(path for path in results_remembered() if path != results.path.resolve())]
    return islice(chain.from_iterable(map(_records, folders)), MOST_RECORDS)


def _records(results: Path) -> Iterator[tuple[Cell, Record]]:
    here = machine()
    for file in sorted((results / "cells").glob("*/result.json"), key=_changed, reverse=True):
        folder = CellFolder(file.parent)
        try:
            cell, record = folder.read_cell(), folder.read_record()
            hash((size(cell), *likeness(cell)))
        except (
            StoreError,
            OSError,
            LookupError,
            TypeError,
            AttributeError,
            ValueError,
            ArithmeticError,
            RecursionError,
        ):
            continue  # damaged, of a plugin that is not loaded, or of somebody who means harm
        if record and record.environment.items() >= here.items():
            yield cell, record


def standing(cell: Cell, fingerprints: Mapping[str, str], results: ResultsFolder) -> Standing | None:
    """Where the checkpoint of a model stands that a run would go on from under these sources; None: there is none.

    Its state is plain JSON in the head of a safetensors file (vaebench.training.checkpoint), read here without torch.
    """
    try:
        with results.cell(cell.id).checkpoint.open("rb") as stream:
            head = stream.read(min(int.from_bytes(stream.read(8), "little"), LONGEST_HEAD))
        state = json.loads(json.loads(head)["__metadata__"]["state"])
        epochs = state["step"] * cell.recipe["batch"] / images_an_epoch(cell)
        seconds = state["history"]["seconds"] - state["history"].get("preparing", 0.0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    goes_on = state["fingerprints"] == fingerprints
    return Standing(epochs, seconds) if goes_on and epochs and seconds else None


def _changed(file: Any) -> float:
    try:
        return float(file.stat().st_mtime)
    except OSError:
        return 0.0


def _note(paces: dict[Hashable, list[Pace]], keys: Iterable[Hashable], pace: Pace) -> None:
    for key in keys:
        paces.setdefault(key, []).append(pace)


def _pace(paces: Mapping[Hashable, list[Pace]], keys: Iterable[Hashable], own_size: float) -> float | None:
    """Of the first key under which anything is known; where the network may be another, in proportion to its size."""
    for place, key in enumerate(keys):
        if key in paces:
            return median(pace.seconds if place < CLOSE else pace.seconds * own_size / pace.size for pace in paces[key])
    return None

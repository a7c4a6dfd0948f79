"""What a fleet will need of the machine that it is sent to, predicted with torch."""

import json
import math
from pathlib import Path

import torch

from vaebench.catalog.catalog import load_catalog
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.engines.job import Job
from vaebench.engines.needs import GPU_PROCESS, PROCESS, Needs
from vaebench.plugins.loading import load_as_planned
from vaebench.store.cell import Cell
from vaebench.suite.trainers import library_of
from vaebench.training.initialisation import DTYPES, is_fitted
from vaebench.training.memory import SHARE, demand
from vaebench.training.steppers import best_stepper

CONTEXT = 1 << 29
"""Bytes on the GPU that every process takes for itself."""
LEAST_SHARE = 0.125
"""Of a GPU: more than eight small fleets at a time wait for each other."""


def needs(job: Job, on_gpu: bool) -> Needs:
    """Predicted where the fleet, or one like it, is to run."""
    if not on_gpu:
        return Needs(PROCESS + training_bytes(job, torch.device("cpu")))
    device = torch.device("cuda")
    memory = torch.cuda.get_device_properties(device).total_memory
    return Needs(GPU_PROCESS, gpu_share(training_bytes(job, device), memory))


def gpu_share(fleet: int, memory: int) -> float:
    """Of a GPU with so many bytes of memory, in steps of a twentieth; a fleet that wants more is trained in parts."""
    twentieths = math.ceil(20 * (fleet + CONTEXT) / (SHARE * memory))
    return min(1.0, max(LEAST_SHARE, twentieths / 20))


def training_bytes(job: Job, device: torch.device) -> int:
    """What the members of a fleet take while they train; 0 where vaebench trains none of them by gradients."""
    cells = [work.cell for work in job.cells if work.train]
    if not cells or is_fitted(cells[0]) or library_of(cells[0].composition, load_catalog()):
        return 0
    return demand(cells[0], _source(cells[0], job.data_root, device)).of(len(cells), best_stepper(device))


def _source(cell: Cell, data_root: str | None, device: torch.device) -> Source:
    dataset = load_dataset(cell.dataset, Path(data_root) if data_root else None)
    return Source(
        dataset.trained_on(cell.recipe.get("first_images")), cell.view, device, DTYPES[cell.recipe["precision"]]
    )


def all_needs(jobs: list[Job], on_gpu: bool) -> dict[str, Needs]:
    """Fleet → its needs; those that differ only in their scalars are predicted once.

    What cannot be predicted is given what a process needs: why it cannot, the fleet itself will say.
    """
    found: dict[str, Needs] = {}
    known: dict[str, Needs] = {}
    for job in jobs:
        like = _likeness(job)
        if like not in known:
            try:
                load_as_planned(job.plugins)
                known[like] = needs(job, on_gpu)
            except Exception:
                known[like] = Needs(GPU_PROCESS, 1.0) if on_gpu else Needs()
        found[job.fleet] = known[like]
    return found


def _likeness(job: Job) -> str:
    """The same for fleets whose memory is the same."""
    cell = job.cells[0].cell
    parts = {
        kind: {name: value for name, value in part.items() if not isinstance(value, float)}
        if isinstance(part, dict)
        else part
        for kind, part in cell.composition.items()
    }
    members = sum(work.train for work in job.cells)
    return json.dumps([cell.dataset, cell.view, cell.recipe, parts, members], sort_keys=True)

"""From cells to models: by gradients as a fleet, or without gradients one by one."""

import time
from collections.abc import Iterator, Sequence

import torch

from vaebench.catalog.catalog import load_catalog
from vaebench.catalog.implementation import implementation
from vaebench.data import streams
from vaebench.data.source import Source
from vaebench.store.cell import Cell
from vaebench.store.failures import is_out_of_memory
from vaebench.training.fitted import Fitter, Stop
from vaebench.training.fleet import Interrupted, Surroundings, Trained, train_fleet
from vaebench.training.initialisation import DTYPES, is_fitted
from vaebench.training.memory import largest_fleet
from vaebench.training.peak import Peak


def fit(cells: Sequence[Cell], around: Surroundings) -> Iterator[Trained]:
    """Models of cells that make one fleet, as they become known.

    A fleet that is predicted not to fit in memory is trained in parts; one that runs out of memory all the same is
    cut in half and tried again, from its checkpoints. A single member that does not fit raises.
    """
    if is_fitted(cells[0]):
        for cell in cells:
            if around.should_stop():
                raise Interrupted
            yield _fit_without_gradients(cell, around.source, around.should_stop)
        return
    waiting = list(cells)
    largest = largest_fleet(cells[0], around)
    while waiting:
        part, waiting = waiting[:largest], waiting[largest:]
        try:
            yield from train_fleet(part, around)
        except (RuntimeError, MemoryError) as error:
            if len(part) == 1 or not is_out_of_memory(error):
                raise
            largest, waiting = len(part) // 2, part + waiting
            if around.source.device.type == "cuda":
                torch.cuda.empty_cache()


def _fit_without_gradients(cell: Cell, source: Source, should_stop: Stop) -> Trained:
    started = time.perf_counter()
    objective = load_catalog().parts["objective"][cell.composition["objective"]["name"]]
    content = source.training_content(cell.recipe["train"])
    u = torch.zeros(())
    if source.training_noise():
        stream = streams.keys([(cell.seed, "noise", "view")], source.device)
        u = streams.uniform(stream, 0, len(content), source.pixels, source.dtype)[:, 0]
    peak = Peak(source.device)
    x = source.training_batch(content, torch.arange(len(content), device=source.device), u)
    fitter: Fitter = implementation(objective.implementation)()
    model, losses = fitter.fit(cell.composition, x, cell.seed, should_stop)
    model = model.to(source.device, DTYPES[cell.recipe["precision"]])
    curves = [{"epoch": step, "step": step, "loss": loss} for step, loss in enumerate(losses, start=1)]
    seconds, steps = time.perf_counter() - started, len(losses)
    return Trained(cell, model, curves, seconds, steps=steps, epochs=steps, details=peak.share(1))

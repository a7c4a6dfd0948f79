"""From cells to models: by gradients as a fleet, or in closed form one by one."""

import time
from collections.abc import Callable, Sequence

import torch

from vaebench.catalog.catalog import load_catalog
from vaebench.catalog.implementation import implementation
from vaebench.data import streams
from vaebench.data.source import Source
from vaebench.store.cell import Cell
from vaebench.training.fleet import Progress, Trained, train_fleet
from vaebench.training.initialisation import DTYPES, is_fitted


def fit(
    cells: Sequence[Cell],
    source: Source,
    *,
    stepper: str = "auto",
    on_epoch: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Trained]:
    """Models of cells that make one fleet."""
    if is_fitted(cells[0]):
        return [_fit_in_closed_form(cell, source) for cell in cells]
    return train_fleet(cells, source, stepper=stepper, on_epoch=on_epoch, should_stop=should_stop)


def _fit_in_closed_form(cell: Cell, source: Source) -> Trained:
    started = time.perf_counter()
    objective = load_catalog().parts["objective"][cell.composition["objective"]["name"]]
    content = source.training_content(cell.recipe["train"])
    u = torch.zeros(())
    if source.training_noise():
        stream = streams.keys([(cell.seed, "noise", "view")], source.device)
        u = streams.uniform(stream, 0, len(content), source.pixels, source.dtype)[:, 0]
    x = source.training_batch(content, torch.arange(len(content), device=source.device), u)
    model = implementation(objective.implementation)().fit(cell.composition, x)
    model = model.to(source.device, DTYPES[cell.recipe["precision"]])
    with torch.no_grad():
        loss = -float(model.log_prob(x).mean())
    return Trained(cell, model, [{"epoch": 1, "step": 1, "loss": loss}], time.perf_counter() - started, 1, 1)

"""What is settled by one pass over the training images when training has ended."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from vaebench.data.source import Source, training_splits
from vaebench.models.calibration import mean_squared_error
from vaebench.models.given import is_conditional
from vaebench.store.cell import Cell


@runtime_checkable
class Calibrated(Protocol):
    """A likelihood head with a number that the training images fix."""

    def calibrate(self, squared_error: Tensor) -> None:
        """`squared_error`: mean over training images and pixels of (x − E[x|z])², z ~ q(z|x); ()"""
        ...


def calibrate(model: nn.Module, cell: Cell, source: Source) -> None:
    """Fix what the model's likelihood leaves open while it trains; nothing for most."""
    head = getattr(model, "likelihood_head", None)
    if isinstance(head, Calibrated):
        train = cell.recipe["train"]
        x = torch.cat([source.images(split) for split in training_splits(train)])
        y = source.training_labels(train) if is_conditional(model) else None
        head.calibrate(mean_squared_error(model, x, y, cell.seed, "calibration"))

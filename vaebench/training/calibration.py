"""What is settled by one pass over the training images when training has ended."""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from vaebench.data import streams
from vaebench.data.source import Source, training_splits
from vaebench.models.given import given, is_conditional
from vaebench.store.cell import Cell

BATCH = 1000


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
        head.calibrate(training_squared_error(model, cell, source))


@torch.no_grad()
def training_squared_error(model: Any, cell: Cell, source: Source) -> Tensor:
    """1/(N D) Σ_i ‖x_i − E[x|z_i]‖², z_i ~ q(z|x_i), one draw from the image's own stream; ()"""
    splits = training_splits(cell.recipe["train"])
    x = torch.cat([source.images(split) for split in splits])
    y = source.training_labels(cell.recipe["train"]) if is_conditional(model) else None
    total = x.new_zeros((), dtype=torch.float64)
    for first in range(0, len(x), BATCH):
        block = x[first : first + BATCH]
        seen = given(model, None if y is None else y[first : first + BATCH])
        q: Any = seen.posterior(block)
        keys = streams.image_keys(block, cell.seed, "calibration")
        noise = streams.LAWS[q.noise_law](keys, 0, 1, q.noise_size, source.dtype)
        mean = seen.likelihood(q.from_noise(noise)).mean
        total += (block - mean).double().square().sum()
    return (total / x.numel()).to(source.dtype)

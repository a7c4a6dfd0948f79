"""How much memory a fleet will take, so that it is cut before it fails."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vaebench.data.memory import free_bytes
from vaebench.data.source import Source
from vaebench.models.given import given
from vaebench.store.cell import Cell
from vaebench.training.fleet import Surroundings
from vaebench.training.initialisation import DTYPES, build_system
from vaebench.training.steppers import best_stepper

COPIES = 5
"""Of each parameter: itself, its gradient, Adam's two moments, the best so far."""
BACKWARD = 2.5
"""Memory of a step per number that its layers put out: the output, its gradient, and temporaries."""
SHARE = 0.8
"""Of the free memory that a fleet may take."""


def largest_fleet(cell: Cell, around: Surroundings) -> int:
    """How many members like `cell` fit in the memory that is free; at least one."""
    lasting, working = member_bytes(cell, around.source)
    free = free_bytes(around.source.device) * SHARE
    stepper = best_stepper(around.source.device) if around.stepper == "auto" else around.stepper
    if stepper == "in-turn":
        return max(1, int((free - working) // lasting))
    return max(1, int(free // (lasting + working)))


def member_bytes(cell: Cell, source: Source) -> tuple[int, int]:
    """Bytes that a member holds as long as it trains, and those that a step of it needs on top."""
    width = torch.finfo(DTYPES[cell.recipe["precision"]]).bits // 8
    system, objective = build_system(cell, source.dataset.shape, images=1000)
    lasting = COPIES * sum(value.numel() for value in system.parameters())
    draws = [noise.draws for player in objective.players for noise in player.noise.values()]
    rows = max(draws, default=1) * cell.recipe["batch"]
    working = BACKWARD * rows * _outputs_of_one_image(system, source.pixels, cell.composition["latent"])
    return int(lasting * width), int(working * width)


def _outputs_of_one_image(system: nn.Module, pixels: int, latent: int) -> int:
    """Numbers that all layers of encoder and decoder put out for one image."""
    model: Any = system.get_submodule("model")
    outputs: list[int] = [pixels]
    hooks = [layer.register_forward_hook(_counting(outputs)) for layer in model.modules() if not any(layer.children())]
    dtype = next(system.parameters()).dtype
    with torch.no_grad():
        seen = given(model, torch.zeros(1, dtype=torch.int64))
        seen.posterior(torch.zeros(1, pixels, dtype=dtype))
        seen.likelihood(torch.zeros(1, latent, dtype=dtype))
    for hook in hooks:
        hook.remove()
    return sum(outputs)


def _counting(outputs: list[int]) -> Callable[[nn.Module, Any, Any], None]:
    def count(layer: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs.append(output.numel())

    return count

"""How much memory a fleet will take, so that it is cut before it fails."""

import math

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from vaebench.data.memory import free_bytes
from vaebench.data.source import Source
from vaebench.objectives.player import Noise, Player, System
from vaebench.store.cell import Cell
from vaebench.training.fleet import Surroundings
from vaebench.training.held import HeldBytes
from vaebench.training.initialisation import DTYPES, build_system
from vaebench.training.inputs import NOISE_BLOCK, settings_of
from vaebench.training.steppers import best_stepper

COPIES = 4
"""Of each parameter: itself, its gradient, Adam's two moments; one more where the best so far is kept."""
DRAWING = 20
"""Bytes for each number while it is drawn: 64 random bits, their mixing, and what is made of them."""
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
    dtype = DTYPES[cell.recipe["precision"]]
    system, objective = build_system(cell, source.dataset.shape, images=1000)
    copies = COPIES + (cell.recipe["select"] == "best-validation")
    parameters = sum(value.numel() for value in system.parameters())
    drawn = [_numbers(noise, cell) for player in objective.players for noise in player.noise.values()]
    drawn += [cell.recipe["batch"] * source.pixels] * source.training_noise()
    at_once = [max(numbers, NOISE_BLOCK[source.device.type]) for numbers in drawn]
    lasting = (copies * parameters + sum(at_once)) * dtype.itemsize
    steps = [_gradient_bytes(system, player, cell, source, dtype) for player in objective.players]
    return lasting, max(max(steps), DRAWING * max(at_once, default=0))


def _gradient_bytes(system: System, player: Player, cell: Cell, source: Source, dtype: torch.dtype) -> int:
    """What a player's gradient and its inputs hold at most: the step is taken with tensors that have no content."""
    batch, classes = cell.recipe["batch"], source.dataset.classes
    with FakeTensorMode(allow_non_fake_inputs=True):
        parameters = {
            name: torch.empty_like(value, requires_grad=name.startswith(_prefixes(player)))
            for name, value in system.named_parameters()
        }
        moved = [value for value in parameters.values() if value.requires_grad]
        buffers = {name: torch.empty_like(value) for name, value in system.named_buffers()}
        settings = {name: torch.empty((), dtype=dtype) for name in (*settings_of(cell), "kl_weight", "progress")}
        with HeldBytes() as held:
            images = tuple(torch.empty(batch, source.pixels, dtype=dtype) for _ in range(player.batches))
            noise = {name: _empty(wanted, batch, dtype) for name, wanted in player.noise.items()}
            labelled = cell.composition["conditional"] and classes
            labels = tuple(torch.zeros(batch, dtype=torch.int64) for _ in images) if labelled else ()
            loss, _ = functional_call(system, (parameters, buffers), (player, images, noise, settings, labels))
            torch.autograd.grad(loss, moved, allow_unused=True, materialize_grads=True)
    return held.peak


def _empty(noise: Noise, batch: int, dtype: torch.dtype) -> Tensor:
    return torch.empty(noise.draws, batch, noise.size, dtype=dtype)


def _numbers(noise: Noise, cell: Cell) -> int:
    """Of one step."""
    return math.prod((noise.draws, cell.recipe["batch"], noise.size))


def _prefixes(player: Player) -> tuple[str, ...]:
    return tuple(f"{prefix}." for prefix in player.owns)

"""How much memory a fleet will take, so that it is cut before it fails."""

import math
from bisect import bisect_right
from dataclasses import dataclass

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
"""Bytes for each number while it is drawn, itself included: 64 random bits, their mixing, and what is made of them."""
SHARE = 0.8
"""Of the free memory that a fleet may take."""


@dataclass(frozen=True)
class Demand:
    """What fleets of one kind of cell take while they train."""

    lasting: int
    """Bytes that a member holds as long as it trains: its parameters, and what is kept of each."""
    gradient: int
    """Bytes that the step of a member needs on top."""
    drawn: tuple[int, ...]
    """Numbers of each kind of noise that the step of a member reads."""
    block: int
    """Numbers that are drawn at once, for as many steps as they last."""
    itemsize: int

    def of(self, members: int, stepper: str) -> int:
        """Bytes of a fleet at its peak. Members in turn draw each for itself, and one of them takes a step; a mapped
        fleet draws for all in one block, and all take it."""
        together = members if stepper == "mapped" else 1
        blocks = [self._held(numbers * together) for numbers in self.drawn]
        noise = sum(blocks) * self.itemsize * (members // together)
        drawing = (DRAWING - self.itemsize) * max(blocks, default=0)
        return members * self.lasting + noise + max(self.gradient * together, drawing)

    def _held(self, numbers: int) -> int:
        """Of whole steps, one at least."""
        return max(1, self.block // max(1, numbers)) * numbers


def largest_fleet(cell: Cell, around: Surroundings) -> int:
    """How many members like `cell` fit in the memory that is free; at least one."""
    stepper = best_stepper(around.source.device) if around.stepper == "auto" else around.stepper
    return most_members(demand(cell, around.source), stepper, int(free_bytes(around.source.device) * SHARE))


def most_members(wanted: Demand, stepper: str, free: int) -> int:
    """The largest fleet whose peak is no more than `free` bytes; one where not even that fits."""
    fits = range(1, max(2, free // max(1, wanted.lasting) + 2))
    return max(1, bisect_right(fits, free, key=lambda members: wanted.of(members, stepper)))


def demand(cell: Cell, source: Source) -> Demand:
    """Predicted with tensors that have no content."""
    dtype = DTYPES[cell.recipe["precision"]]
    system, objective = build_system(cell, source.dataset.shape, images=1000)
    copies = COPIES + (cell.recipe["select"] == "best-validation")
    parameters = sum(value.numel() for value in system.parameters())
    drawn = [_numbers(noise, cell) for player in objective.players for noise in player.noise.values()]
    drawn += [cell.recipe["batch"] * source.pixels] * source.training_noise()
    gradient = max(_gradient_bytes(system, player, cell, source, dtype) for player in objective.players)
    block = NOISE_BLOCK[source.device.type]
    return Demand(copies * parameters * dtype.itemsize, gradient, tuple(drawn), block, dtype.itemsize)


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

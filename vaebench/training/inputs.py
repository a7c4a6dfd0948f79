"""What a step reads: images, noise and settings of some members of a fleet, each from its member's own streams."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vaebench.catalog.catalog import load_catalog
from vaebench.data import streams
from vaebench.data.source import Source
from vaebench.objectives.player import Batches, Noise, Player
from vaebench.store.cell import Cell

NOISE_BLOCK = {"cpu": 1 << 16, "cuda": 1 << 22}
"""Numbers drawn at once: small draws are made for many steps together; streams have no state, so no number changes.
What a CPU draws should stay in its cache; a GPU is told to draw the more seldom, the better."""

SEGMENT_STEPS = 200
"""Most steps between two looks at the host: for stopping, divergence, checkpoints."""

STAGES = tuple((3**i - 1) / 2 / 3280 for i in range(1, 8))
"""Share of the steps at which stage 1, 2, … 7 begins: Σ_{j<i} 3^j of 3,280 epochs (Burda et al. 2016)"""

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
    "linear": lambda progress: 1.0 - progress,
    "staged": lambda progress: 10.0 ** (-bisect_right(STAGES, progress) / 7),
}
"""Factor on the learning rate when the share `progress` of the steps is done."""


class Segment(NamedTuple):
    """Steps that are taken without a look at the host."""

    first: int
    last: int
    """The step after the last one taken."""
    completes: int | None
    """The epoch that it completes, if it does."""


class Timetable:
    """Steps, epochs and schedules of a recipe. The images come in one endless stream of shuffled passes, cut into
    batches of one size; an epoch ends with the step that completes it, so over a whole run no image is dropped."""

    def __init__(self, recipe: dict[str, Any], images: int) -> None:
        self.images = images
        self.batch: int = recipe["batch"]
        self.epochs: int = recipe["epochs"]
        self.steps = max(self.epochs * images // self.batch, 1)
        self.schedule = SCHEDULES[recipe["schedule"]]
        self.warmup_steps = recipe["kl_warmup"] * images / self.batch

    def end_of_epoch(self, epoch: int) -> int:
        """The step before which epoch 1, 2, … is complete."""
        return max(epoch * self.images // self.batch, 1 if epoch == self.epochs else 0)

    def segments(self, start: int) -> Iterator["Segment"]:
        """The steps from `start` on in pieces that end with their epoch at the latest. The cuts do not depend on
        `start`, if that is one of them."""
        for epoch in range(1, self.epochs + 1):
            first, end = self.end_of_epoch(epoch - 1), self.end_of_epoch(epoch)
            for begin in range(first, end, SEGMENT_STEPS):
                last = min(begin + SEGMENT_STEPS, end)
                if begin >= start:
                    yield Segment(begin, last, epoch if last == end else None)

    def rate(self, step: int) -> float:
        return self.schedule(step / self.steps)

    def kl_weight(self, step: int) -> float:
        """Rises linearly to 1 over the warm-up."""
        return min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps > 0 else 1.0


class Draws:
    """One kind of noise for some members: streams read block by block."""

    def __init__(self, keys: Tensor, noise: Noise, batch: int, dtype: torch.dtype) -> None:
        self.keys = keys
        self.shape = (noise.draws, batch, noise.size)
        self.law = streams.LAWS[noise.law]
        self.dtype = dtype
        self.numbers = math.prod(self.shape)
        self.block_steps = max(1, NOISE_BLOCK[keys.device.type] // max(1, self.numbers * len(keys)))
        self.first, self.block = 0, torch.empty(0)

    def at(self, step: int) -> Tensor:
        """(member, draw, image, size)"""
        if not self.first <= step < self.first + len(self.block):
            self.first, self.block = step - step % self.block_steps, torch.empty(0)  # gone before the next is drawn
            self.block = self.law(self.keys, self.first, self.block_steps, self.numbers, self.dtype)
        return self.block[step - self.first].reshape(len(self.keys), *self.shape)


class Inputs:
    """Images, noise and settings of `cells`, with the member as first axis."""

    def __init__(self, cells: Sequence[Cell], source: Source, players: Sequence[Player], timetable: Timetable) -> None:
        source = source.seen_as(trained_view(cells[0], source.view_name))
        self.source = source
        self.timetable = timetable
        self.content = source.training_content(cells[0].recipe["train"])
        conditional = cells[0].composition["conditional"]
        self.known_labels = source.training_labels(cells[0].recipe["train"]) if conditional else None
        most = max((player.batches for player in players), default=1)
        self.order_keys = [[streams.key(cell.seed, "order", *more) for cell in cells] for more in _batch_names(most)]
        """Batch → the stream of each member."""
        batch, dtype, device = timetable.batch, source.dtype, source.device

        def draws(noise: Noise, *words: object) -> Draws:
            keys = streams.keys(((cell.seed, "noise", *words) for cell in cells), device)
            return Draws(keys, noise, batch, dtype)

        observed = Noise(1, source.pixels, "uniform")
        names = _batch_names(most) if source.training_noise() else []
        self.views = [draws(observed, "view", *more) for more in names]
        self.batches = [player.batches for player in players]
        self.players = [
            {name: draws(noise, player.name, name) for name, noise in player.noise.items()} for player in players
        ]
        self.constants = {
            name: torch.tensor(
                [float(cell.composition["objective"][name]) for cell in cells], dtype=dtype, device=device
            )
            for name in settings_of(cells[0])
        }
        self.index, self.first = torch.empty(0), 0

    def prepare(self, first: int, last: int) -> None:
        """Shuffle what steps `first` to `last` will read; one transfer to the device for all of them."""
        batch, images = self.timetable.batch, self.timetable.images
        start, stop = first * batch, last * batch
        epochs = range(start // images, (stop - 1) // images + 1)
        cut = slice(start - epochs[0] * images, stop - epochs[0] * images)

        def shuffled(order: int) -> Tensor:
            passes = torch.cat([streams.permutation(order, epoch, images) for epoch in epochs])
            return passes[cut].reshape(last - first, batch)

        rows = [torch.stack([shuffled(order) for order in orders], dim=1) for orders in self.order_keys]
        self.index, self.first = torch.stack(rows).to(self.source.device), first

    def labels(self, step: int) -> Batches:
        """Of the images of every batch, (member, image) each; none for a model that is not conditional."""
        if self.known_labels is None:
            return ()
        return tuple(self.known_labels[index[step - self.first]] for index in self.index)

    def images(self, step: int) -> Batches:
        """Every batch of a step; (member, image, pixel) each"""
        nothing = self.content.new_zeros(())
        uniforms = [view.at(step)[:, 0] for view in self.views] or [nothing] * len(self.index)
        return tuple(
            self.source.training_batch(self.content, index[step - self.first], u)
            for index, u in zip(self.index, uniforms, strict=True)
        )

    def noise(self, step: int, player: int) -> dict[str, Tensor]:
        """Name → (member, draw, image, size)"""
        return {name: draws.at(step) for name, draws in self.players[player].items()}

    def settings(self, step: int) -> dict[str, Tensor]:
        """Name → (member,): the objective's scalars, and where the step stands in the schedules."""
        timetable = self.timetable
        return {**self.constants, **self.schedules(timetable.kl_weight(step), step / timetable.steps)}

    def schedules(self, kl_weight: float, progress: float) -> dict[str, Tensor]:
        """The settings that change with the step; (member,) each."""
        shape = (len(self.order_keys[0]),)
        values = {"kl_weight": kl_weight, "progress": progress}
        dtype, device = self.source.dtype, self.source.device
        return {name: torch.full(shape, value, dtype=dtype, device=device) for name, value in values.items()}


def trained_view(cell: Cell, view: str) -> str:
    """The view whose images a member is trained on: its own, unless its objective says otherwise."""
    chosen: str = cell.composition["objective"].get("train_on", "view")
    return view if chosen == "view" else chosen


def _batch_names(count: int) -> list[tuple[str, ...]]:
    """What tells the streams of a step's batches apart; the first has no name of its own, so that an objective that
    sees one batch and one that sees two train on the same first batches."""
    return [() if number == 0 else (f"batch {number}",) for number in range(count)]


def settings_of(cell: Cell) -> list[str]:
    """Names of the objective's numbers: those that the catalog lets differ within a fleet."""
    objective = load_catalog().parts["objective"][cell.composition["objective"]["name"]]
    return [name for name, parameter in objective.parameters.items() if parameter.setting]

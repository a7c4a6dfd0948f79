"""A fleet: cells that share a computation graph, trained in lock-step as one program."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vaebench.data import streams
from vaebench.data.source import Source
from vaebench.store.cell import Cell
from vaebench.training.initialisation import build_system
from vaebench.training.inputs import Inputs, Timetable
from vaebench.training.member import Member
from vaebench.training.steppers import STEPPERS, Curves, Stepper, best_stepper

SEGMENT_STEPS = 500
"""Most steps between two looks at the host: for stopping, divergence, progress."""
VALIDATION_BATCH = 1000


class Interrupted(Exception):
    """Training was asked to stop."""


@dataclass(frozen=True)
class Trained:
    """What became of one cell."""

    cell: Cell
    model: nn.Module
    curves: list[dict[str, float]]
    seconds: float
    """Of the fleet, divided by its members."""
    steps: int
    epochs: int
    diverged_at: int | None = None
    details: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    epoch: int
    epochs: int
    members: int
    """Still training."""
    seconds: float


def train_fleet(
    cells: Sequence[Cell],
    source: Source,
    *,
    stepper: str = "auto",
    on_epoch: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Trained]:
    """Train all cells together; each gets the result that it would have alone."""
    started = time.perf_counter()
    images = len(source.training_content(cells[0].recipe["train"]))
    members = [_member(cell, source, images) for cell in cells]
    timetable = Timetable(cells[0].recipe, images)
    make_stepper = STEPPERS[best_stepper(source.device) if stepper == "auto" else stepper]
    active, engine = members, make_stepper(members, source, timetable)
    for epoch in range(1, timetable.epochs + 1):
        if _run_epoch(engine, active, timetable, epoch, source.pixels, should_stop):
            _validate(active, source, epoch)
        on_epoch(Progress(epoch, timetable.epochs, len(active), time.perf_counter() - started))
        still = [member for member in active if member.active]
        if not still:
            break
        if len(still) < len(active):
            active, engine = still, make_stepper(still, source, timetable)
    seconds = (time.perf_counter() - started) / len(members)
    return [_finish(member, timetable, seconds) for member in members]


def _member(cell: Cell, source: Source, images: int) -> Member:
    system, objective = build_system(cell, source.dataset.shape, images)
    return Member(cell, system.to(source.device), objective)


def _run_epoch(
    engine: Stepper,
    active: Sequence[Member],
    timetable: Timetable,
    epoch: int,
    pixels: int,
    should_stop: Callable[[], bool],
) -> bool:
    """All steps of an epoch, in segments; whether there were any (a batch may be larger than the data set)."""
    first, last = timetable.end_of_epoch(epoch - 1), timetable.end_of_epoch(epoch)
    parts: list[tuple[Tensor, Curves]] = []
    for begin in range(first, last, SEGMENT_STEPS):
        if should_stop():
            raise Interrupted
        parts.append(engine.advance(begin, min(begin + SEGMENT_STEPS, last)))
    if not parts:
        return False
    losses = torch.cat([part for part, _ in parts]).cpu()
    terms = {name: torch.cat([curves[name] for _, curves in parts]).double().mean(0).cpu() for name in parts[0][1]}
    means = losses[..., -1].double().mean(0)
    for position, member in enumerate(active):
        member.watch(first, losses[:, position], pixels)
        _watch_parameters(member, last)
        row = {name: float(values[position]) for name, values in terms.items()}
        member.curves.append({"epoch": epoch, "step": last, "loss": float(means[position]), **row})
    return True


def _watch_parameters(member: Member, last: int) -> None:
    """A parameter that is not finite after the epoch's last step is a divergence too."""
    if member.diverged_at is None and not all(bool(value.isfinite().all()) for value in member.system.parameters()):
        member.diverged_at = last


@torch.no_grad()
def _validate(active: Sequence[Member], source: Source, epoch: int) -> None:
    """Loss of the model's player on the validation images, with the same noise in every epoch."""
    for member in active:
        if member.cell.recipe["select"] == "best-validation" and member.diverged_at is None:
            loss = validation_loss(member, source)
            member.curves[-1]["validation_loss"] = loss
            member.consider(epoch, loss)


def validation_loss(member: Member, source: Source) -> float:
    """Mean over the validation images, the KL at its full weight."""
    player = member.objective.players[-1]
    images = source.images("validation")
    inputs = Inputs([member.cell], source, (), Timetable(member.cell.recipe, len(images)))
    settings = {name: value[0] for name, value in {**inputs.constants, **inputs.kl_weight(1.0)}.items()}
    total = 0.0
    for chunk, x in enumerate(images.split(VALIDATION_BATCH)):
        noise = {
            name: streams.LAWS[wanted.law](
                streams.keys([(member.cell.seed, "validation", name)], source.device),
                chunk,
                1,
                wanted.draws * len(x) * wanted.size,
                source.dtype,
            ).reshape(wanted.draws, len(x), wanted.size)
            for name, wanted in player.noise.items()
        }
        loss, _ = member.system(player, x, noise, settings)
        total += float(loss) * len(x)
    return total / len(images)


def _finish(member: Member, timetable: Timetable, seconds: float) -> Trained:
    epochs = len(member.curves)
    details: dict[str, object] = {}
    if member.best_epoch is not None:
        details["selected_epoch"] = member.best_epoch
    if member.stopped_at is not None:
        details["stopped_at_epoch"] = member.stopped_at
    steps = int(member.curves[-1]["step"]) if member.curves else 0
    return Trained(member.cell, member.selected(), member.curves, seconds, steps, epochs, member.diverged_at, details)

"""A fleet: cells that share a computation graph, trained in lock-step as one program."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from vaebench.data import streams
from vaebench.data.source import Source
from vaebench.store.cell import Cell
from vaebench.training.calibration import calibrate
from vaebench.training.checkpoint import Checkpoints
from vaebench.training.initialisation import build_system, start_from_data
from vaebench.training.inputs import Inputs, Segment, Timetable
from vaebench.training.member import Member
from vaebench.training.peak import Peak
from vaebench.training.programs import missing_for_compiling
from vaebench.training.steppers import STEPPERS, Stepper, best_stepper

VALIDATION_BATCH = 1000


class Interrupted(Exception):
    """Training was asked to stop; where it stood is saved."""


@dataclass(frozen=True)
class Trained:
    """What became of one cell."""

    cell: Cell
    model: nn.Module
    curves: list[dict[str, float]]
    seconds: float
    """Of its fleet, divided by the members."""
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
    """Since the fleet began, or went on."""


@dataclass(frozen=True)
class Surroundings:
    """What a fleet's training touches beside its members."""

    source: Source
    stepper: str = "auto"
    checkpoints: Checkpoints | None = None
    on_epoch: Callable[[Progress], None] = lambda progress: None
    should_stop: Callable[[], bool] = lambda: False
    compiled: bool = False
    """Whether members that begin are to be trained by compiled steps."""


def train_fleet(cells: Sequence[Cell], around: Surroundings) -> list[Trained]:
    """Train all cells together; each gets the result that it would have alone.

    Members that come back from checkpoints at different steps, or from different paths, go on as separate fleets.
    """
    source = around.source
    images = len(source.training_content(cells[0].recipe["train"]))
    peak = Peak(source.device)
    members = [_member(cell, source, images) for cell in cells]
    timetable = Timetable(cells[0].recipe, images)
    compiled = around.compiled and missing_for_compiling(source.device) is None
    waiting: dict[tuple[int, bool], list[Member]] = {}
    for member in members:
        step = around.checkpoints.restore(member) if around.checkpoints else 0
        if member.history.compiled is None:
            member.history.compiled = compiled
        if member.active:
            waiting.setdefault((step, member.history.compiled), []).append(member)
    for step, path in sorted(waiting, reverse=True):
        _train(waiting[step, path], step, timetable, around, path)
    memory = peak.share(len(members)) if waiting else {}
    return [_finish(member, source, memory) for member in members]


def _member(cell: Cell, source: Source, images: int) -> Member:
    system, objective = build_system(cell, source.dataset.shape, images)
    start_from_data(system, cell, source)
    return Member(cell, system.to(source.device), objective)


def _train(members: list[Member], step: int, timetable: Timetable, around: Surroundings, compiled: bool) -> None:
    """Take the steps that remain after `step`."""
    started = time.perf_counter()
    make_stepper = STEPPERS[best_stepper(around.source.device) if around.stepper == "auto" else around.stepper]
    active, stepper = members, make_stepper(members, around.source, timetable, compiled)
    for segment in timetable.segments(step):
        if around.should_stop():
            _save(active, segment.first, around)
            raise Interrupted
        _advance(stepper, active, segment, around.source)
        if segment.completes is not None:
            _close_epoch(active, segment, around.source)
            elapsed = time.perf_counter() - started
            around.on_epoch(Progress(segment.completes, timetable.epochs, len(active), elapsed))
        still = [member for member in active if member.active]
        if around.checkpoints and (around.checkpoints.due() or len(still) < len(active)):
            _save(active, segment.last, around)
        if not still:
            return
        if len(still) < len(active):
            active, stepper = still, make_stepper(still, around.source, timetable, compiled)


def _advance(stepper: Stepper, active: Sequence[Member], segment: Segment, source: Source) -> None:
    """Take the steps of a segment, and let each member take in its losses."""
    begun, prepared = time.perf_counter(), _preparing_seconds(stepper)
    losses, terms = stepper.advance(segment.first, segment.last)
    losses, terms = losses.cpu(), {name: values.cpu() for name, values in terms.items()}
    share = (time.perf_counter() - begun) / len(active)
    prepared = (_preparing_seconds(stepper) - prepared) / len(active)
    for position, member in enumerate(active):
        own = {name: values[:, position] for name, values in terms.items()}
        member.absorb(segment.first, losses[:, position], own, source.pixels)
        member.history.seconds += share
        member.history.preparing += prepared


def _preparing_seconds(stepper: Stepper) -> float:
    return sum(program.seconds for program in stepper.programs)


def _close_epoch(active: Sequence[Member], segment: Segment, source: Source) -> None:
    epoch = segment.completes or 0
    for member in active:
        member.close_epoch(epoch, segment.last)
        if member.cell.recipe["select"] == "best-validation" and member.history.diverged_at is None:
            member.consider(epoch, validation_loss(member, source))


@torch.no_grad()
def validation_loss(member: Member, source: Source) -> float:
    """Loss of the model's player over the validation images, with the same noise in every epoch and the KL at its
    full weight."""
    player = member.objective.players[-1]
    images, labels = source.images("validation"), source.labels("validation")
    inputs = Inputs([member.cell], source, (), Timetable(member.cell.recipe, len(images)))
    settings = {
        name: value[0] for name, value in {**inputs.constants, **inputs.schedules(kl_weight=1.0, progress=1.0)}.items()
    }
    conditional = member.cell.composition["conditional"]
    keys = {name: streams.keys([(member.cell.seed, "validation", name)], source.device) for name in player.noise}
    total = 0.0
    for chunk, x in enumerate(images.split(VALIDATION_BATCH)):
        noise = {}
        for name, wanted in player.noise.items():
            shape = (wanted.draws, len(x), wanted.size)
            numbers = streams.LAWS[wanted.law](keys[name], chunk, 1, wanted.draws * len(x) * wanted.size, source.dtype)
            noise[name] = numbers.reshape(shape)
        begin = chunk * VALIDATION_BATCH
        given = labels[begin : begin + len(x)].to(x.device) if labels is not None and conditional else None
        seen = () if given is None else (given,) * player.batches
        loss, _ = member.system(player, (x,) * player.batches, noise, settings, seen)
        total += float(loss) * len(x)
    return total / len(images)


def _save(members: Sequence[Member], step: int, around: Surroundings) -> None:
    if around.checkpoints:
        around.checkpoints.save(members, step)


def _finish(member: Member, source: Source, memory: dict[str, object]) -> Trained:
    history = member.history
    model = member.selected().eval()
    if history.diverged_at is None:
        calibrate(model, member.cell, source)
    details: dict[str, object] = {**memory, "compiled": history.compiled, "preparing_seconds": history.preparing}
    if history.best_epoch is not None:
        details["selected_epoch"] = history.best_epoch
    if history.stopped_at is not None:
        details["stopped_at_epoch"] = history.stopped_at
    return Trained(
        cell=member.cell,
        model=model,
        curves=history.curves,
        seconds=history.seconds,
        steps=int(history.curves[-1]["step"]) if history.curves else 0,
        epochs=len(history.curves),
        diverged_at=history.diverged_at,
        details=details,
    )

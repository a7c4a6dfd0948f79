"""Trials of what happens when a composition is trained: where gradients go, and that a fleet's member is as alone."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vaebench.conformance.finding import Breach
from vaebench.conformance.trial import Trial, source_of
from vaebench.objectives.player import Batches, Objective, Player, System, Terms
from vaebench.store.cell import Cell
from vaebench.training.fleet import Surroundings, train_fleet
from vaebench.training.inputs import Inputs, Timetable

SAME = 1e-9
"""Difference of a parameter that rounding may make in float64, relative to 1 or to its size."""
HOMES = {
    "likelihood": ("model.likelihood_head",),
    "posterior": ("model.posterior_head",),
    "prior": ("model.prior_family",),
    "network": ("model.encoder", "model.decoder"),
}
"""Kind of part → where its parameters stand in a system."""


class Step:
    """What the players of a system see at one step of its training."""

    def __init__(self, trial: Trial, system: System, objective: Objective) -> None:
        timetable = Timetable(trial.cell.recipe, len(trial.source.dataset.splits["train"].content))
        self.system, self.objective = system, objective
        self.inputs = Inputs([trial.cell], trial.source, objective.players, timetable)
        self.inputs.prepare(0, 1)

    def loss(self, number: int) -> tuple[Tensor, Terms]:
        """Of a player."""
        player: Player = self.objective.players[number]
        batches: Batches = tuple(batch[0] for batch in self.inputs.images(0))[: player.batches]
        noise = {name: value[0] for name, value in self.inputs.noise(0, number).items()}
        settings = {name: value[0] for name, value in self.inputs.settings(0).items()}
        loss, terms = self.system(player, batches, noise, settings)
        return loss, terms


def owned(system: nn.Module, prefixes: Sequence[str]) -> dict[str, nn.Parameter]:
    """The parameters below these names."""
    return {
        name: parameter
        for name, parameter in system.named_parameters()
        if any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)
    }


def part_gradients(trial: Trial) -> None:
    """The objective's gradient is finite everywhere and moves every parameter of the part."""
    system, objective = trial.system()
    loss, _ = Step(trial, system, objective).loss(len(objective.players) - 1)
    mine = owned(system, HOMES[trial.part.kind])
    if not mine:
        return
    found = torch.autograd.grad(loss, list(mine.values()), allow_unused=True, materialize_grads=True)
    for name, gradient in zip(mine, found, strict=True):
        short = name.removeprefix("model.")
        if not bool(gradient.isfinite().all()):
            raise Breach(f"a finite gradient of {short}", f"{int((~gradient.isfinite()).sum())} entries that are not")
        if not bool(gradient.any()):
            raise Breach(f"the loss to move {short}", "a gradient of 0: is something detached, or never used?")


def fleet(trial: Trial) -> None:
    """Two members trained as one mapped program end with the parameters that each has alone."""
    same_alone(trial.cells())


def same_alone(cells: Sequence[Cell]) -> None:
    source = source_of(cells[0])
    alone = [train_fleet([cell], Surroundings(source, stepper="in-turn"))[0].model for cell in cells]
    try:
        together = [each.model for each in train_fleet(cells, Surroundings(source, stepper="mapped"))]
    except (RuntimeError, ValueError) as error:
        expected = "a loss that torch.func.vmap can map over the members of a fleet"
        raise Breach(expected, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    for number, (one, other) in enumerate(zip(alone, together, strict=True)):
        states = zip(one.state_dict().items(), other.state_dict().values(), strict=True)
        for (name, before), after in states:
            difference = float((before - after).abs().max()) if before.numel() else 0.0
            if not difference <= SAME * max(1.0, float(before.abs().max()) if before.numel() else 1.0):
                expected = f"member {number} of a fleet to be trained as it is alone, in float64"
                came = f"{name} that differs by {difference:.3g}; is a setting kept as a number and not as a buffer?"
                raise Breach(expected, came)

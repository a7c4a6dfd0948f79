"""Two ways to advance a fleet, with the same results: members in turn, or all mapped into one program."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Protocol

import torch
from torch import Tensor
from torch.func import stack_module_state, vmap

from vaebench.data.source import Source
from vaebench.objectives.player import Named
from vaebench.training.capture import Recorder, record_on_gpu
from vaebench.training.inputs import Inputs, Timetable
from vaebench.training.member import Member, adam
from vaebench.training.programs import Gradient, Program, plain_gradient, pure_gradient

Curves = dict[str, Tensor]
"""Term → its value at each step; (step, member)."""

TRACED_STEPS = 2000
"""Steps from which a trace pays: it takes some tenths of a second, and saves some tenths of a millisecond a step. On a
GPU what is traced is recorded too, which takes less and saves more."""


class Stepper(Protocol):
    def advance(self, first: int, last: int) -> tuple[Tensor, Curves]:
        """Take the steps from `first` to before `last`; losses (step, member, player), and the named terms."""
        ...

    @property
    def programs(self) -> Sequence[Program]:
        """What was traced or compiled."""
        ...


class InTurn:
    """Each member as the plain module it is, one after the other: best where the host computes."""

    def __init__(self, members: Sequence[Member], source: Source, timetable: Timetable, compiled: bool = False) -> None:
        self.members = members
        self.timetable = timetable
        self.inputs = [Inputs([member.cell], source, member.objective.players, timetable) for member in members]
        shared = [pure_gradient(members[0].system, player) for player in members[0].objective.players]
        self.programs = _programs(members[0], shared, len(members) * timetable.steps, compiled)
        self.gradients: list[Sequence[Gradient]] = [
            self.programs or [plain_gradient(member.system, player) for player in member.objective.players]
            for member in members
        ]
        self.states = [_states(_detached(member.system.named_parameters()), member) for member in members]
        """Member → player → (owned, others)."""
        self.buffers = [dict(member.system.named_buffers()) for member in members]

    def advance(self, first: int, last: int) -> tuple[Tensor, Curves]:
        losses, curves = zip(
            *(self._advance_one(number, first, last) for number in range(len(self.members))), strict=True
        )
        return torch.stack(losses, dim=1), {
            name: torch.stack([own[name] for own in curves], dim=1) for name in curves[0]
        }

    def _advance_one(self, number: int, first: int, last: int) -> tuple[Tensor, Curves]:
        """Losses (step, player) and terms (step,) of one member."""
        member, inputs, buffers = self.members[number], self.inputs[number], self.buffers[number]
        inputs.prepare(first, last)
        losses, history = [], []
        for step in range(first, last):
            images, labels = (tuple(batch[0] for batch in of(step)) for of in (inputs.images, inputs.labels))
            settings = _own(inputs.settings(step))
            step_losses, step_terms = [], {}
            for mover, player in enumerate(member.objective.players):
                gradient, state = self.gradients[number][mover], self.states[number][mover]
                seen, known, noise = images[: player.batches], labels[: player.batches], _own(inputs.noise(step, mover))
                gradients, (loss, terms) = gradient(*state, buffers, seen, noise, settings, known)
                member.move(mover, [gradients[name] for name in state[0]], self.timetable.rate(step))
                step_losses.append(loss)
                step_terms.update(terms)
            losses.append(torch.stack(step_losses))
            history.append(step_terms)
        return torch.stack(losses), _columns(history)


class Mapped:
    """All members as one program: parameters stacked, the loss mapped over them; best where launches cost."""

    def __init__(self, members: Sequence[Member], source: Source, timetable: Timetable, compiled: bool = False) -> None:
        self.members = members
        self.timetable = timetable
        self.players = members[0].objective.players
        self.inputs = Inputs([member.cell for member in members], source, self.players, timetable)
        self.parameters, self.buffers = self._stack()
        mapped = [vmap(pure_gradient(members[0].system, player)) for player in self.players]
        self.programs = _programs(members[0], mapped, timetable.steps, compiled, recorder(source.device))
        self.gradients: Sequence[Gradient] = self.programs or mapped
        self.states = _states(self.parameters, members[0])
        self.movers = [
            [Mover(self.parameters, members, rows, player) for rows in _equal_rates(members)]
            for player in range(len(self.players))
        ]

    def advance(self, first: int, last: int) -> tuple[Tensor, Curves]:
        self.inputs.prepare(first, last)
        losses, history = [], []
        for step in range(first, last):
            images, labels, settings = self.inputs.images(step), self.inputs.labels(step), self.inputs.settings(step)
            step_losses, step_terms = [], {}
            for number, player in enumerate(self.players):
                seen, known = images[: player.batches], labels[: player.batches]
                gradients, (loss, terms) = self.gradients[number](
                    *self.states[number], self.buffers, seen, self.inputs.noise(step, number), settings, known
                )
                for mover in self.movers[number]:
                    mover.move(gradients, self.timetable.rate(step))
                step_losses.append(loss)
                step_terms.update(terms)
            losses.append(torch.stack(step_losses, dim=-1))
            history.append(step_terms)
        return torch.stack(losses), _columns(history)

    def _stack(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Stacked parameters and buffers; each member's own parameters become views of its row."""
        parameters, buffers = stack_module_state([member.system for member in self.members])
        parameters = {name: value.detach() for name, value in parameters.items()}
        for position, member in enumerate(self.members):
            for name, parameter in member.system.named_parameters():
                parameter.data = parameters[name][position]
        return parameters, buffers


class Mover:
    """Adam for some rows of the stacked parameters of a player, members with one learning rate: one kernel for all.

    The moments are stacked like the parameters, and each member's optimiser has views of its own row, so that a member
    can be saved, and leave the fleet, as if it had moved alone.
    """

    def __init__(self, stacked: Named, members: Sequence[Member], rows: slice, player: int) -> None:
        moved = members[rows]
        self.rows = rows
        self.recipe = moved[0].cell.recipe
        self.owned = {name: stacked[name][rows] for name in moved[0].owned[player]}
        self.optimiser = adam(self.owned, self.recipe)
        for name, parameter in self.owned.items():
            states = [member.moments(player, name) for member in moved]
            joint = {moment: torch.stack([state[moment] for state in states]) for moment in ("exp_avg", "exp_avg_sq")}
            step = states[0]["step"].clone()
            self.optimiser.state[parameter] = {"step": step, **joint}
            for row, member in enumerate(moved):
                own = {moment: value[row] for moment, value in joint.items()}
                member.optimisers[player].state[member.owned[player][name]] = {"step": step, **own}

    def move(self, gradients: Named, rate: float) -> None:
        """One step along the gradients of all members, of which these rows are taken; as `Member.move` does it."""
        own = [gradients[name][self.rows] for name in self.owned]
        if self.recipe["clip"] is not None:
            clip_each(own, self.recipe["clip"])
        for parameter, gradient in zip(self.owned.values(), own, strict=True):
            parameter.grad = gradient
        self.optimiser.param_groups[0]["lr"] = self.recipe["learning_rate"] * rate
        self.optimiser.step()


def clip_each(gradients: Sequence[Tensor], largest: float) -> None:
    """Scale the gradients of every member, (member, …) each, to the norm `largest` where it is above, in place."""
    norms = torch.stack([torch.linalg.vector_norm(value.flatten(1), dim=1) for value in gradients])
    factor = (largest / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
    for value in gradients:
        value.mul_(factor.reshape(-1, *(1,) * (value.dim() - 1)))


STEPPERS: dict[str, Callable[[Sequence[Member], Source, Timetable, bool], Stepper]] = {
    "in-turn": InTurn,
    "mapped": Mapped,
}


def best_stepper(device: torch.device) -> str:
    """In turn where the host computes, mapped where it only launches."""
    return "in-turn" if device.type == "cpu" else "mapped"


def recorder(device: torch.device) -> Recorder | None:
    """What records a program for this device; nothing where there are no launches to save."""
    return partial(record_on_gpu, device) if device.type == "cuda" else None


def _programs(
    member: Member, functions: Sequence[Gradient], calls: int, compiled: bool, record: Recorder | None = None
) -> list[Program]:
    """One for each player; none where the plain functions are to be called."""
    half = member.cell.recipe["precision"] == "bfloat16"
    if not (compiled or half or calls >= TRACED_STEPS):
        return []
    return [Program(function, compiled, half, record) for function in functions]


def _states(parameters: Named, member: Member) -> list[tuple[Named, Named]]:
    """Player → the parameters that it owns, and the others."""
    return [
        (
            {name: parameters[name] for name in owned},
            {name: value for name, value in parameters.items() if name not in owned},
        )
        for owned in member.owned
    ]


def _detached(parameters: Iterator[tuple[str, Tensor]]) -> Named:
    return {name: value.detach() for name, value in parameters}


def _equal_rates(members: Sequence[Member]) -> list[slice]:
    """Runs of members with one learning rate."""
    lengths = [len(list(run)) for _, run in groupby(members, key=lambda member: member.cell.recipe["learning_rate"])]
    ends = torch.tensor(lengths).cumsum(0).tolist()
    return [slice(end - length, end) for length, end in zip(lengths, ends, strict=True)]


def _own(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The values of the only member."""
    return {name: value[0] for name, value in values.items()}


def _columns(history: list[dict[str, Tensor]]) -> Curves:
    return {name: torch.stack([terms[name] for terms in history]) for name in history[0]}

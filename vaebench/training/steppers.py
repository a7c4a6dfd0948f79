"""Two ways to advance a fleet, with the same results: members in turn, or all mapped into one program."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap

from vaebench.data.source import Source
from vaebench.objectives.player import Player
from vaebench.training.inputs import Inputs, Timetable
from vaebench.training.member import Member

Curves = dict[str, Tensor]
"""Term → its value at each step; (step, member)."""


class Stepper(Protocol):
    def advance(self, first: int, last: int) -> tuple[Tensor, Curves]:
        """Take the steps from `first` to before `last`; losses (step, member, player), and the named terms."""
        ...


class InTurn:
    """Each member as the plain module it is, one after the other: best where the host computes."""

    def __init__(self, members: Sequence[Member], source: Source, timetable: Timetable) -> None:
        self.members = members
        self.timetable = timetable
        self.inputs = [Inputs([member.cell], source, member.objective.players, timetable) for member in members]

    def advance(self, first: int, last: int) -> tuple[Tensor, Curves]:
        losses, curves = zip(
            *(self._advance_one(*pair, first, last) for pair in zip(self.members, self.inputs, strict=True)),
            strict=True,
        )
        return torch.stack(losses, dim=1), {
            name: torch.stack([own[name] for own in curves], dim=1) for name in curves[0]
        }

    def _advance_one(self, member: Member, inputs: Inputs, first: int, last: int) -> tuple[Tensor, Curves]:
        """Losses (step, player) and terms (step,) of one member."""
        inputs.prepare(first, last)
        losses, history = [], []
        for step in range(first, last):
            images, labels = (tuple(batch[0] for batch in of(step)) for of in (inputs.images, inputs.labels))
            settings = _own(inputs.settings(step))
            step_losses, step_terms = [], {}
            for number, player in enumerate(member.objective.players):
                noise = _own(inputs.noise(step, number))
                loss, terms = member.system(player, images[: player.batches], noise, settings, labels[: player.batches])
                owned = list(member.owned[number].values())
                gradients = torch.autograd.grad(loss, owned, allow_unused=True, materialize_grads=True)
                member.move(number, gradients, self.timetable.rate(step))
                step_losses.append(loss.detach())
                step_terms.update({name: value.detach() for name, value in terms.items()})
            losses.append(torch.stack(step_losses))
            history.append(step_terms)
        return torch.stack(losses), _columns(history)


class Mapped:
    """All members as one program: parameters stacked, the loss mapped over them; best where launches cost."""

    def __init__(self, members: Sequence[Member], source: Source, timetable: Timetable) -> None:
        self.members = members
        self.timetable = timetable
        self.players = members[0].objective.players
        self.inputs = Inputs([member.cell for member in members], source, self.players, timetable)
        self.parameters, self.buffers = self._stack()
        self.gradients = [self._gradient_of(player) for player in self.players]

    def advance(self, first: int, last: int) -> tuple[Tensor, Curves]:
        self.inputs.prepare(first, last)
        losses, history = [], []
        for step in range(first, last):
            images, labels, settings = self.inputs.images(step), self.inputs.labels(step), self.inputs.settings(step)
            step_losses, step_terms = [], {}
            for number, player in enumerate(self.players):
                names = self.members[0].owned[number]
                owned = {name: self.parameters[name] for name in names}
                others = {name: value for name, value in self.parameters.items() if name not in names}
                noise = self.inputs.noise(step, number)
                gradients, (loss, terms) = self.gradients[number](
                    owned, others, self.buffers, images[: player.batches], noise, settings, labels[: player.batches]
                )
                for position, member in enumerate(self.members):
                    own = [gradients[name][position] for name in names]
                    member.move(number, own, self.timetable.rate(step))
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

    def _gradient_of(self, player: Player) -> Callable[..., Any]:
        """(stacked owned, others, buffers, and what `System.forward` takes) → gradients by the owned, (loss, terms)"""
        system = self.members[0].system

        def loss_of(owned: Any, others: Any, buffers: Any, *inputs: Any) -> Any:
            loss, terms = functional_call(system, ({**owned, **others}, buffers), (player, *inputs))
            return loss, (loss, terms)

        return vmap(grad(loss_of, has_aux=True))


STEPPERS: dict[str, Callable[[Sequence[Member], Source, Timetable], Stepper]] = {"in-turn": InTurn, "mapped": Mapped}


def best_stepper(device: torch.device) -> str:
    """In turn where the host computes, mapped where it only launches."""
    return "in-turn" if device.type == "cpu" else "mapped"


def _own(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The values of the only member."""
    return {name: value[0] for name, value in values.items()}


def _columns(history: list[dict[str, Tensor]]) -> Curves:
    return {name: torch.stack([terms[name] for terms in history]) for name in history[0]}

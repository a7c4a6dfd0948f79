"""One model of a fleet while it trains."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vaebench.objectives.player import Objective, System
from vaebench.store.cell import Cell

STEPS_ABOVE = 100
"""Steps for which a loss may stay far above its first value."""


@dataclass
class History:
    """What is known of a member's training beside its tensors; plain JSON."""

    curves: list[dict[str, float]] = field(default_factory=list)
    """One row an epoch."""
    pending: dict[str, float] = field(default_factory=dict)
    """Sums over the steps of the epoch that is under way."""
    pending_steps: int = 0
    first_loss: float | None = None
    steps_above: int = 0
    diverged_at: int | None = None
    best_loss: float | None = None
    best_epoch: int | None = None
    stopped_at: int | None = None
    """Epoch at which patience ran out."""
    seconds: float = 0.0
    """This member's share of its fleets' time."""
    compiled: bool | None = None
    """Whether its steps are compiled, once it has begun: it ends on the path that it began on."""
    preparing: float = 0.0
    """Its share of the seconds that tracing and compiling took."""


class Member:
    def __init__(self, cell: Cell, system: System, objective: Objective) -> None:
        self.cell = cell
        self.system = system
        self.objective = objective
        self.history = History()
        self.best_state: dict[str, Tensor] | None = None
        self.owned = [_owned(system, player.owns) for player in objective.players]
        self.optimisers = [adam(owned, cell.recipe) for owned in self.owned]

    @property
    def active(self) -> bool:
        return self.history.diverged_at is None and self.history.stopped_at is None

    def move(self, player: int, gradients: Sequence[Tensor], rate: float) -> None:
        """One step of Adam along the gradient of a player's loss; `rate` is the schedule's factor."""
        recipe = self.cell.recipe
        for parameter, gradient in zip(self.owned[player].values(), gradients, strict=True):
            parameter.grad = gradient
        if recipe["clip"] is not None:
            nn.utils.clip_grad_norm_(self.owned[player].values(), recipe["clip"])
        optimiser = self.optimisers[player]
        optimiser.param_groups[0]["lr"] = recipe["learning_rate"] * rate
        optimiser.step()

    def moments(self, player: int, name: str) -> dict[str, Tensor]:
        """Adam's state of a parameter; zeros before the first step."""
        parameter = self.owned[player][name]
        known: dict[str, Tensor] = self.optimisers[player].state[parameter]
        return known or {
            "step": torch.zeros((), device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }

    def absorb(self, first_step: int, losses: Tensor, terms: dict[str, Tensor], pixels: int) -> None:
        """Take in the losses (step, player) and terms (step,) of consecutive steps, and look for divergence."""
        sums = {"loss": losses[:, -1], **terms}
        for name, values in sums.items():
            self.history.pending[name] = self.history.pending.get(name, 0.0) + float(values.double().sum())
        self.history.pending_steps += len(losses)
        self._watch(first_step, losses, pixels)

    def _watch(self, first_step: int, losses: Tensor, pixels: int) -> None:
        """A loss that is not finite, or the model's loss for 100 steps above its first value by more than
        1,000 · max(|first|, pixels); or a parameter that is not finite after the last step."""
        model_loss = losses[:, -1]
        if self.history.first_loss is None:
            self.history.first_loss = float(model_loss[0])
        first = self.history.first_loss
        finite = torch.isfinite(losses).all(dim=1).tolist()
        far = (model_loss - first > 1000.0 * max(abs(first), pixels)).tolist()
        for offset, (is_finite, is_far) in enumerate(zip(finite, far, strict=True)):
            self.history.steps_above = self.history.steps_above + 1 if is_far else 0
            if not is_finite or self.history.steps_above >= STEPS_ABOVE:
                self.history.diverged_at = first_step + offset
                return
        if not bool(torch.stack([value.isfinite().all() for value in self.system.parameters()]).all()):
            self.history.diverged_at = first_step + len(losses)

    def close_epoch(self, epoch: int, step: int) -> None:
        """Turn the sums of the epoch into a row of the curves."""
        means = {name: value / self.history.pending_steps for name, value in self.history.pending.items()}
        self.history.curves.append({"epoch": epoch, "step": step, **means})
        self.history.pending, self.history.pending_steps = {}, 0

    def consider(self, epoch: int, validation_loss: float) -> None:
        """Keep the parameters if the validation loss is the least so far; stop when patience has run out, which is not
        counted before the KL has its full weight: until then the validation loss is of another objective."""
        history = self.history
        history.curves[-1]["validation_loss"] = validation_loss
        if history.best_loss is None or validation_loss < history.best_loss:
            history.best_loss, history.best_epoch = validation_loss, epoch
            self.best_state = {name: value.detach().clone() for name, value in self.system.state_dict().items()}
        patience = self.cell.recipe["patience"]
        since = max(history.best_epoch or 0, math.ceil(self.cell.recipe["kl_warmup"]))
        if patience is not None and epoch - since >= patience:
            history.stopped_at = epoch

    def selected(self) -> nn.Module:
        """The model with the parameters that the recipe selects."""
        if self.best_state is not None:
            self.system.load_state_dict(self.best_state)
        return self.system.get_submodule("model")

    def tensors(self) -> dict[str, Tensor]:
        """Everything that training changes: parameters, Adam's moments and counters, the best parameters so far."""
        named = {f"system/{name}": value for name, value in self.system.state_dict().items()}
        for number, (owned, optimiser) in enumerate(zip(self.owned, self.optimisers, strict=True)):
            for name, parameter in owned.items():
                for moment, value in optimiser.state[parameter].items():
                    named[f"adam/{number}/{name}/{moment}"] = value
        best = {f"best/{name}": value for name, value in (self.best_state or {}).items()}
        return {name: value.detach() for name, value in {**named, **best}.items()}

    def restore(self, tensors: dict[str, Tensor], history: dict[str, Any]) -> None:
        """Stand where `tensors()` and `history` were taken."""
        device = next(self.system.parameters()).device
        tensors = {name: value.to(device) for name, value in tensors.items()}
        self.system.load_state_dict(_below(tensors, "system"))
        for number, (owned, optimiser) in enumerate(zip(self.owned, self.optimisers, strict=True)):
            for name, parameter in owned.items():
                optimiser.state[parameter] = dict(_below(tensors, f"adam/{number}/{name}"))
        self.best_state = _below(tensors, "best") or None
        self.history = History(**history)


def adam(owned: Mapping[str, Tensor], recipe: dict[str, Any]) -> torch.optim.Adam:
    """torch's fused Adam: one kernel for all parameters of a player."""
    betas = (recipe["beta1"], recipe["beta2"])
    rate, epsilon = recipe["learning_rate"], recipe["epsilon"]
    return torch.optim.Adam(list(owned.values()), lr=rate, betas=betas, eps=epsilon, fused=True)


def _owned(system: System, prefixes: tuple[str, ...]) -> dict[str, nn.Parameter]:
    starts = tuple(f"{prefix}." for prefix in prefixes)
    return {name: value for name, value in system.named_parameters() if name.startswith(starts)}


def _below(tensors: dict[str, Tensor], folder: str) -> dict[str, Tensor]:
    start = f"{folder}/"
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}

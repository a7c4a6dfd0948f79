"""One model of a fleet while it trains."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vaebench.objectives.player import Objective, System
from vaebench.store.cell import Cell

PATIENCE_ABOVE = 100
"""Steps for which a loss may stay far above its first value."""


@dataclass
class Member:
    cell: Cell
    system: System
    objective: Objective
    optimisers: list[torch.optim.Adam] = field(init=False)
    """One for each player."""
    curves: list[dict[str, float]] = field(default_factory=list)
    """One row an epoch."""
    first_loss: float | None = None
    steps_above: int = 0
    diverged_at: int | None = None
    best_loss: float = float("inf")
    best_epoch: int | None = None
    best_state: dict[str, Tensor] | None = None
    stopped_at: int | None = None
    """Epoch at which patience ran out."""

    def __post_init__(self) -> None:
        recipe = self.cell.recipe
        self.owned = [
            {
                name: value
                for name, value in self.system.named_parameters()
                if name.startswith(tuple(f"{own}." for own in player.owns))
            }
            for player in self.objective.players
        ]
        self.optimisers = [adam(owned.values(), recipe) for owned in self.owned]

    @property
    def active(self) -> bool:
        return self.diverged_at is None and self.stopped_at is None

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

    def watch(self, first_step: int, losses: Tensor, pixels: int) -> None:
        """Look for divergence in the losses of consecutive steps; (step, player), the model's player last.

        A loss that is not finite, or that stays for 100 steps above its first value by more than
        1,000 · max(|first|, pixels).
        """
        model_loss = losses[:, -1]
        if self.first_loss is None and len(losses):
            self.first_loss = float(model_loss[0])
        finite = torch.isfinite(losses).all(dim=1).tolist()
        first = self.first_loss or 0.0
        far = (model_loss - first > 1000.0 * max(abs(first), pixels)).tolist()
        for offset, (is_finite, is_far) in enumerate(zip(finite, far, strict=True)):
            self.steps_above = self.steps_above + 1 if is_far else 0
            if not is_finite or self.steps_above >= PATIENCE_ABOVE:
                self.diverged_at = first_step + offset
                return

    def consider(self, epoch: int, validation_loss: float) -> None:
        """Keep the parameters if the validation loss is the least so far; stop when patience has run out."""
        if validation_loss < self.best_loss:
            self.best_loss, self.best_epoch = validation_loss, epoch
            self.best_state = {name: value.detach().clone() for name, value in self.system.state_dict().items()}
        patience = self.cell.recipe["patience"]
        if patience is not None and epoch - (self.best_epoch or 0) >= patience:
            self.stopped_at = epoch

    def selected(self) -> nn.Module:
        """The model with the parameters that the recipe selects."""
        if self.best_state is not None:
            self.system.load_state_dict(self.best_state)
        return self.system.get_submodule("model")


def adam(parameters: Any, recipe: dict[str, Any]) -> torch.optim.Adam:
    """torch's fused Adam, one kernel for all parameters of a player."""
    betas = (recipe["beta1"], recipe["beta2"])
    return torch.optim.Adam(
        list(parameters), lr=recipe["learning_rate"], betas=betas, eps=recipe["epsilon"], fused=True
    )

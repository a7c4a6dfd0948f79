"""The contract of an objective: players that move in turn at each step, each with a pure loss.

Most objectives have one player, the model. A player owns parameters and says what noise it draws; its loss may look
at every parameter of the system, but its gradient reaches only its own.
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from vaebench.data.streams import Law
from vaebench.models.contract import LatentVariableModel
from vaebench.models.given import given

EVERY = slice(None)
Terms = dict[str, Tensor]
"""Named scalars that become the training curves."""
Batches = tuple[Tensor, ...]
Named = dict[str, Tensor]


@dataclass(frozen=True)
class Noise:
    """Noise of shape (draws, image, size) that a player wants at every step."""

    draws: int
    size: int
    law: Law


class System(nn.Module):
    """The model and whatever else an objective trains, under the names by which players own them.

    While a player moves, `labels` are those of its batches, if the model is conditional.
    """

    labels: Batches = ()

    def __init__(self, model: nn.Module, others: dict[str, nn.Module]) -> None:
        super().__init__()
        self.add_module("model", model)
        for name, network in others.items():
            self.add_module(name, network)

    def forward(
        self, player: "Player", batches: Batches, noise: Named, settings: Named, labels: Batches = ()
    ) -> tuple[Tensor, Terms]:
        """labels: (image,) each, one for each batch; empty for a model that is not conditional."""
        self.labels = labels
        try:
            return player.loss(self, batches, noise, settings)
        finally:
            self.labels = ()


class Player(Protocol):
    """One who moves."""

    name: str
    owns: tuple[str, ...]
    """Prefixes of the parameters that this player moves, such as `model`."""
    batches: int
    """Independent batches of images that it sees at every step; the first is the one that all players share."""
    noise: dict[str, Noise]

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        """(scalar to minimise, in nats per image; named terms).

        batches: (image, pixel) each; noise: (draw, image, size) each; settings: scalars of this step and member, those
        of the objective, `kl_weight` (the recipe's warm-up) and `progress` (share of the steps that is done).
        """
        ...


@dataclass(frozen=True)
class Objective:
    """What a composition is trained for."""

    players: tuple[Player, ...]
    """In the order in which they move; the one named `model` is last, and its loss selects epochs."""
    networks: dict[str, nn.Module]
    """Networks beside the model, by name."""


def model_of(system: System, batch: int = 0, images: slice = EVERY) -> LatentVariableModel:
    """The model, for some images of a batch: where it is conditional, their labels are filled in."""
    return given(system.get_submodule("model"), system.labels[batch][images] if system.labels else None)

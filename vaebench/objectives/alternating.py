"""The ELBO by turns (Serdega 2019 §3.1.3): the encoder moves as the E step, then the decoder as the M step."""

from typing import Any

from torch import Tensor

from vaebench.data.dataset import Shape
from vaebench.models.composition import Composition
from vaebench.objectives.elbo import ElboPlayer
from vaebench.objectives.player import Batches, Named, Objective, System, Terms


class EncoderPlayer(ElboPlayer):
    """E step: raises the bound in q, the decoder held still."""

    name = "encoder"
    owns: tuple[str, ...] = ("model.encoder", "model.posterior_head")

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        loss, _ = super().loss(system, batches, noise, settings)
        return loss, {"encoder_loss": loss}


class DecoderPlayer(ElboPlayer):
    """M step: raises the bound in p, the encoder held still."""

    owns: tuple[str, ...] = ("model.decoder", "model.likelihood_head", "model.prior_family")


def alternating(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """Two players, encoder and decoder."""
    chosen = choices["objective"]
    wanted = (model.noise_size, chosen["kl"], chosen["samples"])
    return Objective((EncoderPlayer(*wanted), DecoderPlayer(*wanted)), {})

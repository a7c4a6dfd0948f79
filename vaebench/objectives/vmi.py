"""Variational mutual information maximisation (Serdega 2019, §4.2): ELBO + λ (E[ln Q(ẑ|x)] + H(ẑ)).

Q is a network that reads the sub-code ẑ off a generated x. It moves first, then the model, on the same batch.
With z from the encoder, ẑ has the aggregate posterior's distribution, so H must be the aggregate's entropy for the
expression to bound a mutual information; the thesis keeps the prior's (eq. 4.8), which a constant code maximises.
"""

from typing import Any

import torch
from torch import Tensor

from vaebench.data.dataset import Shape
from vaebench.models.composition import Composition
from vaebench.models.mixed import drawn
from vaebench.objectives.code_terms import code_terms
from vaebench.objectives.elbo import evidence
from vaebench.objectives.player import Batches, Named, Noise, Objective, System, Terms, model_of
from vaebench.objectives.subcode import subcode_of


class _VmiPlayer:
    """What the two players share: where z comes from, and what Q is shown."""

    batches = 1

    def __init__(self, noise_size: int, choices: dict[str, Any], pixels: int) -> None:
        chosen = choices["objective"]
        self.subcode = subcode_of(choices)
        self.from_encoder = chosen["source"] == "encoder"
        self.shows_draw = chosen["q_input"] == "draw"
        self.noise = {"z": Noise(1, noise_size, "normal")}
        if self.shows_draw:
            self.noise["shown"] = Noise(1, pixels, "normal")

    def log_q(self, system: System, z: Tensor, p: Any, noise: Named) -> Tensor:
        """E[ln Q(ẑ|x)] with x = E[x|z], or x ~ p(x|z); ()"""
        shown = p.from_noise(noise["shown"]) if self.shows_draw else p.mean
        log_probability: Tensor = system.get_submodule("auxiliary")(shown).log_prob(self.subcode.of(z))
        return log_probability.mean()


class AuxiliaryPlayer(_VmiPlayer):
    """Moves Q: maximises E[ln Q(ẑ|x)], the model held still."""

    name = "auxiliary"
    owns: tuple[str, ...] = ("auxiliary",)

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        (x,) = batches
        model = model_of(system)
        with torch.no_grad():
            source = model.posterior(x) if self.from_encoder else model.prior()
            z = drawn(source, noise["z"], settings["progress"])
            p = model.likelihood(z)
        loss = -self.log_q(system, z, p, noise)
        return loss, {"auxiliary_loss": loss}


class VmiPlayer(_VmiPlayer):
    """Moves the model: ELBO + λ (E[ln Q(ẑ|x)] + H(ẑ)), Q held still."""

    name = "model"
    owns: tuple[str, ...] = ("model",)

    def __init__(self, noise_size: int, choices: dict[str, Any], pixels: int, images: int) -> None:
        super().__init__(noise_size, choices, pixels)
        self.images = images
        self.aggregate = choices["objective"]["entropy"] == "aggregate"
        if not self.from_encoder:
            self.noise["prior"] = Noise(1, noise_size, "normal")

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        (x,) = batches
        model = model_of(system)
        seen = evidence(model, x, noise["z"], "analytic", settings["progress"])
        z, p = seen.z, seen.p
        if not self.from_encoder:
            z = drawn(model.prior(), noise["prior"], settings["progress"])
            p = model.likelihood(z)
        if self.aggregate:
            entropy = self.subcode.aggregate_entropy(seen.q, z[0], self.images)
        else:
            entropy = z.new_tensor(self.subcode.prior_entropy)
        information = self.log_q(system, z, p, noise) + entropy
        loss = settings["kl_weight"] * seen.kl - seen.reconstruction - settings["lambda"] * information
        terms = {"reconstruction": seen.reconstruction, "kl": seen.kl, "information": information}
        return loss, {**terms, **code_terms(seen.q, model)}


def vmi(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """Two players: Q, then the model."""
    reader = subcode_of(choices).reader(shape, choices["objective"]["auxiliary_hidden"])
    seen = (model.noise_size, choices, shape.pixels)
    return Objective((AuxiliaryPlayer(*seen), VmiPlayer(*seen, images)), {"auxiliary": reader})

"""Variational mutual information maximisation (Serdega 2019, §4.2): ELBO + λ (E[ln Q(ẑ|x)] + H(ẑ)).

Q is a network that reads the sub-code ẑ off a generated x. It moves first, then the model, on the same batch.
With z from the encoder, ẑ has the aggregate posterior's distribution, so H must be the aggregate's entropy for the
expression to bound a mutual information; the thesis keeps the prior's (eq. 4.8), which a constant code maximises.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from vaebench.data.dataset import Shape
from vaebench.models.composition import Composition
from vaebench.models.distributions import DiagonalNormal
from vaebench.models.networks.mlp import Mlp
from vaebench.objectives.elbo import evidence
from vaebench.objectives.player import Batches, Named, Noise, Objective, System, Terms, model_of


class AuxiliaryPosterior(nn.Module):
    """Q(ẑ|x) = N(μ_Q(x), diag(σ_Q(x)²)), σ_Q at least its floor.

    Any Q gives a bound, so the floor only loosens it. Without one the expression is unbounded where Q sees the
    decoder's mean, a function of z from which ẑ may be read off exactly, and training runs away.
    """

    def __init__(self, shape: Shape, subcode: int, hidden: list[int], floor: float) -> None:
        super().__init__()
        self.floor = floor
        self.encoder = Mlp(hidden, "relu", "torch").encoder(shape)
        self.mean_and_log_scale = self.encoder.vector_head(2 * subcode)

    def forward(self, x: Tensor) -> DiagonalNormal:
        mean, log_scale = self.mean_and_log_scale(self.encoder(x)).chunk(2, dim=-1)
        return DiagonalNormal(mean, self.floor + log_scale.exp())


class _VmiPlayer:
    """What the two players share: where z comes from, and what Q is shown."""

    batches = 1

    def __init__(self, choices: dict[str, Any], pixels: int) -> None:
        chosen = choices["objective"]
        self.subcode: list[int] = chosen["subcode"]
        self.from_encoder = chosen["source"] == "encoder"
        self.shows_draw = chosen["q_input"] == "draw"
        self.noise = {"z": Noise(1, choices["latent"], "normal")}
        if self.shows_draw:
            self.noise["shown"] = Noise(1, pixels, "normal")

    def log_q(self, system: System, z: Tensor, p: Any, noise: Named) -> Tensor:
        """E[ln Q(ẑ|x)] with x = E[x|z], or x ~ p(x|z); ()"""
        shown = p.from_noise(noise["shown"]) if self.shows_draw else p.mean
        log_probability: Tensor = system.get_submodule("auxiliary")(shown).log_prob(z[..., self.subcode])
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
            z = source.from_noise(noise["z"])  # type: ignore[attr-defined]
            p = model.likelihood(z)
        loss = -self.log_q(system, z, p, noise)
        return loss, {"auxiliary_loss": loss}


class VmiPlayer(_VmiPlayer):
    """Moves the model: ELBO + λ (E[ln Q(ẑ|x)] + H(ẑ)), Q held still."""

    name = "model"
    owns: tuple[str, ...] = ("model",)

    def __init__(self, choices: dict[str, Any], pixels: int, images: int) -> None:
        super().__init__(choices, pixels)
        self.images = images
        self.aggregate = choices["objective"]["entropy"] == "aggregate"
        if not self.from_encoder:
            self.noise["prior"] = Noise(1, choices["latent"], "normal")

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        (x,) = batches
        model = model_of(system)
        seen = evidence(model, x, noise["z"], "analytic")
        z, p = seen.z, seen.p
        if not self.from_encoder:
            z = model.prior().from_noise(noise["prior"]).expand_as(z)  # type: ignore[attr-defined]
            p = model.likelihood(z)
        information = self.log_q(system, z, p, noise) + self.entropy(seen.q, z)
        loss = settings["kl_weight"] * seen.kl - seen.reconstruction - settings["lambda"] * information
        return loss, {"reconstruction": seen.reconstruction, "kl": seen.kl, "information": information}

    def entropy(self, q: Any, z: Tensor) -> Tensor:
        """H(ẑ) of the aggregate posterior, estimated on the batch, or that of N(0, I); ()"""
        if not self.aggregate:
            return z.new_tensor(0.5 * len(self.subcode) * (1.0 + math.log(2.0 * math.pi)))
        part = DiagonalNormal(q.mean[..., self.subcode], q.stddev[..., self.subcode])
        return aggregate_entropy(part, z[0][..., self.subcode], self.images)


def aggregate_entropy(q: DiagonalNormal, z: Tensor, images: int) -> Tensor:
    """H of q(z) = 1/N Σ_n q(z|x_n) from a batch of B: −1/B Σ_i ln q̂(z_i), with z_i ~ q(z|x_i) and

        q̂(z_i) = 1/N q(z_i|x_i) + (N−1)/(N(B−1)) Σ_{j≠i} q(z_i|x_j),

    which is unbiased for q(z_i); the logarithm's bias makes the entropy an upper estimate. z: (image, latent).
    """
    batch = z.shape[0]
    log_density = q.log_prob(z.unsqueeze(1))  # (drawn from i, seen by j)
    own = torch.eye(batch, dtype=torch.bool, device=z.device)
    others = math.log((images - 1) / (images * max(batch - 1, 1)))
    weighted = torch.where(own, log_density - math.log(images), log_density + others)
    return -torch.logsumexp(weighted, dim=1).mean()


def vmi(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """Two players: Q, then the model."""
    chosen = choices["objective"]
    auxiliary = AuxiliaryPosterior(shape, len(chosen["subcode"]), chosen["auxiliary_hidden"], chosen["auxiliary_floor"])
    players = (AuxiliaryPlayer(choices, shape.pixels), VmiPlayer(choices, shape.pixels, images))
    return Objective(players, {"auxiliary": auxiliary})

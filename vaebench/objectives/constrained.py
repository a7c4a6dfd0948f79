"""Forms of the ELBO that hold the KL away from collapse: free bits, and a capacity that is raised in training."""

from typing import Any

from torch import Tensor
from torch.distributions import kl_divergence

from vaebench.data.dataset import Shape
from vaebench.models.composition import Composition
from vaebench.models.distributions import kl_by_latent
from vaebench.objectives.elbo import evidence
from vaebench.objectives.player import Batches, Named, Noise, Objective, System, Terms, model_of


class _OneDraw:
    """Moves the model with one draw from q."""

    name = "model"
    owns: tuple[str, ...] = ("model",)
    batches = 1

    def __init__(self, noise_size: int) -> None:
        self.noise = {"z": Noise(draws=1, size=noise_size, law="normal")}


class FreeBitsPlayer(_OneDraw):
    """E_q[ln p(x|z)] − Σ_u max(λ, mean over the batch of KL_u) (Kingma et al. 2016)"""

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        (x,) = batches
        model = model_of(system)
        seen = evidence(model, x, noise["z"], "analytic", settings["progress"])
        by_latent = kl_by_latent(seen.q, model.prior()).mean(0)  # type: ignore[arg-type]
        free = by_latent.clamp_min(settings["free_nats"]).sum()
        loss = settings["kl_weight"] * free - seen.reconstruction
        return loss, {"reconstruction": seen.reconstruction, "kl": seen.kl}


class CapacityPlayer(_OneDraw):
    """E_q[ln p(x|z)] − γ |mean KL − C|, C rising linearly to its maximum (Burgess et al. 2018; Serdega 2019 §3.2.4).

    The distance is that of the batch's mean KL; taken for each image (`per_image`, as some popular code does), it also
    pulls images towards equal KL.
    """

    def __init__(self, noise_size: int, rise: float, per_image: bool) -> None:
        super().__init__(noise_size)
        self.rise = rise
        self.per_image = per_image

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        (x,) = batches
        model = model_of(system)
        seen = evidence(model, x, noise["z"], "analytic", settings["progress"])
        capacity = settings["maximum"] * (settings["progress"] / self.rise).clamp_max(1.0)
        kl = kl_divergence(seen.q, model.prior()) if self.per_image else seen.kl
        loss = settings["kl_weight"] * settings["gamma"] * (kl - capacity).abs().mean() - seen.reconstruction
        return loss, {"reconstruction": seen.reconstruction, "kl": seen.kl, "capacity": capacity}


def free_bits(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """One player, the model."""
    return Objective((FreeBitsPlayer(model.noise_size),), {})


def capacity(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """One player, the model."""
    chosen = choices["objective"]
    return Objective((CapacityPlayer(model.noise_size, chosen["rise"], chosen["per_image"]),), {})

"""The ELBO with a slip in its KL: what is charged is not the KL of the q that z is drawn from."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from vaebench.data.dataset import Shape
from vaebench.models.composition import Composition
from vaebench.models.distributions import DiagonalNormal
from vaebench.objectives.elbo import evidence
from vaebench.objectives.player import Batches, Named, Noise, Objective, System, Terms, model_of


def drawn_as_deviation(q: DiagonalNormal, p: Distribution) -> Tensor:
    """The encoder's exp(ln σ²) = s is the standard deviation of the draw, z = μ + s ε, and the variance in the KL.

    KL(N(μ, s) ‖ p), which is below that of q = N(μ, s²) by ½ Σ_u (s_u² − s_u − ln s_u) ≥ 0; (image,)
    """
    return kl_divergence(DiagonalNormal(q.mean, q.stddev.sqrt()), p)


def averaged_over_latents(q: DiagonalNormal, p: Distribution) -> Tensor:
    """KL/M beside a reconstruction that is summed over pixels: β = 1/M; (image,)"""
    return kl_divergence(q, p) / q.mean.shape[-1]


SLIPS: dict[str, Callable[[DiagonalNormal, Distribution], Tensor]] = {
    "variance-as-deviation": drawn_as_deviation,
    "average-over-latents": averaged_over_latents,
}


class SlippedPlayer:
    """Moves the model; its curves have the KL of q itself beside what is charged."""

    name = "model"
    owns: tuple[str, ...] = ("model",)
    batches = 1

    def __init__(self, noise_size: int, slip: str, samples: int) -> None:
        self.charge = SLIPS[slip]
        self.noise = {"z": Noise(draws=samples, size=noise_size, law="normal")}

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        (x,) = batches
        model = model_of(system)
        seen = evidence(model, x, noise["z"], "analytic", settings["progress"])
        charged = self.charge(seen.q, model.prior()).mean()  # type: ignore[arg-type]
        loss = settings["kl_weight"] * charged - seen.reconstruction
        return loss, {"reconstruction": seen.reconstruction, "kl": seen.kl, "charged_kl": charged}


def kl_slip(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """One player, the model."""
    chosen = choices["objective"]
    return Objective((SlippedPlayer(model.noise_size, chosen["slip"], chosen["samples"]),), {})

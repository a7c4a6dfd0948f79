"""Maximum mean discrepancy of the aggregate posterior from the prior (Serdega 2019 §5.4, §5.5).

wae-mmd, minimised:  E ‖x − E[x|z]‖² + λ MMD²(q(z), p(z))                     (Tolstikhin et al. 2018)
info-vae, maximised: E ln p(x|z) − (1 − α) KL − (α + λ − 1) MMD²(q(z), p(z))  (Zhao, Song & Ermon 2019)

The player of wae-mmd is in vaebench.objectives.reconstruction, whose discrepancy is measured here.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vaebench.data.dataset import Shape
from vaebench.models.composition import Composition
from vaebench.objectives.elbo import evidence
from vaebench.objectives.player import Batches, Named, Noise, Objective, System, Terms, model_of

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Of the inverse multiquadratic kernel, summed, so that no one width must be right (as in the authors' code)."""


def inverse_multiquadratic(squared: Tensor, latent: int) -> Tensor:
    """k(a, b) = Σ_s C_s/(C_s + ‖a − b‖²), C_s = 2 · latent · s, the mean squared distance of prior draws times s"""
    return sum((2.0 * latent * s / (2.0 * latent * s + squared) for s in SCALES), torch.zeros_like(squared))


def radial_basis(squared: Tensor, latent: int) -> Tensor:
    """k(a, b) = exp(−‖a − b‖²/(2 · latent))"""
    return torch.exp(-squared / (2.0 * latent))


KERNELS: dict[str, Callable[[Tensor, int], Tensor]] = {"imq": inverse_multiquadratic, "rbf": radial_basis}


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """‖a_i − b_j‖²; (i, j)"""
    return (a.unsqueeze(1) - b.unsqueeze(0)).square().sum(-1)


def unbiased_mmd(a: Tensor, b: Tensor, kernel: Callable[[Tensor, int], Tensor]) -> Tensor:
    """MMD² of two samples of one size B, by the U-statistic, zero in expectation for equal laws; ()

    1/(B(B−1)) Σ_{i≠j} k(a_i, a_j) + 1/(B(B−1)) Σ_{i≠j} k(b_i, b_j) − 2/B² Σ_{ij} k(a_i, b_j)
    """
    count, latent = a.shape

    def within(points: Tensor) -> Tensor:
        all_pairs = kernel(squared_distances(points, points), latent)
        return (all_pairs.sum() - all_pairs.diagonal().sum()) / (count * (count - 1))

    return within(a) + within(b) - 2.0 * kernel(squared_distances(a, b), latent).mean()


def over_normalised_mmd(a: Tensor, b: Tensor, kernel: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Popular code: the means of the kernel over all pairs, i = j among them, divided by B(B−1) once more; ()

    [1/B² Σ_ij k(a_i, a_j) + 1/B² Σ_ij k(b_i, b_j) − 2/B² Σ_ij k(a_i, b_j)] / (B(B−1))
    """
    count, latent = a.shape

    def mean(one: Tensor, other: Tensor) -> Tensor:
        return kernel(squared_distances(one, other), latent).mean()

    return (mean(a, a) + mean(b, b) - 2.0 * mean(a, b)) / (count * (count - 1))


ESTIMATES: dict[str, Callable[[Tensor, Tensor, Callable[[Tensor, int], Tensor]], Tensor]] = {
    "unbiased": unbiased_mmd,
    "over-normalised": over_normalised_mmd,
}


class DiscrepancyPlayer:
    """Moves the model; `weights` gives what the KL and the MMD weigh against E ln p(x|z)."""

    name = "model"
    owns: tuple[str, ...] = ("model",)
    batches = 1

    def __init__(
        self, noise_size: int, latent: int, kernel: str, weights: Callable[[Named], tuple[Tensor, Tensor]]
    ) -> None:
        self.kernel = KERNELS[kernel]
        self.weights = weights
        self.noise = {"z": Noise(1, noise_size, "normal"), "prior": Noise(1, latent, "normal")}

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        (x,) = batches
        model = model_of(system)
        seen = evidence(model, x, noise["z"], "analytic", settings["progress"])
        drawn = model.prior().from_noise(noise["prior"])[0]  # type: ignore[attr-defined]
        mmd = unbiased_mmd(seen.z[0], drawn, self.kernel)
        kl_weight, mmd_weight = self.weights(settings)
        loss = settings["kl_weight"] * kl_weight * seen.kl + mmd_weight * mmd - seen.reconstruction
        return loss, {"reconstruction": seen.reconstruction, "kl": seen.kl, "mmd": mmd}


def info_weights(settings: Named) -> tuple[Tensor, Tensor]:
    """1 − α for the KL, α + λ − 1 for the MMD"""
    return 1.0 - settings["alpha"], settings["alpha"] + settings["lambda"] - 1.0


def info(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """One player, the model."""
    kernel = choices["objective"]["kernel"]
    return Objective((DiscrepancyPlayer(model.noise_size, choices["latent"], kernel, info_weights),), {})

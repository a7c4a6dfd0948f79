"""DIP-VAE (Kumar, Sattigeri & Balakrishnan 2018; Serdega 2019 §5.3): the ELBO, and the inferred prior's covariance
pulled towards the identity.

    ELBO − λ_od Σ_{i≠j} C_ij² − λ_d Σ_i (C_ii − 1)²
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vaebench.data.dataset import Shape
from vaebench.models.composition import Composition
from vaebench.objectives.elbo import evidence
from vaebench.objectives.player import Batches, Named, Noise, Objective, System, Terms, model_of


def covariance_of_means(mean: Tensor, variance: Tensor) -> Tensor:
    """DIP-VAE-I: C = Cov_x[μ(x)], divisor N; (image, latent) → (latent, latent)"""
    centred = mean - mean.mean(0)
    return centred.mT @ centred / len(mean)


def covariance_of_codes(mean: Tensor, variance: Tensor) -> Tensor:
    """DIP-VAE-II: C = Cov_x[μ(x)] + E_x[diag σ²(x)], which is Cov[z] of the aggregate posterior"""
    return covariance_of_means(mean, variance) + torch.diag_embed(variance.mean(0))


def products_of_centred_latents(mean: Tensor, variance: Tensor) -> Tensor:
    """Popular code: means centred over the latents of an image in place of the images, and no 1/N: no covariance"""
    centred = mean - mean.mean(1, keepdim=True)
    return centred.mT @ centred


MOMENTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "i": covariance_of_means,
    "ii": covariance_of_codes,
    "i-over-latents": products_of_centred_latents,
}


def distances(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Σ_{i≠j} C_ij² and Σ_i (C_ii − 1)²"""
    diagonal = covariance.diagonal()
    return covariance.square().sum() - diagonal.square().sum(), (diagonal - 1.0).square().sum()


class DipPlayer:
    """Moves the model."""

    name = "model"
    owns: tuple[str, ...] = ("model",)
    batches = 1

    def __init__(self, noise_size: int, form: str) -> None:
        self.moments = MOMENTS[form]
        self.noise = {"z": Noise(draws=1, size=noise_size, law="normal")}

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        (x,) = batches
        seen = evidence(model_of(system), x, noise["z"], "analytic", settings["progress"])
        off, on = distances(self.moments(seen.q.mean, seen.q.variance))
        penalty = settings["lambda_off"] * off + settings["lambda_on"] * on
        loss = settings["kl_weight"] * seen.kl - seen.reconstruction + penalty
        return loss, {"reconstruction": seen.reconstruction, "kl": seen.kl, "off_diagonal": off, "diagonal": on}


def dip(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """One player, the model."""
    return Objective((DipPlayer(model.noise_size, choices["objective"]["form"]),), {})

"""Autoencoders: a deterministic code, squared error through the likelihood, and a penalty (AE + VAE notes; Series 9).

plain:        E ln p(x|f(x))
denoising:    E ln p(x|f(x + σ ε))                    (Vincent et al. 2008)
contractive:  E ln p(x|f(x)) − λ ‖∂f/∂x‖²_F           (Rifai et al. 2011)
sparse:       E ln p(x|f(x)) − λ ‖f(x)‖₁
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vaebench.data.dataset import Shape
from vaebench.models.composition import Composition
from vaebench.models.contract import LatentVariableModel
from vaebench.objectives.discrepancy import ESTIMATES, KERNELS
from vaebench.objectives.player import Batches, Named, Noise, Objective, System, Terms, model_of


def squared_jacobian(code_of: Callable[[Tensor], Tensor], x: Tensor, probe: Tensor) -> Tensor:
    """‖∂f/∂x‖²_F of each image, estimated by ‖vᵀ ∂f/∂x‖² with v ~ N(0, I), which is unbiased; (image,)

    code_of: (image, pixel) → (image, latent), each image for itself; probe: (image, latent).
    """
    _, pull_back = torch.func.vjp(code_of, x)  # type: ignore[misc]
    (pulled,) = pull_back(probe)
    return pulled.square().sum(-1)


def code_of(model: LatentVariableModel, x: Tensor) -> Tensor:
    """f(x), the mean of q(z|x); (image, latent)"""
    return model.posterior(x).mean


class AutoencoderPlayer:
    """Moves the model. A penalty whose weight is zero in the composition is not computed."""

    name = "model"
    owns: tuple[str, ...] = ("model",)
    batches = 1

    def __init__(self, latent: int, pixels: int, chosen: dict[str, Any]) -> None:
        self.corruption: float = chosen["corruption"]
        self.contraction: float = chosen["contraction"]
        self.noise = {}
        if self.corruption > 0:
            self.noise["corruption"] = Noise(1, pixels, "normal")
        if self.contraction > 0:
            self.noise["probe"] = Noise(1, latent, "normal")

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        (x,) = batches
        model = model_of(system)
        seen = x + self.corruption * noise["corruption"][0] if self.corruption > 0 else x
        z = code_of(model, seen)
        reconstruction = model.likelihood(z).log_prob(x).mean()
        sparsity = z.abs().sum(-1).mean()
        loss = settings["sparsity"] * sparsity - reconstruction
        terms = {"reconstruction": reconstruction, "l1": sparsity}
        if self.contraction > 0:
            contraction = squared_jacobian(lambda images: code_of(model, images), x, noise["probe"][0]).mean()
            loss, terms = loss + self.contraction * contraction, {**terms, "squared_jacobian": contraction}
        return loss, terms


class WassersteinPlayer:
    """Moves the model: E ln p(x|f(x)) − λ MMD²(f(x), p(z)) (Tolstikhin et al. 2018)."""

    name = "model"
    owns: tuple[str, ...] = ("model",)
    batches = 1

    def __init__(self, latent: int, kernel: str, estimate: str) -> None:
        self.kernel = KERNELS[kernel]
        self.estimate = ESTIMATES[estimate]
        self.noise = {"prior": Noise(1, latent, "normal")}

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        (x,) = batches
        model = model_of(system)
        z = code_of(model, x)
        reconstruction = model.likelihood(z).log_prob(x).mean()
        drawn = model.prior().from_noise(noise["prior"])[0]  # type: ignore[attr-defined]
        mmd = self.estimate(z, drawn, self.kernel)
        return settings["lambda"] * mmd - reconstruction, {"reconstruction": reconstruction, "mmd": mmd}


def autoencoder(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """One player, the model."""
    return Objective((AutoencoderPlayer(choices["latent"], shape.pixels, choices["objective"]),), {})


def wasserstein(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """One player, the model."""
    chosen = choices["objective"]
    return Objective((WassersteinPlayer(choices["latent"], chosen["kernel"], chosen["estimate"]),), {})

"""The importance-weighted bound (Burda, Grosse & Salakhutdinov 2016): E ln 1/K Σ_k p(x, z_k)/q(z_k|x), z_k ~ q(z|x)."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vaebench.data.dataset import Shape
from vaebench.models.composition import Composition
from vaebench.models.contract import LatentVariableModel
from vaebench.objectives.player import Batches, Named, Noise, Objective, System, Terms, model_of


def log_weights(model: LatentVariableModel, x: Tensor, noise: Tensor, kl_weight: Tensor) -> tuple[Tensor, Tensor]:
    """ln w = ln p(x|z) + ln p(z) − ln q(z|x), and the same with the ratio ln p(z)/q(z|x) weighed, whose mean is the
    ELBO with a weight on its KL; (sample, image) each"""
    q = model.posterior(x)
    z = q.from_noise(noise)  # type: ignore[attr-defined]
    log_density, log_ratio = model.likelihood(z).log_prob(x), model.prior().log_prob(z) - q.log_prob(z)
    return log_density + log_ratio, log_density + kl_weight * log_ratio


def importance_bound(log_weight: Tensor) -> Tensor:
    """Mean over images of ln 1/K Σ_k w_k; (sample, image) → ()"""
    return (torch.logsumexp(log_weight, dim=0) - math.log(len(log_weight))).mean()


def surrogate_of_losses(log_weight: Tensor) -> Tensor:
    """Popular code: Σ_k softmax(−ln w)_k (−ln w_k), the weights taken from the loss and so with the wrong sign: the
    worst draw of an image counts most, and 1/K Σ_k −ln w_k is exceeded; the weights carry a gradient too. Mean over
    images; (sample, image) → ()"""
    losses = -log_weight
    return (losses.softmax(dim=0) * losses).sum(0).mean()


LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "bound": lambda log_weight: -importance_bound(log_weight),
    "losses": surrogate_of_losses,
}
"""What is minimised, of ln w (sample, image)."""


class IwaePlayer:
    """Moves the model. The loss is the bound itself, so its gradient Σ_k w̃_k ∇ ln w_k comes from differentiating it,
    and what is logged is the bound and not the surrogate Σ_k w̃_k ln w_k."""

    name = "model"
    owns: tuple[str, ...] = ("model",)
    batches = 1

    def __init__(self, noise_size: int, samples: int, weights: str) -> None:
        self.loss_of = LOSSES[weights]
        self.noise = {"z": Noise(draws=samples, size=noise_size, law="normal")}

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        (x,) = batches
        log_weight, weighed = log_weights(model_of(system), x, noise["z"], settings["kl_weight"])
        return self.loss_of(weighed), {"bound": importance_bound(log_weight), "elbo": log_weight.mean()}


def iwae(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """One player, the model."""
    chosen = choices["objective"]
    return Objective((IwaePlayer(model.noise_size, chosen["samples"], chosen["weights"]),), {})

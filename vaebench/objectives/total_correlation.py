"""β-TCVAE (Chen et al. 2018; Serdega 2019 §5.2): the KL in three parts, each with its weight.

    E ln p(x|z) − α I_q(x; z) − β TC(z) − γ Σ_u KL(q(z_u) ‖ p(z_u))

The aggregate q(z) is estimated on the batch, and so are the parts, with the same draws.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vaebench.data.dataset import Shape
from vaebench.models.composition import Composition
from vaebench.objectives.elbo import evidence
from vaebench.objectives.player import Batches, Named, Noise, Objective, System, Terms, model_of


def stratified_log_weights(batch: int, images: int, like: Tensor) -> Tensor:
    """MSS, the own sample on the diagonal: 1/N for the image that z was drawn from, (N−1)/(N(B−1)) for the others.

    Given z_i ~ q(z|x_i), Σ_j w_ij q(z_i|x_j) is unbiased for q(z_i) = 1/N Σ_n q(z_i|x_n); (i, j)
    """
    own = torch.eye(batch, dtype=torch.bool, device=like.device)
    others = like.new_full((), math.log((images - 1) / (images * (batch - 1))))
    return torch.where(own, like.new_full((), -math.log(images)), others)


def weighted_log_weights(batch: int, images: int, like: Tensor) -> Tensor:
    """MWS: 1/(N B) for every image; a biased estimate of ln q(z), too low by about ln B where posteriors do not overlap
    and by ln N where they are all one; (i, j)"""
    return like.new_full((batch, batch), -math.log(images * batch))


def column_log_weights(batch: int, images: int, like: Tensor) -> Tensor:
    """Popular code: the stratified weights written with a stride of B into the flattened matrix, where the diagonal
    has a stride of B + 1. So 1/N stands in the first column, the stratum's weight in the second and at (B − 2, 0), and
    1/(B − 1) everywhere else; the own sample of most images counts like any other; (i, j)"""
    weights = like.new_full((batch, batch), 1.0 / (batch - 1))
    stratum = (images - batch + 1) / (images * (batch - 1))
    weights[:, 0], weights[:, 1], weights[batch - 2, 0] = 1.0 / images, stratum, stratum
    return weights.log()


ESTIMATORS: dict[str, Callable[[int, int, Tensor], Tensor]] = {
    "mss": stratified_log_weights,
    "mss-column": column_log_weights,
    "mss-inside": stratified_log_weights,
    "mss-column-inside": column_log_weights,
    "mws": weighted_log_weights,
}


Weighting = Callable[[Tensor, Tensor], Tensor]
"""(ln q(z_iu|x_j), ln w_ij) → ln of the weighted density of z_i under x_j; (i, j)"""


def weighted_once(log_density: Tensor, log_weight: Tensor) -> Tensor:
    """ln w_ij q(z_i|x_j); (i, j)"""
    return log_weight + log_density.sum(-1)


def weighted_in_every_latent(log_density: Tensor, log_weight: Tensor) -> Tensor:
    """Popular code: the weight added to each latent's density before they are summed, so that it counts once for every
    latent: ln w_ij^D q(z_i|x_j); (i, j)"""
    return (log_weight.unsqueeze(-1) + log_density).sum(-1)


WEIGHTINGS: dict[str, Weighting] = {
    "mss-inside": weighted_in_every_latent,
    "mss-column-inside": weighted_in_every_latent,
}
"""Estimator → how its weights enter q(z); once, where none is named."""


def kl_parts(
    log_density: Tensor, log_weight: Tensor, log_prior: Tensor, weighted: Weighting = weighted_once
) -> tuple[Tensor, Tensor, Tensor]:
    """I_q(x; z), TC(z) and Σ_u KL(q(z_u) ‖ p(z_u)) on a batch; (), (), ()

    log_density: ln q(z_iu|x_j), (i, j, latent); log_weight: (i, j); log_prior: ln p(z_iu), (i, latent).
    """
    log_q_given_x = log_density.diagonal(dim1=0, dim2=1).sum(0)
    log_q = torch.logsumexp(weighted(log_density, log_weight), dim=1)
    log_q_product = torch.logsumexp(log_weight.unsqueeze(-1) + log_density, dim=1).sum(-1)
    information = (log_q_given_x - log_q).mean()
    total_correlation = (log_q - log_q_product).mean()
    dimension_kl = (log_q_product - log_prior.sum(-1)).mean()
    return information, total_correlation, dimension_kl


class TotalCorrelationPlayer:
    """Moves the model."""

    name = "model"
    owns: tuple[str, ...] = ("model",)
    batches = 1

    def __init__(self, noise_size: int, images: int, estimator: str) -> None:
        self.images = images
        self.log_weights = ESTIMATORS[estimator]
        self.weighted = WEIGHTINGS.get(estimator, weighted_once)
        self.noise = {"z": Noise(draws=1, size=noise_size, law="normal")}

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        (x,) = batches
        model = model_of(system)
        seen = evidence(model, x, noise["z"], "analytic", settings["progress"])
        z = seen.z[0]
        log_density = seen.q.base_dist.log_prob(z.unsqueeze(1))  # type: ignore[attr-defined]
        log_prior = model.prior().base_dist.log_prob(z)  # type: ignore[attr-defined]
        weights = self.log_weights(len(z), self.images, z)
        information, total, dimension = kl_parts(log_density, weights, log_prior, self.weighted)
        penalty = settings["alpha"] * information + settings["beta"] * total + settings["gamma"] * dimension
        terms = {"information": information, "total_correlation": total, "dimension_kl": dimension}
        loss = settings["kl_weight"] * penalty - seen.reconstruction
        return loss, {"reconstruction": seen.reconstruction, "kl": seen.kl, **terms}


def total_correlation(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """One player, the model."""
    return Objective((TotalCorrelationPlayer(model.noise_size, images, choices["objective"]["estimator"]),), {})

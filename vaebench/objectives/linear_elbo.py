"""The ELBO of a linear VAE with every expectation in closed form: no draw, so no noise in the gradient.

With p(x|z) = N(Wz + b, σ²I) and q(z|x) = N(μ, diag(s²)) the ELBO is that of probabilistic PCA, whose maximum it
reaches, since pPCA's exact posterior is diagonal once the columns of W are orthogonal (Lucas et al. 2019).
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.data.dataset import Shape
from vaebench.models.composition import Composition
from vaebench.models.contract import LatentVariableModel
from vaebench.objectives.elbo import analytic_kl
from vaebench.objectives.player import Batches, Named, Noise, Objective, System, Terms, model_of


class LinearElboPlayer:
    """Moves the model: E_q[ln p(x|z)] − β KL(q(z|x) ‖ p(z)), both in closed form."""

    name = "model"
    owns: tuple[str, ...] = ("model",)
    batches = 1

    def __init__(self) -> None:
        self.noise: dict[str, Noise] = {}

    def loss(self, system: System, batches: Batches, noise: Named, settings: Named) -> tuple[Tensor, Terms]:
        (x,) = batches
        model = model_of(system)
        q = model.posterior(x)
        columns = columns_of(model_of(system, images=slice(1)), q.mean)
        reconstruction = expected_log_density(model, columns, q, x).mean()
        kl = analytic_kl(q, model.prior(), q.mean).mean()
        return settings["kl_weight"] * settings["beta"] * kl - reconstruction, {
            "reconstruction": reconstruction,
            "kl": kl,
        }


def columns_of(model: LatentVariableModel, like: Tensor) -> Tensor:
    """Wᵀ of an affine decoder of one image, with or without its label: W_u is what its mean gains by a unit of latent
    u, the same for every label; `like`: (…, latent) → (latent, pixel)"""
    units = torch.eye(like.shape[-1], dtype=like.dtype, device=like.device).unsqueeze(1)
    return (model.likelihood(units).mean - model.likelihood(torch.zeros_like(units[:1])).mean).squeeze(1)


def expected_log_density(model: LatentVariableModel, columns: Tensor, q: Distribution, x: Tensor) -> Tensor:
    """E_q[ln N(x; Wz + b, σ²I)] = −½ (D ln 2πσ² + (‖x − Wμ − b‖² + Σ_u s_u² ‖W_u‖²)/σ²); (image,)

    q = N(μ, diag(s²)); columns: Wᵀ, (latent, pixel). b may depend on the image's label.
    """
    p = model.likelihood(q.mean)
    variance = p.variance[..., 0]
    squared = (x - p.mean).square().sum(-1) + q.variance @ columns.square().sum(-1)
    return -0.5 * (x.shape[-1] * (variance.log() + math.log(2.0 * math.pi)) + squared / variance)


def linear_elbo(model: Composition, choices: dict[str, Any], shape: Shape, images: int) -> Objective:
    """One player, the model."""
    return Objective((LinearElboPlayer(),), {})

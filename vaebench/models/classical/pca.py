"""Principal components: z = Uᵀ(x − μ) and back x̂ = U z + μ, with no distribution on either side."""

from typing import NoReturn

import torch
from torch import Tensor, nn

from vaebench.models.point import NoDensity, Point


class PrincipalComponents(nn.Module):
    """U is an orthonormal basis of a subspace. PCA codes and decodes; it is no model of x, and says so when asked."""

    def __init__(self, pixels: int, latent: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.eye(pixels, latent))
        self.mean = nn.Parameter(torch.zeros(pixels))

    def prior(self) -> NoReturn:
        raise NoDensity("PCA has no prior p(z)")

    def posterior(self, x: Tensor) -> Point:
        """z = Uᵀ(x − μ)"""
        return Point((x - self.mean) @ self.basis)

    def likelihood(self, z: Tensor) -> "Reconstruction":
        """x̂ = U z + μ"""
        return Reconstruction(z @ self.basis.mT + self.mean)


class Reconstruction(Point):
    """What a code stands for, without a density about it."""

    def log_prob(self, value: Tensor) -> Tensor:
        raise NoDensity("PCA has no likelihood p(x|z)")

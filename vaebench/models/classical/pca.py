"""Principal components: z = Uᵀ(x − μ) and back x̂ = U z + μ, with no distribution on either side."""

import torch
from torch import Tensor, nn

from vaebench.models.classical.distributions import Point


class PrincipalComponents(nn.Module):
    """An orthonormal basis of a subspace. It offers no prior: PCA is no model of x, it only codes and decodes."""

    def __init__(self, pixels: int, latent: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.eye(pixels, latent))
        self.mean = nn.Parameter(torch.zeros(pixels))

    def posterior(self, x: Tensor) -> Point:
        """z = Uᵀ(x − μ)"""
        return Point((x - self.mean) @ self.basis)

    def likelihood(self, z: Tensor) -> Point:
        """x̂ = U z + μ"""
        return Point(z @ self.basis.mT + self.mean)

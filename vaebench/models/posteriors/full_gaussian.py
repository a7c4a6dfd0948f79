"""q(z|x) = N(μ(x), L(x) L(x)ᵀ), L lower triangular with a positive diagonal"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from vaebench.models.distributions import FullNormal
from vaebench.models.networks.trunk import Trunk


class FullGaussian(nn.Module):
    """One head gives μ and ln diag L, like the diagonal one's; another what stands below the diagonal."""

    def __init__(self, encoder: Trunk, latent: int) -> None:
        super().__init__()
        self.noise_size = latent
        self.mean_and_log_scale = encoder.vector_head(2 * latent)
        self.below = encoder.vector_head(latent * (latent - 1) // 2) if latent > 1 else None

    def forward(self, features: Tensor) -> FullNormal:
        mean, log_scale = self.mean_and_log_scale(features).chunk(2, dim=-1)
        factor = torch.diag_embed(log_scale.exp())
        return FullNormal(mean, factor if self.below is None else factor + strictly_lower(self.below(features)))


def strictly_lower(values: Tensor) -> Tensor:
    """Row by row below the diagonal, zero elsewhere; (…, D (D − 1)/2) → (…, D, D)"""
    count = values.shape[-1]
    size = round((1 + (1 + 8 * count) ** 0.5) / 2)
    column = torch.arange(size, device=values.device)
    row = column.unsqueeze(1)
    place = torch.where(column < row, row * (row - 1) // 2 + column, count)
    return pad(values, (0, 1)).index_select(-1, place.flatten()).unflatten(-1, (size, size))

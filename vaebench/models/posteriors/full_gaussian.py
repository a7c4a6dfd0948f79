"""q(z|x) = N(μ(x), L(x) L(x)ᵀ), L = diag(σ(x)) (I + A(x)), A strictly lower triangular"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from vaebench.models.distributions import FullNormal
from vaebench.models.networks.trunk import Trunk


class FullGaussian(nn.Module):
    """One head gives μ and ln σ, like the diagonal one's; another gives A, from zero on, so that q starts diagonal.

    What stands below the diagonal is in units of its row's σ. Free of it, every row would have to shrink all its
    entries with its σ, one by one, and training loses many nats to their noise.
    """

    def __init__(self, encoder: Trunk, latent: int) -> None:
        super().__init__()
        self.noise_size = latent
        self.mean_and_log_scale = encoder.vector_head(2 * latent)
        self.below = encoder.vector_head(latent * (latent - 1) // 2) if latent > 1 else None
        if self.below is not None:
            for parameter in self.below.parameters():
                nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> FullNormal:
        mean, log_scale = self.mean_and_log_scale(features).chunk(2, dim=-1)
        scale = log_scale.exp()
        factor = torch.diag_embed(scale)
        if self.below is not None:
            factor = factor + scale.unsqueeze(-1) * strictly_lower(self.below(features))
        return FullNormal(mean, factor)


def strictly_lower(values: Tensor) -> Tensor:
    """Row by row below the diagonal, zero elsewhere; (…, D (D − 1)/2) → (…, D, D)"""
    count = values.shape[-1]
    size = round((1 + (1 + 8 * count) ** 0.5) / 2)
    column = torch.arange(size, device=values.device)
    row = column.unsqueeze(1)
    place = torch.where(column < row, row * (row - 1) // 2 + column, count)
    return pad(values, (0, 1)).index_select(-1, place.flatten()).unflatten(-1, (size, size))

"""Mixtures with equal weights: p(z) = 1/C Σ_c p_c(z)."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.models.drawn import Drawn

NUMBERS = 1 << 23
"""Most numbers of z that meet all components at once, so that many codes and components fit in memory."""


class EqualMixture(Drawn):
    """`components` is a distribution over rows, (component,), that can be drawn from noise."""

    def __init__(self, components: Distribution) -> None:
        super().__init__(torch.Size(), int(components.event_shape[0]))
        self.components = components
        self.count = int(components.batch_shape[0])
        self.noise_size = components.noise_size + 1  # type: ignore[attr-defined]

    @property
    def dtype(self) -> torch.dtype:
        return self.components.mean.dtype

    @property
    def device(self) -> torch.device:
        return self.components.mean.device

    @property
    def mean(self) -> Tensor:
        return self.components.mean.mean(0)

    def log_prob(self, value: Tensor) -> Tensor:
        """ln 1/C Σ_c p_c(z)"""
        log_density = [self.components.log_prob(rows.unsqueeze(-2)).logsumexp(-1) for rows in self._parts(value)]
        return torch.cat(log_density).reshape(value.shape[:-1]) - math.log(self.count)

    def from_noise(self, noise: Tensor) -> Tensor:
        """The last normal picks the component, c = ⌊C Φ(n)⌋; the others draw from it."""
        drawn = [self._drawn(rows) for rows in self._parts(noise)]
        return torch.cat(drawn).reshape(*noise.shape[:-1], -1)

    def _drawn(self, noise: Tensor) -> Tensor:
        """(row, noise) → (row, latent)"""
        picked = (self.count * torch.special.ndtr(noise[:, -1])).long().clamp(max=self.count - 1)
        codes = self.components.from_noise(noise[:, None, :-1].expand(-1, self.count, -1))  # type: ignore[attr-defined]
        return codes.take_along_dim(picked[:, None, None], dim=1).squeeze(1)

    def _parts(self, rows: Tensor) -> tuple[Tensor, ...]:
        """The rows, flattened to (row, number), in parts that may meet all components."""
        size = max(1, NUMBERS // (self.count * rows.shape[-1]))
        return rows.flatten(0, -2).split(size) if rows.dim() > 1 else (rows.unsqueeze(0),)

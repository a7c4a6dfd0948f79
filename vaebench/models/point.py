"""A code without spread."""

import torch
from torch import Tensor

from vaebench.models.drawn import Drawn


class NoDensity(NotImplementedError):
    """A density was asked of a distribution that has none; the message says why."""


class Point(Drawn):
    """All mass at loc; loc: (image, latent)."""

    noise_size = 0

    def __init__(self, loc: Tensor) -> None:
        super().__init__(loc.shape[:-1], loc.shape[-1])
        self.loc = loc

    @property
    def dtype(self) -> torch.dtype:
        return self.loc.dtype

    @property
    def device(self) -> torch.device:
        return self.loc.device

    @property
    def mean(self) -> Tensor:
        return self.loc

    def log_prob(self, value: Tensor) -> Tensor:
        raise NoDensity("q is a point")

    def from_noise(self, noise: Tensor) -> Tensor:
        """z = loc, once for each row of noise (of which it takes none)"""
        return self.loc.expand(*noise.shape[:-1], -1)

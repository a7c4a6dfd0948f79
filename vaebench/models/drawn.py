"""What every distribution written here shares: its sampler is a function of noise."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vaebench.data.streams import Law


class Drawn(Distribution):
    """A distribution over rows whose draws are `from_noise` of `noise_size` standard normals each."""

    noise_law: Law = "normal"
    noise_size: int
    has_rsample = True
    arg_constraints: dict[str, Constraint] = {}  # noqa: RUF012 (torch's own attribute, which its repr reads)

    def __init__(self, batch_shape: torch.Size, event: int) -> None:
        super().__init__(batch_shape, torch.Size([event]), validate_args=False)

    @property
    def dtype(self) -> torch.dtype:
        """Of the noise that it takes."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        raise NotImplementedError

    def from_noise(self, noise: Tensor) -> Tensor:
        """(…, *batch_shape, noise_size) → (…, *batch_shape, event)"""
        raise NotImplementedError

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = (*sample_shape, *self.batch_shape, self.noise_size)
        return self.from_noise(torch.randn(shape, dtype=self.dtype, device=self.device))

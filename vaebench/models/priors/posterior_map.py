"""What a prior may be built from."""

from collections.abc import Callable

from torch import Tensor
from torch.distributions import Distribution

PosteriorMap = Callable[[Tensor], Distribution]
"""x → q(z|x)"""

"""What a prior may be built from."""

from collections.abc import Callable

from torch import Tensor
from torch.distributions import Distribution

PosteriorMap = Callable[[Tensor], Distribution]
"""What the encoder reads → q(z|·): x and, in a conditional model, a label behind it."""

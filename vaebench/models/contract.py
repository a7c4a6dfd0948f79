"""What a model must offer to be trained or scored here, whoever wrote it."""

from typing import Protocol

from torch import Tensor
from torch.distributions import Distribution


class LatentVariableModel(Protocol):
    """p(z), q(z|x) and p(x|z) as torch distributions.

    x is (image, pixel), floats, row-major; z is (…, latent). log_prob sums over pixels or latents and broadcasts
    over leading axes. Optional: `log_prob(x)`, exact, (image,); `sample(count)`, (image, pixel).
    """

    def prior(self) -> Distribution:
        """p(z)"""
        ...

    def posterior(self, x: Tensor) -> Distribution:
        """q(z|x)"""
        ...

    def likelihood(self, z: Tensor) -> Distribution:
        """p(x|z)"""
        ...

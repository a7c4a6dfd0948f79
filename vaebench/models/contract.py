"""What a model must offer to be trained or scored here, whoever wrote it."""

from typing import Protocol

from torch import Tensor
from torch.distributions import Distribution


class LatentVariableModel(Protocol):
    """p(z), q(z|x) and p(x|z) as torch distributions.

    x is (image, pixel), floats, row-major; z is (…, latent). log_prob sums over pixels or latents and broadcasts
    over leading axes: z may be (image, latent) or (draw, image, latent). What a method says of an image depends on that
    image alone, and is the same when it is asked again. A code without spread is a vaebench.models.point.Point.

    p(x|z) is a probability of 0/1 pixels on the views binary, static-binary and threshold, so that over {0, 1}^D it
    sums to 1; on the others a density (on grey also a mass on the grey levels). vaebench.metrics.contract holds a
    model that vaebench did not build against all of this, and vaebench.metrics.fitness says what it cannot see.

    Optional: `log_prob(x)`, exact, (image,); `sample(count)`, (image, pixel).
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

"""Models without a code: every pixel has a distribution of its own, and z moves nothing.

This is what is left of a VAE whose posterior has collapsed, at its best: q(z|x) = p(z), and ln p(x) is exact.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from vaebench.models.distributions import DiagonalNormal, IndependentBernoulli, IndependentPixels
from vaebench.models.likelihoods.level_histogram import LevelHistogram


class WithoutCode(nn.Module, ABC):
    """p(x|z) = p(x) = Π_d p_d(x_d), z ~ N(0, I)"""

    loc: Tensor
    scale: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(latent), persistent=False)
        self.register_buffer("scale", torch.ones(latent), persistent=False)

    @abstractmethod
    def pixels(self, batch: torch.Size) -> IndependentBernoulli | IndependentPixels:
        """p(x), once for each of `batch`"""

    def prior(self) -> DiagonalNormal:
        return DiagonalNormal(self.loc, self.scale)

    def posterior(self, x: Tensor) -> DiagonalNormal:
        """p(z|x) = p(z)"""
        return self.prior().expand([len(x)])

    def likelihood(self, z: Tensor) -> IndependentBernoulli | IndependentPixels:
        """p(x|z) = p(x)"""
        return self.pixels(z.shape[:-1])

    def log_prob(self, x: Tensor) -> Tensor:
        """Σ_d ln p_d(x_d); (image,), exact."""
        return self.pixels(torch.Size()).log_prob(x)


class OwnProbabilities(WithoutCode):
    """p_d = Bernoulli(π_d)"""

    def __init__(self, pixels: int, latent: int) -> None:
        super().__init__(latent)
        self.logits = nn.Parameter(torch.zeros(pixels))

    def pixels(self, batch: torch.Size) -> IndependentBernoulli:
        return IndependentBernoulli(self.logits).expand(batch)


class OwnHistograms(WithoutCode):
    """p_d even in the bin of each grey level, π_dk in that of level k"""

    def __init__(self, pixels: int, latent: int, levels: int) -> None:
        super().__init__(latent)
        self.logits = nn.Parameter(torch.zeros(pixels, levels))

    def pixels(self, batch: torch.Size) -> IndependentPixels:
        return IndependentPixels(LevelHistogram(self.logits, batch))

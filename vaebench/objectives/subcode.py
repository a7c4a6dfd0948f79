"""The part of a code whose information is maximised: some Gaussian latents, or the category."""

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaebench.data.dataset import Shape
from vaebench.models.distributions import DiagonalNormal
from vaebench.models.mixed import OneHot, category_of
from vaebench.models.networks.mlp import Mlp


class Subcode(Protocol):
    """ẑ, what is known of its law, and the network that reads it off an image."""

    prior_entropy: float
    """H(ẑ) under p(z), nats."""

    def reader(self, shape: Shape, hidden: list[int]) -> nn.Module:
        """Q: x → Q(ẑ|x)"""
        ...

    def of(self, z: Tensor) -> Tensor:
        """ẑ, a part of z."""
        ...

    def aggregate_entropy(self, q: Any, z: Tensor, images: int) -> Tensor:
        """H(ẑ) under the aggregate posterior of `images` images, from a batch; z: (image, latent); ()"""
        ...


class Reader(nn.Module):
    """A network on x, and a head whose numbers become Q(ẑ|x)."""

    def __init__(self, shape: Shape, hidden: list[int], size: int, law: Callable[[Tensor], Distribution]) -> None:
        super().__init__()
        self.encoder = Mlp(hidden, "relu", "torch").encoder(shape)
        self.head = self.encoder.vector_head(size)
        self.law = law

    def forward(self, x: Tensor) -> Distribution:
        return self.law(self.head(self.encoder(x)))


class Latents:
    """Chosen Gaussian latents; Q(ẑ|x) = N(μ_Q(x), diag(σ_Q(x)²)), σ_Q at least its floor.

    Any Q gives a bound, so the floor only loosens it. Without one the expression is unbounded where Q sees the
    decoder's mean, a function of z from which ẑ may be read off exactly, and training runs away.
    """

    def __init__(self, subcode: list[int], floor: float) -> None:
        self.subcode = subcode
        self.floor = floor
        self.prior_entropy = 0.5 * len(subcode) * (1.0 + math.log(2.0 * math.pi))

    def reader(self, shape: Shape, hidden: list[int]) -> nn.Module:
        return Reader(shape, hidden, 2 * len(self.subcode), self._normal)

    def of(self, z: Tensor) -> Tensor:
        return z[..., self.subcode]

    def aggregate_entropy(self, q: Any, z: Tensor, images: int) -> Tensor:
        part = DiagonalNormal(self.of(q.mean), self.of(q.stddev))
        return entropy_of_mixture(part, self.of(z), images)

    def _normal(self, numbers: Tensor) -> DiagonalNormal:
        mean, log_scale = numbers.chunk(2, dim=-1)
        return DiagonalNormal(mean, self.floor + log_scale.exp())


class Category:
    """The category, the last `categories` numbers of the code; Q(c|x) is a categorical."""

    def __init__(self, categories: int) -> None:
        self.categories = categories
        self.prior_entropy = math.log(categories)

    def reader(self, shape: Shape, hidden: list[int]) -> nn.Module:
        return Reader(shape, hidden, self.categories, OneHot)

    def of(self, z: Tensor) -> Tensor:
        return z[..., -self.categories :]

    def aggregate_entropy(self, q: Any, z: Tensor, images: int) -> Tensor:
        """H of the batch-mean posterior, −Σ_k π̄_k ln π̄_k"""
        category = category_of(q)
        assert category is not None
        mean = category.mean.mean(0)
        return -torch.special.xlogy(mean, mean).sum()


def entropy_of_mixture(q: DiagonalNormal, z: Tensor, images: int) -> Tensor:
    """H of q(z) = 1/N Σ_n q(z|x_n) from a batch of B: −1/B Σ_i ln q̂(z_i), with z_i ~ q(z|x_i) and

        q̂(z_i) = 1/N q(z_i|x_i) + (N−1)/(N(B−1)) Σ_{j≠i} q(z_i|x_j),

    which is unbiased for q(z_i); the logarithm's bias makes the entropy an upper estimate. z: (image, latent).
    """
    batch = z.shape[0]
    log_density = q.log_prob(z.unsqueeze(1))  # (drawn from i, seen by j)
    own = torch.eye(batch, dtype=torch.bool, device=z.device)
    others = math.log((images - 1) / (images * max(batch - 1, 1)))
    weighted = torch.where(own, log_density - math.log(images), log_density + others)
    return -torch.logsumexp(weighted, dim=1).mean()


def subcode_of(choices: dict[str, Any]) -> Subcode:
    """What the objective `vmi` of a composition asks for."""
    chosen, posterior = choices["objective"], choices["posterior"]
    if chosen["code"] == "category":
        return Category(posterior.get("categories", choices["latent"]))
    return Latents(chosen["subcode"], chosen["auxiliary_floor"])

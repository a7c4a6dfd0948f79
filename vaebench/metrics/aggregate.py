"""The aggregate posterior q(z) = 1/N Σ_j q(z|x_j) of N images: its density and those of its marginals, at any codes.

Every code meets every image, in blocks of pairs and in float64. A category among the latents is summed over.
"""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.metrics.answer import NotApplicable
from vaebench.metrics.categories import entropy
from vaebench.metrics.code_parts import code_parts
from vaebench.metrics.draws import from_noise_form
from vaebench.metrics.subject import Images, Subject
from vaebench.models.distributions import DiagonalNormal, FullNormal
from vaebench.models.flows import InverseAutoregressive
from vaebench.models.mixed import OneHot

PAIRS = {"cpu": 1 << 20, "cuda": 1 << 25}
"""Pairs whose density is taken at once: enough for a matrix product, by device."""
MARGINAL_SHARE = 8
"""So many times fewer for a marginal, whose passes over the pairs should stay in the cache of a CPU's core."""
COSTLY_DRAWS = 200
"""Codes whose density is asked where each costs a pass through a network for every image."""
NEAR_CAP = 0.5
"""Nats below ln N from where on what is seen of the mixture says more about N than about the model."""


class Components(ABC):
    """The continuous part of q(z|x_j) for every image j."""

    count: int
    """N"""
    latents: int
    numbers_a_pair: int = 1
    """That are held while its density is taken."""
    costly: bool = False
    """Each density takes a pass through a network."""

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """ln q(z|x_j); (row, latent) → (row, image), float64"""

    @abstractmethod
    def log_marginal(self, z: Tensor, latent: int) -> Tensor:
        """ln q(z_u|x_j), u = `latent`; (row, latent) → (row, image), float64"""


class DiagonalComponents(Components):
    """N(μ_j, diag(σ_j²)); mean, scale: (image, latent), float64.

    All pairs in one matrix product: ln q(z|x_j) = −½ Σ_u [z_u² /σ_ju² − 2 z_u μ_ju/σ_ju² + μ_ju²/σ_ju² + ln 2πσ_ju²].
    In float64: the squares cancel where σ is small.
    """

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        self.count, self.latents = mean.shape
        self.mean, self.scale = mean, scale
        precision = scale**-2
        self.factors = torch.cat([precision, -2.0 * mean * precision], dim=-1).mT.contiguous()
        self.constants = (mean.square() * precision + 2.0 * scale.log() + math.log(2.0 * math.pi)).sum(-1)

    def log_prob(self, z: Tensor) -> Tensor:
        wide = z.double()
        return torch.addmm(self.constants, torch.cat([wide.square(), wide], dim=-1), self.factors).mul_(-0.5)

    def log_marginal(self, z: Tensor, latent: int) -> Tensor:
        """−½ ((z − μ)/σ)² − ln σ − ½ ln 2π"""
        scale = self.scale[:, latent]
        inverse = 1.0 / (math.sqrt(2.0) * scale)
        standard = torch.addcmul(-self.mean[:, latent] * inverse, z[:, latent, None].double(), inverse)
        return standard.square_().neg_().sub_(scale.log() + 0.5 * math.log(2.0 * math.pi))


class FullComponents(Components):
    """N(μ_j, Σ_j), Σ_j = L_j L_jᵀ; mean: (image, latent), factor L: (image, latent, latent), float64.

    zᵀPz − 2 zᵀPμ + μᵀPμ with P = Σ⁻¹ is one matrix product too: of the products z_u z_v, u ≥ v, and of z.
    """

    def __init__(self, mean: Tensor, factor: Tensor) -> None:
        self.count, self.latents = mean.shape
        self.rows, self.columns = torch.tril_indices(self.latents, self.latents, device=mean.device)
        self.marginals = DiagonalComponents(mean, factor.square().sum(-1).sqrt())
        identity = torch.eye(self.latents, dtype=mean.dtype, device=mean.device)
        inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
        precision = inverse.mT @ inverse
        towards_mean = (precision @ mean.unsqueeze(-1)).squeeze(-1)
        twice = torch.where(self.rows == self.columns, 1.0, 2.0)
        quadratic = precision[:, self.rows, self.columns] * twice
        self.factors = torch.cat([quadratic, -2.0 * towards_mean], dim=-1).mT.contiguous()
        log_determinant = 2.0 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        self.constants = (mean * towards_mean).sum(-1) + log_determinant + self.latents * math.log(2.0 * math.pi)

    def log_prob(self, z: Tensor) -> Tensor:
        wide = z.double()
        products = wide[:, self.rows] * wide[:, self.columns]
        return torch.addmm(self.constants, torch.cat([products, wide], dim=-1), self.factors).mul_(-0.5)

    def log_marginal(self, z: Tensor, latent: int) -> Tensor:
        """The normal with the diagonal of the covariance"""
        return self.marginals.log_marginal(z, latent)


class OpaqueComponents(Components):
    """Of any family, asked pair by pair, in its own precision."""

    costly = True

    def __init__(self, posteriors: Sequence[Distribution], what: str) -> None:
        self.posteriors, self.what = posteriors, what
        self.count = sum(int(q.batch_shape[0]) for q in posteriors)
        self.latents = self.numbers_a_pair = int(posteriors[0].event_shape[0])

    def log_prob(self, z: Tensor) -> Tensor:
        return torch.cat([q.log_prob(z.unsqueeze(1)).double() for q in self.posteriors], dim=-1)

    def log_marginal(self, z: Tensor, latent: int) -> Tensor:
        raise NotApplicable(f"the marginals of {self.what} are not known here; Gaussians and categories have them")


@functools.singledispatch
def components_of(form: object, posteriors: Sequence[Distribution]) -> Components:
    """q(z|x_j) of the images of all blocks; `form`: the first block's, whose family is that of all."""
    return OpaqueComponents(posteriors, "this posterior")


@components_of.register
def _(form: InverseAutoregressive, posteriors: Sequence[Distribution]) -> Components:
    return OpaqueComponents(posteriors, "the flow")


@components_of.register
def _(form: DiagonalNormal, posteriors: Sequence[Distribution]) -> Components:
    return DiagonalComponents(_joined([q.mean for q in posteriors]), _joined([q.stddev for q in posteriors]))


@components_of.register
def _(form: FullNormal, posteriors: Sequence[Distribution]) -> Components:
    return FullComponents(
        _joined([q.mean for q in posteriors]),
        _joined([q.scale_tril for q in posteriors]),  # type: ignore[attr-defined]
    )


def _joined(values: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(values)).double()


class LogDensities(NamedTuple):
    """At codes from q(z|x_i), a category averaged over q(c|x_i); (row,), float64"""

    own: Tensor
    """ln q(z|x_i)"""
    aggregate: Tensor
    """ln q(z)"""


@dataclass(frozen=True)
class Aggregate:
    """q(z), or q(z, c) = 1/N Σ_j q(z|x_j) q(c|x_j). Codes are given by their continuous latents; (row, latent).

    `image` says from whose posterior each code was drawn; (row,). Its category is not drawn: what depends on it is
    averaged over q(c|x_i), in closed form.
    """

    components: Components | None
    """None where a category is all there is."""
    log_categories: Tensor | None
    """ln q(c|x_j), None where there is no category; (image, category), float64"""
    pairs: int
    """Whose density is taken at once; changes no result."""

    @classmethod
    def of(cls, posteriors: Sequence[Distribution], pairs: int) -> "Aggregate":
        """From the posteriors of blocks of images."""
        parts = [code_parts(q) for q in posteriors]
        alone = isinstance(parts[0][0], OneHot)
        categories = [q if alone else category for q, category in parts]
        log_categories = (
            None if categories[0] is None else _joined([category.log_probs for category in categories])  # type: ignore[union-attr]
        )
        continuous = [q for q, _ in parts]
        return cls(None if alone else components_of(from_noise_form(continuous[0]), continuous), log_categories, pairs)

    @property
    def count(self) -> int:
        """N"""
        return len(self.log_categories) if self.components is None else self.components.count  # type: ignore[arg-type]

    @property
    def latents(self) -> int:
        """Continuous ones"""
        return 0 if self.components is None else self.components.latents

    @property
    def costly(self) -> bool:
        """Whether only a few codes can be asked about."""
        return self.components is not None and self.components.costly

    @property
    def entropy_of_category(self) -> float | None:
        """H of the code where a category is all there is, exactly."""
        if self.components is not None or self.log_categories is None:
            return None
        return float(entropy(self.log_categories.exp().mean(0)))

    def log_densities(self, z: Tensor, image: Tensor) -> LogDensities:
        """Both from the same pairs, so that ln q(z|x_i) − ln q(z) ≤ ln N whatever the rounding of a pair."""
        if self.components is None:
            assert self.log_categories is not None
            own = self.expected(image, self.log_categories[image])
            return LogDensities(own, self._log_marginal_of_category(image))
        parts = [
            self._of_pairs(self.components.log_prob(z[rows]), image[rows])
            for rows in self._blocks(len(z), self.components.numbers_a_pair, z.device)
        ]
        return LogDensities(*(torch.cat(list(part)) for part in zip(*parts, strict=True)))

    def log_marginals(self, z: Tensor, image: Tensor) -> Tensor:
        """Σ_u ln q(z_u), a category being one latent, q(z_u) = 1/N Σ_j q(z_u|x_j); (row,)"""
        total = torch.zeros(len(image), dtype=torch.float64, device=image.device)
        if self.log_categories is not None:
            total = total + self._log_marginal_of_category(image)
        if self.components is None:
            return total
        for latent in range(self.latents):
            blocks = self._blocks(len(z), MARGINAL_SHARE, z.device)
            parts = [self.components.log_marginal(z[rows], latent).logsumexp(-1) for rows in blocks]
            total = total + torch.cat(parts) - math.log(self.count)
        return total

    def expected(self, image: Tensor, values: Tensor) -> Tensor:
        """Σ_c q(c|x_i) f(c), 0 · ∞ being 0; values f: (row, category) → (row,)"""
        assert self.log_categories is not None
        weights = self.log_categories[image].exp()
        return torch.where(weights > 0, weights * values, 0.0).sum(-1)

    def log_prior(self, prior: Distribution, z: Tensor, image: Tensor) -> Tensor:
        """ln p(z), or Σ_c q(c|x_i) ln p(z, c); (row,)"""
        if self.log_categories is None:
            return prior.log_prob(z).double()
        one_hot = torch.eye(self.log_categories.shape[-1], dtype=z.dtype, device=z.device)
        by_category = [prior.log_prob(torch.cat([z, code.expand(len(z), -1)], dim=-1)) for code in one_hot]
        return self.expected(image, torch.stack(by_category, dim=-1).double())

    def _of_pairs(self, pairs: Tensor, image: Tensor) -> LogDensities:
        """pairs: ln q(z|x_j); (row, image)"""
        own = pairs.gather(-1, image.unsqueeze(-1)).squeeze(-1)
        if self.log_categories is None:
            return LogDensities(own, pairs.logsumexp(-1) - math.log(self.count))
        joint = torch.stack([(pairs + column).logsumexp(-1) for column in self.log_categories.unbind(-1)], dim=-1)
        own = own + self.expected(image, self.log_categories[image])
        return LogDensities(own, self.expected(image, joint) - math.log(self.count))

    def _log_marginal_of_category(self, image: Tensor) -> Tensor:
        """Σ_c q(c|x_i) ln q(c); (row,)"""
        assert self.log_categories is not None
        log_mean = self.log_categories.logsumexp(0) - math.log(self.count)
        return self.expected(image, log_mean.expand(len(image), -1))

    def _blocks(self, rows: int, numbers_a_pair: int, device: torch.device) -> Sequence[Tensor]:
        """Numbers of the codes that meet all images at once."""
        size = max(1, self.pairs // (self.count * numbers_a_pair))
        return torch.arange(rows, device=device).split(size)


def is_at_cap(information: float, images: int) -> bool:
    """Whether the information in a set of images is about all that it can show, ln N"""
    return information > math.log(images) - NEAR_CAP


def aggregate_of(subject: Subject, images: Images) -> Aggregate:
    """Of these images; each is encoded once."""
    posteriors = [block.model.posterior(block.x) for block in subject.blocks(images, 1)]
    return Aggregate.of(posteriors, pairs_at_once(subject))


def pairs_at_once(subject: Subject) -> int:
    return subject.block_numbers or PAIRS.get(subject.source.device.type, PAIRS["cpu"])

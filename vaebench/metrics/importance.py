"""ln 1/K Σ_k w_k with w_k = f(x, z_k) p(z_k)/q(z_k|x), z_k ~ q(z|x): streamed, K exact, each image encoded once."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.data import streams
from vaebench.metrics.answer import average
from vaebench.metrics.draws import draw
from vaebench.metrics.subject import Block, Images, Subject

FEW_EFFECTIVE = 10.0
"""Below this effective sample size the interval of an image's estimate is not to be trusted."""

Given = Callable[[Distribution, Tensor, Tensor, int], tuple[Distribution, Tensor]]


@dataclass(frozen=True)
class Weights:
    """Sums over the K draws of each image, in logarithms; (…, image), float64."""

    log_sum: Tensor
    """ln Σ_k w_k"""
    log_sum_squares: Tensor
    """ln Σ_k w_k²"""
    count: int

    @property
    def log_mean(self) -> Tensor:
        """ln 1/K Σ_k w_k"""
        return self.log_sum - math.log(self.count)

    @property
    def effective(self) -> Tensor:
        """(Σ w)²/Σ w², between 1 and K"""
        return torch.exp(2.0 * self.log_sum - self.log_sum_squares)

    @property
    def variance(self) -> Tensor:
        """Of ln mean w, by the delta method: s²/(K w̄²) = (K/ESS − 1)/(K − 1)"""
        return ((self.count / self.effective - 1.0) / (self.count - 1)).clamp_min(0.0)

    def unbind(self) -> list["Weights"]:
        """One for each entry of the first axis."""
        pairs = zip(self.log_sum, self.log_sum_squares, strict=True)
        return [Weights(log_sum, log_sum_squares, self.count) for log_sum, log_sum_squares in pairs]


def importance_weights(
    subject: Subject,
    images: Images,
    samples: int,
    seed: int,
    log_weight_of: Callable[[Distribution, Tensor], Tensor],
    given: Given | None = None,
    defensive: float = 0.0,
    words: tuple[object, ...] = (),
) -> Weights:
    """Weights of every image; `log_weight_of` is (p(x|z), x) → ln f(x, z) for (…, draw, image).

    `given` draws one more latent u: (p(x|z), x, keys, first) → (p(x|z, u), ln p(u)/q(u|x, z)). `defensive` is the
    share of the draws that come from the prior; `words` name other draws.
    """
    prior = subject.model.prior()
    sums, squares = [], []
    for block in subject.blocks(images, samples, "importance", seed, *words):
        log_sum = torch.full((len(block.x),), -torch.inf, dtype=torch.float64, device=block.x.device)
        log_sum_squares = log_sum.clone()
        step = max(1, subject.rows // len(block.x))
        for log_weight in log_weights(block, prior, samples, step, log_weight_of, given, defensive):
            log_sum = torch.logaddexp(log_sum, torch.logsumexp(log_weight, dim=-2))
            log_sum_squares = torch.logaddexp(log_sum_squares, torch.logsumexp(2.0 * log_weight, dim=-2))
        sums.append(log_sum)
        squares.append(log_sum_squares)
    return Weights(torch.cat(sums, dim=-1), torch.cat(squares, dim=-1), samples)


def log_weights(
    block: Block,
    prior: Distribution,
    samples: int,
    step: int,
    log_weight_of: Callable[[Distribution, Tensor], Tensor],
    given: Given | None = None,
    defensive: float = 0.0,
) -> Iterator[Tensor]:
    """ln w_k of a block of images, `step` draws at a time; (…, draw, image), float64"""
    model, x, keys = block
    for first, z, log_ratio in proposed(model.posterior(x), prior, keys, samples, step, defensive):
        p = model.likelihood(z)
        if given is not None:
            p, more = given(p, x, keys, first)
            log_ratio = log_ratio + more
        yield log_weight_of(p, x).double() + log_ratio.double()


def proposed(
    q: Distribution, prior: Distribution, keys: Tensor, samples: int, step: int, defensive: float
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Draws from r(z) = (1 − α) q(z|x) + α p(z) and ln p(z)/r(z): (number of the first, (draw, image, latent),
    (draw, image)).

    Of the K draws exactly αK come from p(z), so that Σ_k w_k/K, with r in every weight, is unbiased (Veach & Guibas
    1995) and no weight exceeds p(x|z)/α. α is `defensive` as nearly as whole draws allow, and leaves q one of them.
    """
    wide = min(max(1, round(defensive * samples)), samples - 1) if defensive > 0 else 0
    wide_keys = streams.mixed(keys, torch.tensor(streams.key("wide"), device=keys.device))
    for source, source_keys, begin, end in ((q, keys, 0, samples - wide), (prior, wide_keys, samples - wide, samples)):
        for first in range(begin, end, step):
            z = draw(source, source_keys, first, min(step, end - first))
            log_prior, log_proposal = prior.log_prob(z), q.log_prob(z)
            if wide > 0:
                share = wide / samples
                log_proposal = torch.logaddexp(math.log1p(-share) + log_proposal, math.log(share) + log_prior)
            yield first, z, log_prior - log_proposal


def summary(weights: Weights, population: int) -> tuple[float, float | None, str, dict[str, Any]]:
    """Mean of ln mean w over images, its standard error, a warning where ESS is small, and the ESS."""
    effective = weights.effective
    value, stderr = average(weights.log_mean, weights.variance if weights.count > 1 else None, population)
    few = float((effective < FEW_EFFECTIVE).double().mean())
    details = {"effective_sample_size": {"mean": float(effective.mean()), "least": float(effective.min())}}
    note = f"mean effective sample size {float(effective.mean()):.1f} of {weights.count}"
    if few > 0 and weights.count > 1:
        note += f"; it is below {FEW_EFFECTIVE:.0f} on {few:.0%} of the images, so the error is a guess"
    return value, stderr, note, details

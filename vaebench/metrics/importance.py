"""ln 1/K Σ_k w_k with w_k = f(x, z_k) p(z_k)/q(z_k|x), z_k ~ q(z|x): streamed, K exact, each image encoded once."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.metrics.answer import average
from vaebench.metrics.draws import draw
from vaebench.metrics.subject import Images, Subject

FEW_EFFECTIVE = 10.0
"""Below this effective sample size the interval of an image's estimate is not to be trusted."""


@dataclass(frozen=True)
class Weights:
    """Sums over the K draws of each image, in logarithms; (image,), float64."""

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


def importance_weights(
    subject: Subject,
    images: Images,
    samples: int,
    seed: int,
    log_weight_of: Callable[[Distribution, Tensor], Tensor],
    given: Callable[[Distribution, Tensor, Tensor, int], tuple[Distribution, Tensor]] | None = None,
) -> Weights:
    """Weights of every image; `log_weight_of` is (p(x|z), x) → ln f(x, z) for (draw, image).

    `given` draws one more latent u: (p(x|z), x, keys, first) → (p(x|z, u), ln p(u)/q(u|x, z)).
    """
    prior = subject.model.prior()
    sums, squares = [], []
    for model, x, keys in subject.blocks(images, samples, "importance", seed):
        q = model.posterior(x)
        log_sum = torch.full((len(x),), -torch.inf, dtype=torch.float64, device=x.device)
        log_sum_squares = log_sum.clone()
        step = max(1, subject.rows // len(x))
        for first in range(0, samples, step):
            z = draw(q, keys, first, min(step, samples - first))
            log_ratio = prior.log_prob(z) - q.log_prob(z)
            p = model.likelihood(z)
            if given is not None:
                p, more = given(p, x, keys, first)
                log_ratio = log_ratio + more
            log_weight = log_weight_of(p, x).double() + log_ratio.double()
            log_sum = torch.logaddexp(log_sum, torch.logsumexp(log_weight, dim=0))
            log_sum_squares = torch.logaddexp(log_sum_squares, torch.logsumexp(2.0 * log_weight, dim=0))
        sums.append(log_sum)
        squares.append(log_sum_squares)
    return Weights(torch.cat(sums), torch.cat(squares), samples)


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

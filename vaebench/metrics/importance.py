"""ln 1/K Σ_k w_k with w_k = f(x, z_k) p(z_k)/q(z_k|x), z_k ~ q(z|x): streamed, K exact, each image encoded once."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.data import streams
from vaebench.metrics.answer import average, variance_of_log_mean
from vaebench.metrics.draws import draw, from_noise_form, stream_of
from vaebench.metrics.proposals import refined
from vaebench.metrics.subject import Block, Images, Subject
from vaebench.models.distributions import DiagonalNormal, FullNormal
from vaebench.models.mixed import GaussianAndOneHot

FEW_EFFECTIVE = 10.0
"""Below this effective sample size the interval of an image's estimate is not to be trusted."""

DRAWS = 16
"""Of an image that are decoded at once where the images are many, so that many are encoded at once too."""

Given = Callable[[Distribution, Tensor, Tensor, int], tuple[Distribution, Tensor]]


@dataclass(frozen=True)
class Weights:
    """What the K draws of each image say, in logarithms; (…, image), float64."""

    log_sum: Tensor
    """ln Σ_k w_k"""
    log_sum_squares: Tensor
    """ln Σ_k w_k²"""
    variance: Tensor
    """Of ln mean w; NaN for one draw"""
    count: int
    rounded: float = 0.0
    """Share of the latents of all images whose σ is below the rounding of μ, so that a draw is μ"""
    refined: float | None = None
    """Share of the images whose own q* is better than q(z|x); None where none was looked for"""

    @classmethod
    def of(cls, log_weights: Tensor) -> "Weights":
        """log_weights: (…, draw, image), float64"""
        return cls(
            torch.logsumexp(log_weights, dim=-2),
            torch.logsumexp(2.0 * log_weights, dim=-2),
            variance_of_log_mean(log_weights),
            log_weights.shape[-2],
        )

    @property
    def log_mean(self) -> Tensor:
        """ln 1/K Σ_k w_k"""
        return self.log_sum - math.log(self.count)

    @property
    def effective(self) -> Tensor:
        """(Σ w)²/Σ w², between 1 and K"""
        return torch.exp(2.0 * self.log_sum - self.log_sum_squares)

    def unbind(self) -> list["Weights"]:
        """One for each entry of the first axis."""
        parts = zip(self.log_sum, self.log_sum_squares, self.variance, strict=True)
        return [Weights(*part, self.count, self.rounded, self.refined) for part in parts]


def importance_weights(
    subject: Subject,
    images: Images,
    samples: int,
    seed: int,
    log_weight_of: Callable[[Distribution, Tensor], Tensor],
    given: Given | None = None,
    defensive: float = 0.0,
    refine: int = 0,
    words: tuple[object, ...] = (),
) -> Weights:
    """Weights of every image; `log_weight_of` is (p(x|z), x) → ln f(x, z) for (…, draw, image).

    `given` draws one more latent u: (p(x|z), x, keys, first) → (p(x|z, u), ln p(u)/q(u|x, z)). `defensive` is the
    share of the draws that come from the prior, `refine` the steps that fit q to each image first, which takes one f;
    `words` name other draws.
    """
    prior = subject.model.prior()
    parts, rounded, better = [], [], []

    def log_weight(p: Distribution, x: Tensor, keys: Tensor, first: int) -> Tensor:
        """ln f(x, z), the further latent's ratio included; (draw, image)"""
        p, more = (p, x.new_zeros(())) if given is None else given(p, x, keys, first)
        return log_weight_of(p, x)[0] + more

    for block in subject.blocks(images, min(samples, DRAWS), "importance", seed, *words):
        step = max(1, subject.rows // len(block.x))
        q = block.model.posterior(block.x)
        own = refined(block, q, prior, log_weight, refine)
        better += [] if own is None else [own.better]
        rounded.append(rounded_away(q).expand(len(block.x), -1))
        law = None if own is None else own.q
        drawn = list(log_weights(block, q, prior, samples, step, log_weight_of, given, defensive, law))
        parts.append(Weights.of(torch.cat(drawn, dim=-2)))
    share = float(torch.cat(rounded).double().mean())

    def joined(column: str) -> Tensor:
        return torch.cat([getattr(part, column) for part in parts], dim=-1)

    fitted = float(torch.cat(better).mean()) if better else None
    return Weights(joined("log_sum"), joined("log_sum_squares"), joined("variance"), samples, share, fitted)


def log_weights(
    block: Block,
    q: Distribution,
    prior: Distribution,
    samples: int,
    step: int,
    log_weight_of: Callable[[Distribution, Tensor], Tensor],
    given: Given | None = None,
    defensive: float = 0.0,
    own: Distribution | None = None,
) -> Iterator[Tensor]:
    """ln w_k of a block of images, `step` draws at a time; (…, draw, image), float64"""
    model, x, keys = block
    for first, z, log_ratio in proposed(q, prior, keys, samples, step, defensive, own):
        p = model.likelihood(z)
        if given is not None:
            p, more = given(p, x, keys, first)
            log_ratio = log_ratio + more
        yield log_weight_of(p, x).double() + log_ratio.double()


def proposed(
    q: Distribution,
    prior: Distribution,
    keys: Tensor,
    samples: int,
    step: int,
    defensive: float,
    own: Distribution | None = None,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Draws from r(z), a mixture of q(z|x), of p(z) with the weight α, and of each image's own q* if there is one, with
    as many draws as q; and ln p(z)/r(z): (number of the first, (draw, image, latent), (draw, image)).

    Of the K draws as many come from each as its weight in r says, exactly, so that Σ_k w_k/K, with r in every weight,
    is unbiased (Veach & Guibas 1995). No weight exceeds p(x|z)/α, nor by more than about twofold what it would be under
    q or q* alone. α is `defensive` as nearly as whole draws allow, and leaves q one of them.
    """
    wide = min(max(1, round(defensive * samples)), samples - 1) if defensive > 0 else 0
    fitted = (samples - wide) // 2 if own is not None else 0
    shares = [(q, keys, samples - wide - fitted), (own, stream_of(keys, "own"), fitted), (prior, _wide(keys), wide)]
    sources = [(law, stream, count) for law, stream, count in shares if law is not None and count > 0]
    first = 0
    for law, stream, count in sources:
        for begin in range(0, count, step):
            z = draw(law, stream, begin, min(step, count - begin))
            densities = [math.log(number / samples) + each.log_prob(z) for each, _, number in sources]
            log_proposal = densities[0] if len(densities) == 1 else torch.stack(densities).logsumexp(0)
            yield first, z, prior.log_prob(z) - log_proposal
            first += len(z)


def _wide(keys: Tensor) -> Tensor:
    return streams.mixed(keys, torch.tensor(streams.key("wide"), device=keys.device))


def rounded_away(q: Distribution) -> Tensor:
    """1 where z = μ + σ ε is rounded to μ, since σ < ε(μ), the rounding of μ in its precision, else 0; of an affine
    Gaussian, elsewhere not known and 0; (image, latent) or (1, 1)"""
    known = from_noise_form(q.gaussian if isinstance(q, GaussianAndOneHot) else q)
    if isinstance(known, DiagonalNormal):
        loc, scale = known.base_dist.loc, known.base_dist.scale
    elif isinstance(known, FullNormal):
        loc, scale = known.loc, known.scale_tril.diagonal(dim1=-2, dim2=-1)
    else:
        return torch.zeros(1, 1)
    return (scale < torch.finfo(loc.dtype).eps * loc.abs()).double()


def summary(weights: Weights, population: int) -> tuple[float, float | None, str, dict[str, Any]]:
    """Mean of ln mean w over images, its standard error, a warning where ESS is small, and the ESS."""
    effective = weights.effective
    value, stderr = average(weights.log_mean, weights.variance if weights.count > 1 else None, population)
    few = int((effective < FEW_EFFECTIVE).sum())
    details: dict[str, Any] = {
        "effective_sample_size": {"mean": float(effective.mean()), "least": float(effective.min())}
    }
    note = f"mean effective sample size {float(effective.mean()):.1f} of {weights.count}"
    if weights.refined is not None:
        details["refined"] = weights.refined
        note += f", half of them from a q fitted to the image, better on {weights.refined:.0%}"
    if few > 0 and weights.count > 1:
        note += f"; it is below {FEW_EFFECTIVE:.0f} on {few:,} of {len(effective):,} images, where the error is a guess"
    if weights.rounded > 0:
        note += f"; σ of q(z|x) is below the rounding of μ on {weights.rounded:.0%} of the latents"
        note += ", where a draw is μ and the number is wrong: score the model in float64"
    return value, stderr, note, details

"""What popular code would have printed for this very model, beside what evaluators say of it (catalogue, B-evaluation).

None of these numbers is an estimate of what its name promises. Likelihoods have the sign of `elbo` and `log_likelihood`
and are taken on their draws, so that the difference from those is what the shortcut adds and nothing else.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal
from torch.distributions import ContinuousBernoulli as TorchContinuousBernoulli

from vaebench.metrics.answer import Answer, NotApplicable, average, average_of_batches, mean_and_variance
from vaebench.metrics.code_parts import code_parts
from vaebench.metrics.draws import draw, posterior_mean
from vaebench.metrics.importance import log_weights
from vaebench.metrics.kl import analytic_kl, monte_carlo_kl
from vaebench.metrics.mi_lower_bound import at_the_priors_entropy, read_of_encoder
from vaebench.metrics.subject import Block, Subject
from vaebench.models.likelihoods.continuous_bernoulli import ContinuousBernoulli
from vaebench.models.mixed import category_of
from vaebench.models.point import NoDensity

REPEATS = 2
"""Popular code prints one repetition. The mean of two has the same expectation, and tells its error."""

READER = "reader_"
"""Begins the settings of Q in the protocol; the rest of their names is that of `mi_lower_bound`."""

Claim = Callable[[Subject, dict[str, Any]], Answer]


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer | NotApplicable]:
    return [_asked(part, of, subject, protocol) for part, of in PARTS.items()]


def _asked(part: str, of: Claim, subject: Subject, protocol: dict[str, Any]) -> Answer | NotApplicable:
    try:
        return replace(of(subject, protocol), part=part)
    except (NotApplicable, NoDensity) as reason:
        return NotApplicable(str(reason), part=part)


def at_mean(subject: Subject, protocol: dict[str, Any]) -> Answer:
    """1/N Σ_i ln p(x_i|z = E_q[z]) − KL(q(z|x_i) ‖ p(z)): the ELBO with the mean of q in place of draws from it."""
    prior = subject.model.prior()
    values = []
    for model, x, keys in subject.blocks(subject.images(protocol), REPEATS, "elbo", protocol["seed"]):
        q = model.posterior(x)
        if category_of(q) is not None:
            raise NotApplicable("the mean of one-hot codes is no code")
        z = draw(q, keys, 0, REPEATS)
        closed = analytic_kl(q, prior)
        divergence = monte_carlo_kl(q, prior, z) if closed is None else closed.expand(REPEATS, -1)
        values.append(model.likelihood(posterior_mean(q, keys)).log_prob(x) - divergence)
    return Answer(*average(*mean_and_variance(torch.cat(values, dim=1)), subject.population(protocol)))


def surrogate(subject: Subject, protocol: dict[str, Any]) -> Answer:
    """1/N Σ_i Σ_k w̃_k ln w_k, w̃_k = w_k/Σ_j w_j: what IWAE code takes the gradient of, printed as the bound. On the
    images of `log_likelihood`, and with as many draws, so that the two differ in nothing else."""
    protocol = {**protocol, "images": protocol["surrogate_images"]}
    prior, samples = subject.model.prior(), protocol["samples"]
    values, bounds = [], []
    for block in subject.blocks(subject.images(protocol), samples, "importance", protocol["seed"]):
        step = max(1, subject.rows // len(block.x))
        q = block.model.posterior(block.x)
        weights = log_weights(block, q, prior, REPEATS * samples, step, lambda p, x: p.log_prob(x))
        drawn = torch.cat(list(weights)).reshape(REPEATS, samples, -1)
        values.append(weighted_log_weight(drawn))
        bounds.append(drawn.logsumexp(-2) - math.log(samples))
    value, stderr = average(*mean_and_variance(torch.cat(values, dim=-1)), subject.population(protocol))
    bound = float(torch.cat(bounds, dim=-1).mean())
    return Answer(value, stderr, note=f"the bound of these {samples} draws is {bound:.6g}", details={"bound": bound})


def weighted_log_weight(log_weights: Tensor) -> Tensor:
    """Σ_k w̃_k ln w_k; (…, draw, image) → (…, image). It is ln Σ w less the entropy of w̃, which is ln K at most, so
    never below ln 1/K Σ w."""
    return (log_weights.softmax(dim=-2) * log_weights).sum(-2)


def batch_sigma(subject: Subject, protocol: dict[str, Any]) -> Answer:
    """The ELBO with, in every batch, the σ² of greatest likelihood of that batch: σ² = 1/(n D) Σ_i ‖x_i − μ(z_i)‖²,
    where the mean of ln p(x|z) is −D/2 (ln 2πσ² + 1). Batches follow each other in the order of the split."""
    floor = protocol.get("sigma_floor", 0.0)
    seen: list[Tensor] = []

    def squared_error(p: Distribution, x: Tensor) -> Tensor:
        sigmas = _sigmas(p)
        seen.append(sigmas.flatten()[0])
        if bool((sigmas != seen[0]).any()):
            raise NotApplicable("p(x|z) has more than one σ")
        return (x - p.mean).square().sum(-1)

    errors, divergences = _at_draws(subject, protocol, squared_error)
    batches = list(zip(errors.split(protocol["batch"], 1), divergences.split(protocol["batch"], 1), strict=True))
    pixels = subject.source.pixels
    values = [log_density_at_own_sigma(error, pixels, floor) - kl.mean(1) for error, kl in batches]
    sizes = [error.shape[1] for error, _ in batches]
    return Answer(*average_of_batches(torch.stack(values, dim=1), sizes, subject.population(protocol)))


def log_density_at_own_sigma(squared_error: Tensor, pixels: int, floor: float) -> Tensor:
    """−½ (e/σ² + D ln 2πσ²), e the mean of the squared errors and σ² = max(e/D, floor²); (…, image) → (…,)"""
    error = squared_error.double().mean(-1)
    variance = (error / pixels).clamp_min(floor**2)
    return -0.5 * (error / variance + pixels * (variance.log() + math.log(2.0 * math.pi)))


def _sigmas(p: Distribution) -> Tensor:
    if isinstance(p, Independent) and p.reinterpreted_batch_ndims == 1 and isinstance(p.base_dist, Normal):
        return p.base_dist.scale
    raise NotApplicable("p(x|z) is no Gaussian with independent pixels")


def grey_cross_entropy(subject: Subject, protocol: dict[str, Any]) -> Answer:
    """1/N Σ_i E_q[Σ_d x_d ln π_d + (1 − x_d) ln(1 − π_d)] − KL(q(z|x_i) ‖ p(z)), whose negative is printed as a loss"""
    if subject.source.view_name not in ("grey", "dequantised"):
        raise NotApplicable("on black and white pixels the cross-entropy is the true −ln p(x|z)")
    entropies, divergences = _at_draws(subject, protocol, cross_entropy)
    return Answer(*average(*mean_and_variance(-entropies - divergences), subject.population(protocol)))


def cross_entropy(p: Distribution, x: Tensor) -> Tensor:
    """−Σ_d x_d ln π_d + (1 − x_d) ln(1 − π_d) = Σ_d softplus(l_d) − x_d l_d; (…, image)"""
    base = p.base_dist if isinstance(p, Independent) and p.reinterpreted_batch_ndims == 1 else None
    if not isinstance(base, Bernoulli | TorchContinuousBernoulli | ContinuousBernoulli):
        raise NotApplicable("p(x|z) has no logits of independent pixels")
    return (torch.nn.functional.softplus(base.logits) - x * base.logits).sum(-1)


def prior_entropy(subject: Subject, protocol: dict[str, Any]) -> Answer:
    """E[ln Q(z|x)] + H(p(z)), z ~ q(z|x_i) and x ~ p(x|z): printed as a bound on the information of the code, but the
    codes that Q reads have the entropy of q(z), not the prior's (Serdega 2019, eq. 4.8). Of a code with a category the
    category alone, as that code does."""
    reader = {name.removeprefix(READER): value for name, value in protocol.items() if name.startswith(READER)}
    reader |= {"split": protocol["split"], "seed": protocol["seed"]}
    latents, category = code_parts(subject.model.prior())
    if category is None:
        return at_the_priors_entropy(subject, reader, latents, read_of_encoder(subject, reader).lesson)
    first = latents.event_shape[0]
    return at_the_priors_entropy(subject, reader, category, read_of_encoder(subject, reader, first).lesson)


def _at_draws(
    subject: Subject, protocol: dict[str, Any], of_decoded: Callable[[Distribution, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """A number of each decoded image, (p(x|z), x) → (draw, image), and the KL of its posterior; (draw, image) each"""
    prior = subject.model.prior()

    def asked(block: Block) -> tuple[Tensor, Tensor]:
        q = block.model.posterior(block.x)
        z = draw(q, block.keys, 0, REPEATS)
        closed = analytic_kl(q, prior)
        kl = monte_carlo_kl(q, prior, z) if closed is None else closed.expand(z.shape[:-1])
        return of_decoded(block.model.likelihood(z), block.x), kl

    blocks = [asked(block) for block in subject.blocks(subject.images(protocol), REPEATS, "elbo", protocol["seed"])]
    numbers, divergences = zip(*blocks, strict=True)
    return torch.cat(numbers, dim=1), torch.cat(divergences, dim=1)


PARTS: dict[str, Claim] = {
    "at_mean": at_mean,
    "surrogate": surrogate,
    "batch_sigma": batch_sigma,
    "grey_cross_entropy": grey_cross_entropy,
    "prior_entropy": prior_entropy,
}

"""The information that codes have of the images, and the other parts of the KL from the prior (Hoffman & Johnson 2016;
Chen et al. 2018): with q(z) the aggregate posterior of the whole split,

    E KL(q(z|x) ‖ p(z)) = E[ln q(z|x) − ln q(z)] + E[ln q(z) − Σ_u ln q(z_u)] + E[Σ_u ln q(z_u) − ln p(z_u)].
"""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal

from vaebench.metrics.aggregate import COSTLY_DRAWS, Aggregate, is_at_cap, pairs_at_once
from vaebench.metrics.answer import Answer, NotApplicable, average, mean_and_variance
from vaebench.metrics.categories import information
from vaebench.metrics.draws import draw
from vaebench.metrics.subject import Subject
from vaebench.models.mixed import GaussianAndOneHot, OneHot
from vaebench.store.record import AT_CAP


class Codes(NamedTuple):
    """Draws from the posteriors of a split; draws of all images stand behind each other."""

    aggregate: Aggregate
    z: Tensor
    """Continuous latents; (row, latent)"""
    image: Tensor
    """Of the split; (row,)"""
    draws: int
    """An image"""


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer | NotApplicable]:
    """All parts on the same draws, L an image, so that their sums are the Monte Carlo KL."""
    codes = _codes(subject, protocol)
    aggregate, z, image, _ = codes
    prior = subject.model.prior()
    own, joint = aggregate.log_densities(z, image)
    log_prior = aggregate.log_prior(prior, z, image)
    head = _answer(codes, own - joint)
    capped = is_at_cap(head.value, aggregate.count)
    answers: list[Answer | NotApplicable] = [
        _marked(head, capped, aggregate.count),
        _marked(_answer(codes, joint - log_prior, "aggregate_kl"), capped, aggregate.count),
    ]
    try:
        marginals = aggregate.log_marginals(z, image)
    except NotApplicable as reason:
        answers += [NotApplicable(str(reason), part) for part in ("total_correlation", "dimension_kl")]
    else:
        answers.append(_marked(_answer(codes, joint - marginals, "total_correlation"), capped, aggregate.count))
        if factorises(prior):
            answers.append(_answer(codes, marginals - log_prior, "dimension_kl"))
        else:
            answers.append(NotApplicable("the prior does not factorise", "dimension_kl"))
    return [*answers, _of_category(aggregate)]


def factorises(prior: Distribution) -> bool:
    """Whether ln p(z) = Σ_u ln p(z_u), a category being one latent."""
    if isinstance(prior, OneHot | GaussianAndOneHot):
        return True
    if isinstance(prior, MultivariateNormal):
        return bool((prior.scale_tril.tril(-1) == 0).all())
    one_number_each = isinstance(prior, Independent) and not prior.base_dist.event_shape
    return one_number_each and len(prior.event_shape) == 1


def _codes(subject: Subject, protocol: dict[str, Any]) -> Codes:
    """L draws of every image. Where densities are costly, one of each of a few images; of a category, none."""
    samples, posteriors, draws = protocol["samples"], [], []
    for model, x, keys in subject.blocks(subject.split(protocol["split"]), 1, "mutual_information", protocol["seed"]):
        q = model.posterior(x)
        posteriors.append(q)
        draws.append(draw(q, keys, 0, samples))
    aggregate = Aggregate.of(posteriors, pairs_at_once(subject))
    z = torch.cat(draws, dim=1)[..., : aggregate.latents]
    image = torch.arange(z.shape[1], device=z.device)
    if aggregate.costly:
        image = subject.index({**protocol, "images": COSTLY_DRAWS}).to(z.device)
        return Codes(aggregate, z[0, image], image, 1)
    if aggregate.latents == 0:
        return Codes(aggregate, z[0], image, 1)
    return Codes(aggregate, z.flatten(0, 1), image.repeat(samples), samples)


def _answer(codes: Codes, terms: Tensor, part: str = "") -> Answer:
    """Mean over draws and images; terms: (row,)"""
    aggregate, _, image, draws = codes
    if aggregate.costly:
        # the images are a sample of the split: their spread, which holds that of the draws, is the error
        stderr = float(terms.std()) / math.sqrt(len(image)) if len(image) > 1 else None
        return Answer(float(terms.mean()), stderr, part, f"on {len(image)} draws, one of each of as many images")
    mean, variance = mean_and_variance(terms.reshape(draws, -1))
    if aggregate.latents == 0:
        variance = torch.zeros_like(mean)
    if variance is None and len(mean) > 1:
        # draws of different images are independent: their spread holds that of the images too, so it is no less than s²
        stderr = float(mean.std()) / math.sqrt(len(mean))
        return Answer(
            float(mean.mean()), stderr, part, "from one draw an image: the error holds the images' spread too"
        )
    value, stderr = average(mean, variance, aggregate.count)
    return Answer(value, stderr, part)


def _marked(answer: Answer, capped: bool, images: int) -> Answer:
    if not capped:
        return answer
    mark = f"{AT_CAP}: from {images} images no code can show more information than ln {images} = {math.log(images):.2f}"
    return replace(answer, note="; ".join(filter(None, (mark, answer.note))))


def _of_category(aggregate: Aggregate) -> Answer | NotApplicable:
    """I_q(x; c), exactly."""
    if aggregate.log_categories is None:
        return NotApplicable("q(z|x) has no categorical code", "code")
    value = information(aggregate.log_categories.exp())
    return _marked(Answer(value, 0.0, part="code"), is_at_cap(value, aggregate.count), aggregate.count)

"""KL(q(z|x) ‖ p(z)), averaged over images; of a code with a category, the category's share."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from vaebench.metrics.answer import Answer, NotApplicable, average, mean_and_variance
from vaebench.metrics.draws import draw
from vaebench.metrics.subject import Subject
from vaebench.models.distributions import DiagonalNormal, kl_by_latent
from vaebench.models.mixed import GaussianAndOneHot, OneHot


def analytic_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL in closed form, or None where there is none; (image,)"""
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return None


def monte_carlo_kl(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """ln q(z|x) − ln p(z); (draw, image)"""
    return q.log_prob(z) - p.log_prob(z)


def kl_parts(q: Distribution, p: Distribution) -> Tensor | None:
    """KL of each latent where both factorise, a category being the last; (image, latent)"""
    if isinstance(q, GaussianAndOneHot) and isinstance(p, GaussianAndOneHot):
        category = kl_divergence(q.category, p.category).unsqueeze(-1)
        return torch.cat([kl_by_latent(q.gaussian, p.gaussian), category], dim=-1)
    if isinstance(q, DiagonalNormal) and isinstance(p, DiagonalNormal):
        return kl_by_latent(q, p)
    return None


def kl_of_category(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q(c|x) ‖ p(c)), None of a code without a category; (image,)"""
    if isinstance(q, GaussianAndOneHot) and isinstance(p, GaussianAndOneHot):
        q, p = q.category, p.category
    return kl_divergence(q, p) if isinstance(q, OneHot) and isinstance(p, OneHot) else None


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer | NotApplicable]:
    images = subject.images(protocol)
    prior = subject.model.prior()
    values, variances, by_latent, of_category, analytic = [], [], [], [], True
    for model, x, keys in subject.blocks(images, protocol["samples"], "kl", protocol["seed"]):
        q = model.posterior(x)
        kl = analytic_kl(q, prior)
        if kl is None:
            analytic = False
            mean, variance = mean_and_variance(monte_carlo_kl(q, prior, draw(q, keys, 0, protocol["samples"])))
        else:
            mean, variance = kl, torch.zeros_like(kl)
        values.append(mean)
        variances.append(variance)
        parts = kl_parts(q, prior)
        if parts is not None:
            by_latent.append(parts.double().sum(0))
        category = kl_of_category(q, prior)
        if category is not None:
            of_category.append(category)
    spread = None if any(variance is None for variance in variances) else torch.cat(variances)  # type: ignore[arg-type]
    value, stderr = average(torch.cat(values), spread, subject.population(protocol))
    details = {"by_latent": (torch.stack(by_latent).sum(0) / len(images)).tolist()} if by_latent else {}
    whole = Answer(value, stderr, note="" if analytic else "Monte Carlo: it has no closed form", details=details)
    if not of_category:
        return [whole, NotApplicable("the code has no category", "code")]
    exact = torch.cat(of_category)
    value, stderr = average(exact, torch.zeros_like(exact), subject.population(protocol))
    return [whole, Answer(value, stderr, part="code")]

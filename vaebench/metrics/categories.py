"""What evaluators know of codes with a category: its sums are taken over all values, not over draws."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.metrics.answer import NotApplicable, told_numbers
from vaebench.metrics.subject import Images, Subject
from vaebench.models.contract import LatentVariableModel
from vaebench.models.mixed import OneHot, category_of

MOST_CATEGORIES = 100
"""Above this many, sums over the values of a category are left to draws."""


def expected_log_likelihood(
    model: LatentVariableModel,
    q: Distribution,
    z: Tensor,
    x: Tensor,
    log_density: Callable[[Distribution, Tensor], Tensor] = lambda p, x: p.log_prob(x),
) -> Tensor:
    """ln p(x|z) at the draws z of q, a category among the latents summed over: Σ_c q(c|x) ln p(x|z, c); (draw, image)

    Where the category is all there is, one pass over its values serves every draw. `log_density`, (p(x|z), x) →
    (…, draw, image), may say more than one number of each decoded code.
    """
    category = category_of(q)
    if category is None or category.noise_size > MOST_CATEGORIES:
        return log_density(model.likelihood(z), x)
    count = category.noise_size
    alone = z.shape[-1] == count
    others = (z[:1] if alone else z)[..., :-count]
    total = z.new_zeros(())
    for code, weight in zip(torch.eye(count, dtype=z.dtype, device=z.device), category.mean.unbind(-1), strict=True):
        codes = torch.cat([others, code.expand(*others.shape[:-1], -1)], dim=-1)
        total = total + weight * log_density(model.likelihood(codes), x)
    return total.expand(*total.shape[:-2], *z.shape[:-1])


def category_probabilities(subject: Subject, images: Images) -> Tensor:
    """q(c|x) of each image; (image, category), float64"""
    blocks = subject.blocks(images, 1)
    probabilities = torch.cat([_category(block.model.posterior(block.x)).mean.double() for block in blocks])
    return told_numbers(probabilities, "q(c|x)")


def _category(q: Distribution) -> OneHot:
    category = category_of(q)
    if category is None:
        raise NotApplicable("q(z|x) has no categorical code")
    return category


def entropy(probabilities: Tensor) -> Tensor:
    """−Σ_k p_k ln p_k; (…,)"""
    return -torch.special.xlogy(probabilities, probabilities).sum(-1)


def information(probabilities: Tensor) -> float:
    """I_q(x; c) = 1/N Σ_i KL(q(c|x_i) ‖ q(c)), q(c) = 1/N Σ_i q(c|x_i): the entropy of the mean less the mean entropy,
    over a finite set of images, so at most ln K and ln N; probabilities: (image, category)"""
    return float(entropy(probabilities.mean(0)) - entropy(probabilities).mean())

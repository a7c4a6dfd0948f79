"""A code in two parts: continuous latents, and behind them perhaps a category, which is summed over exactly."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.metrics.answer import NotApplicable
from vaebench.metrics.categories import MOST_CATEGORIES
from vaebench.models.contract import LatentVariableModel
from vaebench.models.mixed import GaussianAndOneHot, OneHot
from vaebench.models.mixtures import EqualMixture


def code_parts(distribution: Distribution) -> tuple[Distribution, OneHot | None]:
    """Of the continuous latents, and of the category behind them if there is one; not applicable where it is too long
    a sum to be taken at every z."""
    if not isinstance(distribution, GaussianAndOneHot):
        return distribution, None
    count = distribution.category.noise_size
    if count > MOST_CATEGORIES:
        raise NotApplicable(f"it would sum over {count} categories at every z, more than {MOST_CATEGORIES}")
    return distribution.gaussian, distribution.category


def decoded_per_code(prior: Distribution, pixels: int) -> int:
    """Decoded images that one code takes the room of: one for each category, or what a mixture compares with it."""
    continuous, category = code_parts(prior)
    compared = continuous.count * int(continuous.event_shape[0]) if isinstance(continuous, EqualMixture) else 0
    return max(1 if category is None else category.noise_size, math.ceil(compared / pixels))


def log_joint_by_category(model: LatentVariableModel, category: OneHot | None, z: Tensor, x: Tensor) -> Tensor:
    """ln p(c) + ln p(x|z, c) for every c, or ln p(x|z) where there is no category; (category or 1, draw, image)

    z: the continuous part, (draw, image, latent), of no latents where the category is all there is.
    """
    if category is None:
        return model.likelihood(z).log_prob(x).unsqueeze(0)
    count = category.noise_size
    one_hot = torch.eye(count, dtype=category.dtype, device=z.device)[:, None, None]
    codes = torch.cat([z.expand(count, *z.shape), one_hot.expand(count, *z.shape[:-1], count)], dim=-1)
    return category.log_probs[:, None, None] + model.likelihood(codes).log_prob(x)


def log_joint_of_category(model: LatentVariableModel, category: OneHot, x: Tensor) -> Tensor:
    """ln p(c) + ln p(x|c) of a code that is nothing but a category; (category, image), float64"""
    return log_joint_by_category(model, category, x.new_empty(1, len(x), 0), x)[:, 0].double()

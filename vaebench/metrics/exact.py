"""Is a model's own ln p(x) that of its prior, posterior and likelihood?"""

import math

import torch
from torch import Tensor

from vaebench.metrics.fitness import is_counting

CERTAIN = 20.0
"""What chance alone exceeds with a probability of e^-20 at most."""
ROUNDING = 3e-4
"""Of |ln p(x)| and of a nat a pixel: how far two ways to the same number may lie apart on the average image."""
ABOVE = 1e-3
"""Nats by which rounding may lift a probability above 1."""


def refusal(exact: Tensor, log_weights: Tensor | None, pixels: int, view: str | None) -> str | None:
    """Why `exact` is not ln p(x); None: no reason seen. exact: (image,); log_weights: ln p(x, z)/q(z|x), z ~ q(z|x),
    (draw, image), None where there are none. The images are different ones, so that their draws are independent.

    A probability is 1 at most. And E[Π_i p̂(x_i)/p(x_i)] = 1 with p̂ the mean weight, so by Markov's inequality

        Σ_i ln p̂(x_i) − ln p(x_i) > 20    with probability e^-20 at most,

    as is the term of a single image. Too high an ln p(x) of a density, and one that is too low by less than the
    weights' own bound lacks, cannot be told from right ones.
    """
    if view is not None and is_counting(view) and bool((exact > ABOVE).any()):
        return f"must be ln p(x), which on the view {view} is at most 0, is {float(exact.max()):.3g} on an image"
    if log_weights is None:
        return None
    excess = excesses(exact, log_weights, pixels)
    worst, mean = float(excess.max()), float(excess.mean())
    if worst > CERTAIN:
        return f"must be ln p(x), exactly; prior, posterior and likelihood give an image {worst:.3g} nats more"
    if mean * len(excess) > CERTAIN:
        return (
            f"must be ln p(x), exactly; prior, posterior and likelihood give {mean:.3g} nats more, a mean over images"
        )
    return None


def excesses(exact: Tensor, log_weights: Tensor, pixels: int) -> Tensor:
    """ln p̂(x) − ln p(x) less what rounding may be of it; (draw, image), (image,) → (image,)"""
    exact = exact.double()
    estimate = log_weights.double().logsumexp(0) - math.log(len(log_weights))
    return estimate - exact - ROUNDING * (exact.abs() + pixels)


def first_of_each(keys: Tensor) -> Tensor:
    """Where each stream comes first: images that are equal meet the same draws. keys: (image,)"""
    _, which = keys.unique(return_inverse=True)
    places = torch.arange(len(keys), device=keys.device)
    first = torch.full((int(which.max()) + 1,), len(keys), device=keys.device)
    return first.scatter_reduce(0, which, places, "amin").sort().values

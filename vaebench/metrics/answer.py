"""What an evaluator returns, and how averages over images get their standard error."""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


class NotApplicable(Exception):
    """The question makes no sense for this model or view; the message says why.

    Raised, it is the answer to the whole question; among the answers, that of one part.
    """

    def __init__(self, reason: str, part: str = "") -> None:
        super().__init__(reason)
        self.part = part


def in_short(message: str) -> str:
    """torch's complaint about a value, without the tensors that it shows"""
    return re.sub(r"tensor\(\[.*?\]\)", "…", message.partition(", but found invalid values")[0], flags=re.DOTALL)


def told_numbers(values: Tensor, what: str) -> Tensor:
    """The values, unless one is NaN: comparisons, counts and the argmax would turn that into a number.

    values: (image, …)
    """
    bad = values.isnan().flatten(1).any(1)
    if bool(bad.any()):
        raise ArithmeticError(f"{what} is NaN on {int(bad.sum())} of {len(bad)} images")
    return values


@dataclass(frozen=True)
class Answer:
    value: float
    stderr: float | None
    """Monte Carlo standard error at fixed images; for a subset of images with their sampling error; None: unknown."""
    part: str = ""
    """What stands behind the dot of the metric's name; empty for the bare name."""
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def average(values: Tensor, variances: Tensor | None, population: int) -> tuple[float, float | None]:
    """Mean over images and its standard error; values, variances: (image,).

    `variances` are those of each image's Monte Carlo estimate (None: unknown). Where the images are a subset of n
    out of N = `population`, the sampling error of the images, with its finite-population factor, is added:

        se² = 1/n² Σ_i s_i² + (1 − n/N) (S² − mean s²)/n,  S² the variance of the values over the images.
    """
    count = len(values)
    values = values.double()
    mean = float(values.mean())
    if variances is None:
        return mean, None
    squared = float(variances.double().sum()) / count**2
    if count < population:
        between = float(values.var(unbiased=True)) - float(variances.double().mean()) if count > 1 else math.nan
        squared += (1.0 - count / population) * max(between, 0.0) / count
    return mean, math.sqrt(squared)


def mean_and_variance(draws: Tensor) -> tuple[Tensor, Tensor | None]:
    """Mean over L draws and the variance of that mean; draws: (draw, image). L = 1 tells nothing of the variance."""
    draws = draws.double()
    count = draws.shape[0]
    return draws.mean(0), draws.var(0, unbiased=True) / count if count > 1 else None


def variance_of_log_mean(log_weights: Tensor) -> Tensor:
    """Of ln mean w, by the jackknife: (K − 1)/K Σ_k (θ_k − mean θ)², θ_k = ln mean w without draw k;
    (…, draw, image) → (…, image), NaN for one draw.

    θ_k is ln(1 − w_k/Σw) and a constant. Without the largest weight it is taken from the others' own sum, since there
    the difference cancels. The delta method gives the same where weights differ little, but never more than 1: where
    one draw outweighs the others by many nats it hides how far they are apart.
    """
    count = log_weights.shape[-2]
    if count == 1:
        return torch.full_like(log_weights.sum(-2), math.nan)
    log_share = log_weights - log_weights.logsumexp(-2, keepdim=True)
    largest = log_share.argmax(-2, keepdim=True)
    others = log_share.scatter(-2, largest, -math.inf).logsumexp(-2, keepdim=True)
    left_out = torch.where(log_share > math.log(0.75), others, torch.log1p(-log_share.exp()))
    left_out = left_out - left_out.narrow(-2, 0, 1)  # equal ones have no variance, not even by rounding
    return (count - 1) / count * (left_out - left_out.mean(-2, keepdim=True)).square().sum(-2)


def average_of_batches(values: Tensor, sizes: list[int], population: int) -> tuple[float, float | None]:
    """Mean over images of what is known of batches of `sizes` images, and its standard error; values: (draw, batch)"""
    share = torch.tensor(sizes, dtype=torch.float64, device=values.device) / sum(sizes)
    mean, variance = mean_and_variance(values * share * len(sizes))
    return average(mean, variance, round(population * len(sizes) / sum(sizes)))

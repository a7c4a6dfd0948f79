"""What an evaluator returns, and how averages over images get their standard error."""

import math
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


def average_of_batches(values: Tensor, sizes: list[int], population: int) -> tuple[float, float | None]:
    """Mean over images of what is known of batches of `sizes` images, and its standard error; values: (draw, batch)"""
    share = torch.tensor(sizes, dtype=torch.float64, device=values.device) / sum(sizes)
    mean, variance = mean_and_variance(values * share * len(sizes))
    return average(mean, variance, round(population * len(sizes) / sum(sizes)))

"""What a model observes of a data set: k = 0 … L − 1 is a pixel's grey level, u a uniform draw."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class View:
    """How x comes from k."""

    observe: Callable[[Tensor, int, Tensor], Tensor]
    """(k as floats, L, u) → x"""
    draws: bool = False
    """Whether x depends on u."""
    anew: bool = False
    """Whether u is drawn anew at every training visit; else once for all."""


def bernoulli(k: Tensor, levels: int, u: Tensor) -> Tensor:
    """x ~ Bernoulli(k/(L−1))"""
    return (u < k / (levels - 1)).to(k.dtype)


def threshold(k: Tensor, levels: int, u: Tensor) -> Tensor:
    """x = 1[k ≥ L/2]"""
    return (k >= levels / 2).to(k.dtype)


def grey(k: Tensor, levels: int, u: Tensor) -> Tensor:
    """x = k/(L−1)"""
    return k / (levels - 1)


def dequantised(k: Tensor, levels: int, u: Tensor) -> Tensor:
    """x = (k + u)/L"""
    return (k + u) / levels


def real(k: Tensor, levels: int, u: Tensor) -> Tensor:
    """x itself"""
    return k


VIEWS = {
    "binary": View(bernoulli, draws=True, anew=True),
    "static-binary": View(bernoulli, draws=True),
    "threshold": View(threshold),
    "grey": View(grey),
    "dequantised": View(dequantised, draws=True, anew=True),
    "real": View(real),
}


def bins(x: Tensor, levels: int, view: str) -> tuple[Tensor, Tensor]:
    """Lower and upper edge of the bin of grey level that each pixel of `x` lies in; the outer bins are open.

    grey: [(k−½)/(L−1), (k+½)/(L−1)]; dequantised: [k/L, (k+1)/L].
    """
    if view == "grey":
        k = torch.round(x * (levels - 1))
        lower, upper = (k - 0.5) / (levels - 1), (k + 0.5) / (levels - 1)
    else:
        k = torch.clamp(torch.floor(x * levels), 0, levels - 1)
        lower, upper = k / levels, (k + 1) / levels
    return lower.masked_fill(k <= 0, -torch.inf), upper.masked_fill(k >= levels - 1, torch.inf)

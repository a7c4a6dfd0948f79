"""Draws from a linear-Gaussian model whose ln p(x) is known, the truth that likelihood evaluators must find."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vaebench.data import streams
from vaebench.data.dataset import Dataset, Split

PIXELS, LATENTS = 20, 5
SIZES = {"train": 5000, "validation": 1000, "test": 1000}


@dataclass(frozen=True)
class Truth:
    """x = W z + μ + σ ε with z ~ N(0, I), ε ~ N(0, I); so x ~ N(μ, W Wᵀ + σ² I)."""

    weights: Tensor
    """W; (pixel, latent), float64."""
    mean: Tensor
    """μ; (pixel,)."""
    sigma: float


def truth() -> Truth:
    weights = streams.normal(torch.tensor(streams.key("linear-gaussian", "weights")), 0, PIXELS, LATENTS, torch.float64)
    mean = streams.normal(torch.tensor(streams.key("linear-gaussian", "mean")), 0, 1, PIXELS, torch.float64)[0]
    return Truth(weights, mean, sigma=0.5)


def load(name: str, root: Path | None = None) -> Dataset:
    known = truth()
    splits = {}
    for split, size in SIZES.items():
        z = streams.normal(torch.tensor(streams.key("linear-gaussian", split, "z")), 0, size, LATENTS, torch.float64)
        noise = torch.tensor(streams.key("linear-gaussian", split, "noise"))
        epsilon = streams.normal(noise, 0, size, PIXELS, torch.float64)
        splits[split] = Split(z @ known.weights.T + known.mean + known.sigma * epsilon)
    return Dataset(name, splits, pixels=PIXELS, side=None, levels=None)

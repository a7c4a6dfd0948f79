"""Integrals over the plane by Gauss and Legendre's rule on panels that widen with their distance from a centre."""

import numpy as np
import torch
from torch import Tensor

PANEL = 8
"""Nodes of a panel."""
DISTANCES = 10.0 ** np.arange(-3.0, 3.01, 0.5)
EDGES = (0.0, 1.0)
"""Where a density of pixels may jump."""
EVERYWHERE = (-np.inf, np.inf)


def line(centre: float, within: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Nodes and logarithms of their weights, from −10³ to 10³ about the centre, cut off at `within`; (node,) each"""
    ends = np.concatenate([centre - DISTANCES, [centre], centre + DISTANCES, EDGES])
    return panels(np.unique(ends.clip(*within)), PANEL)


def panels(ends: np.ndarray, count: int) -> tuple[Tensor, Tensor]:
    """`count` nodes between each two neighbours of `ends`, which rise."""
    unit, weight = np.polynomial.legendre.leggauss(count)
    half, middle = 0.5 * np.diff(ends), 0.5 * (ends[1:] + ends[:-1])
    nodes = middle[:, None] + half[:, None] * unit
    weights = half[:, None] * weight
    return torch.tensor(nodes.ravel()), torch.tensor(np.log(weights).ravel())


def plane(centre: Tensor, within: tuple[float, float] = EVERYWHERE) -> tuple[Tensor, Tensor]:
    """Nodes (node, 2) and logarithms of their weights (node,) about a centre (2,), in the square of side `within`"""
    (first, first_weight), (second, second_weight) = (line(float(place), within) for place in centre)
    return torch.cartesian_prod(first, second), torch.cartesian_prod(first_weight, second_weight).sum(-1)


def grid(values: Tensor, size: int) -> Tensor:
    """Every row of `size` of the values; (row, size)"""
    return torch.cartesian_prod(*[values] * size)

"""Q(z|x): a network that reads the code off an image, taught on draws from the model (Barber & Agakov 2003)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vaebench.data import streams
from vaebench.data.dataset import Shape
from vaebench.models.given import beside
from vaebench.models.mixed import OneHot
from vaebench.models.networks.mlp import Mlp
from vaebench.models.posteriors.diagonal_gaussian import DiagonalGaussian
from vaebench.models.posteriors.full_gaussian import FullGaussian

COVARIANCES: dict[str, Callable[..., nn.Module]] = {"diagonal": DiagonalGaussian, "full": FullGaussian}
"""Of Q's Gaussian part, by the names of the protocol."""
CHECKPOINTS = 4
"""Times at which the held-out draws are read, the last of them at the end."""
MEMORY = 0.05
"""Of all steps, the share that the average of weights remembers."""


class Pairs(NamedTuple):
    """Codes and images drawn from them."""

    z: Tensor
    """(row, latent), a category last and one-hot"""
    x: Tensor
    """x ~ p(x|z), or p(x|z, y); (row, pixel)"""
    y: Tensor | None
    """Labels where the model is given them; (row,)"""


class Reader(nn.Module):
    """Q(z|x) = N(z; μ_Q(x), Σ_Q(x)) Q(c|x), each factor where the code has such a part; a label that the model is given
    Q sees too.

    It works in units in which the first pairs have mean 0, and z deviation 1 in every latent, x on average.
    """

    def __init__(self, first: Pairs, categories: int, classes: int, hidden: Sequence[int], covariance: str) -> None:
        super().__init__()
        self.latents = first.z.shape[-1] - categories
        self.classes = classes
        self.encoder = Mlp(list(hidden), "relu", "torch").encoder(Shape(first.x.shape[-1]), classes)
        self.gaussian = COVARIANCES[covariance](self.encoder, self.latents) if self.latents > 0 else None
        self.category = self.encoder.vector_head(categories) if categories > 0 else None
        latents = first.z[:, : self.latents]
        self.register_buffer("z_mean", latents.mean(0))
        self.register_buffer("z_scale", _unit(_variances(latents)))
        self.register_buffer("x_mean", first.x.mean(0))
        self.register_buffer("x_scale", _unit(_variances(first.x).mean()))

    z_mean: Tensor
    z_scale: Tensor
    x_mean: Tensor
    x_scale: Tensor

    def log_prob(self, pairs: Pairs) -> Tensor:
        """ln Q(z|x); (row,)"""
        features = self.encoder(beside((pairs.x - self.x_mean) / self.x_scale, pairs.y, self.classes))
        total = features.new_zeros(len(features))
        if self.gaussian is not None:
            standard = (pairs.z[:, : self.latents] - self.z_mean) / self.z_scale
            total = total + self.gaussian(features).log_prob(standard) - self.z_scale.log().sum()
        if self.category is not None:
            total = total + OneHot(self.category(features)).log_prob(pairs.z[:, self.latents :])
        return total


class Lesson(NamedTuple):
    """What Q makes of the held-out draws while it learns."""

    steps: list[int]
    """After which each checkpoint was taken"""
    log_prob: Tensor
    """ln Q(z|x) of the held-out draws; (checkpoint, row), float64"""


def taught(
    pairs_at: Callable[[int], Pairs], held_out: Sequence[Pairs], categories: int, classes: int, protocol: dict[str, Any]
) -> Lesson:
    """Q after some steps of Adam, each on fresh draws: `pairs_at` gives those of a step.

    The learning rate stays, so that the last quarter still shows whether Q has arrived; what steps of one size leave
    of noise, an average over the last weights takes away. First weights come from a stream of their own.
    """
    first = pairs_at(0)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(streams.key("reader", protocol["seed"]))
        reader = Reader(first, categories, classes, protocol["hidden"], protocol["q"]).to(first.x)
    steps = protocol["steps"]
    optimiser = torch.optim.Adam(reader.parameters(), lr=protocol["learning_rate"])
    smooth = AveragedModel(reader, multi_avg_fn=get_ema_multi_avg_fn(1.0 - 1.0 / max(1.0, MEMORY * steps)))
    marks = [steps * mark // CHECKPOINTS for mark in range(1, CHECKPOINTS + 1)]
    seen = []
    for step in range(steps):
        pairs = pairs_at(step)
        with torch.enable_grad():
            loss = -reader.log_prob(pairs).mean()
            optimiser.zero_grad()
            loss.backward()
        optimiser.step()
        smooth.update_parameters(reader)
        if step + 1 in marks:
            averaged = cast(Reader, smooth.module)
            seen.append(torch.cat([averaged.log_prob(block) for block in held_out]).double())
    return Lesson(marks, torch.stack(seen))


def _variances(values: Tensor) -> Tensor:
    """(row, number) → (number,)"""
    return (values - values.mean(0)).square().mean(0)


def _unit(variance: Tensor) -> Tensor:
    """The deviation, or 1 of what does not vary"""
    return torch.where(variance > 0, variance.sqrt(), 1.0)

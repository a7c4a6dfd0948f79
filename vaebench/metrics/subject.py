"""A trained model beside the images it is asked about."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vaebench.data import streams
from vaebench.data.source import Source
from vaebench.metrics.draws import posterior_mean
from vaebench.models.contract import LatentVariableModel
from vaebench.models.given import ConditionalModel, given, is_conditional

BLOCK_NUMBERS = {"cpu": 1 << 21, "cuda": 1 << 26}
"""Pixels decoded at once: what stays near the caches of a CPU, and what fills a GPU without filling its memory."""


@dataclass(frozen=True)
class Images:
    """Images of a split and, where the data set has them, their labels."""

    x: Tensor
    """(image, pixel)"""
    y: Tensor | None = None
    """(image,), integers"""

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: slice | Tensor) -> "Images":
        return Images(self.x[index], None if self.y is None else self.y[index])

    def split(self, size: int) -> Iterator["Images"]:
        """In order, `size` at a time."""
        for first in range(0, len(self), size):
            yield self[first : first + size]


class Block(NamedTuple):
    """Some images, and whom to ask about them."""

    model: LatentVariableModel
    """The model; a conditional one has these images' labels filled in."""
    x: Tensor
    """(image, pixel)"""
    keys: Tensor
    """The images' streams; (image,)"""


@dataclass(frozen=True)
class Subject:
    model: LatentVariableModel | ConditionalModel
    source: Source
    train_seconds: float | None = None
    block_numbers: int | None = None
    """Pixels decoded at once; None: by device. Changes no result."""

    @property
    def rows(self) -> int:
        """Images that may be decoded at once."""
        numbers = self.block_numbers or BLOCK_NUMBERS.get(self.source.device.type, 1 << 21)
        return max(1, numbers // self.source.pixels)

    def index(self, protocol: dict[str, Any]) -> Tensor:
        """Which images of the split are asked about: all, or a fixed subset of `images`."""
        total = self.population(protocol)
        wanted = min(protocol.get("images", total), total)
        if wanted == total:
            return torch.arange(total)
        shuffled = streams.permutation(streams.key("subset", protocol["split"], protocol["seed"]), 0, total)
        return shuffled[:wanted].sort().values

    def population(self, protocol: dict[str, Any]) -> int:
        return len(self.source.dataset.splits[protocol["split"]].content)

    @property
    def conditional(self) -> bool:
        """Whether every density is given the label."""
        return is_conditional(self.model)

    def images(self, protocol: dict[str, Any]) -> Images:
        """Those that the protocol asks about."""
        return self.split(protocol["split"], self.index(protocol))

    def split(self, name: str, index: Tensor | None = None) -> Images:
        """A split, or the images at `index`."""
        y = self.source.labels(name)
        if y is not None:
            y = (y if index is None else y[index]).to(self.source.device)
        return Images(self.source.images(name, index), y)

    def given(self, y: Tensor | None) -> LatentVariableModel:
        """The model of images with labels y."""
        return given(self.model, y)

    def blocks(self, images: Images, samples: int, *words: object) -> Iterator[Block]:
        """Images in blocks that decode `samples` codes each within bounds, with the images' streams."""
        size = max(1, self.rows // max(1, min(samples, self.rows)))
        for block in images.split(size):
            yield Block(self.given(block.y), block.x, streams.image_keys(block.x, *words))

    def codes(self, images: Images, *words: object) -> Tensor:
        """Posterior means; (image, latent). Where they take draws, other words name other draws."""
        means = [
            posterior_mean(block.model.posterior(block.x), block.keys)
            for block in self.blocks(images, 1, "codes", *words)
        ]
        return torch.cat(means)

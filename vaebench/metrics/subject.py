"""A trained model beside the images it is asked about."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from vaebench.data import streams
from vaebench.data.memory import free_bytes
from vaebench.data.source import Source
from vaebench.metrics.draws import posterior_mean
from vaebench.models.contract import LatentVariableModel
from vaebench.models.given import ConditionalModel, given, is_conditional

BLOCK_NUMBERS = {"cpu": 1 << 21, "cuda": 1 << 26}
"""Pixels decoded at once, or latents where a code is longer than an image: what stays near the caches
of a CPU, and what fills a GPU without filling its memory."""
COPIES = 32
"""Numbers held for each pixel that is decoded and scored: hidden layers, parameters of p(x|z), temporaries."""
SHARE = 0.5
"""Of the free memory that a block may take."""

T = TypeVar("T")


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
    """None: it was not trained here."""
    block_numbers: int | None = None
    """Pixels decoded at once; None: by device and free memory. Changes no result."""
    peak_bytes: int | None = None
    """Device memory that its training held at most; None: it was not measured."""
    _known: dict[Callable[["Subject"], Any], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, question: Callable[["Subject"], T]) -> T:
        """What a costly question says of this subject, asked the first time only."""
        if question not in self._known:
            self._known[question] = question(self)
        known: T = self._known[question]
        return known

    @functools.cached_property
    def rows(self) -> int:
        """Images that may be decoded at once."""
        device = self.source.device
        if self.block_numbers is not None:
            numbers = self.block_numbers
        else:
            free = free_bytes(device) * SHARE / (COPIES * self.source.dtype.itemsize)
            numbers = min(BLOCK_NUMBERS.get(device.type, BLOCK_NUMBERS["cpu"]), int(free))
        return max(1, numbers // max(self.source.pixels, self.latents))

    @functools.cached_property
    def latents(self) -> int:
        """Numbers of a code; 0 of a model without a prior, or whose prior fails: whoever needs it will tell."""
        try:
            return int(self.model.prior().event_shape[-1])
        except Exception:
            return 0

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

"""A trained model beside the images it is asked about."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vaebench.data import streams
from vaebench.data.source import Source
from vaebench.metrics.draws import posterior_mean
from vaebench.models.contract import LatentVariableModel

BLOCK_NUMBERS = {"cpu": 1 << 21, "cuda": 1 << 26}
"""Pixels decoded at once: what stays near the caches of a CPU, and what fills a GPU without filling its memory."""


@dataclass(frozen=True)
class Subject:
    model: LatentVariableModel
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

    def images(self, protocol: dict[str, Any]) -> Tensor:
        """(image, pixel)"""
        return self.source.images(protocol["split"], self.index(protocol))

    def blocks(self, x: Tensor, samples: int, *words: object) -> Iterator[tuple[Tensor, Tensor]]:
        """Images in blocks that decode `samples` codes each within bounds, with the images' streams."""
        size = max(1, self.rows // max(1, min(samples, self.rows)))
        for block in x.split(size):
            yield block, streams.image_keys(block, *words)

    def codes(self, x: Tensor, *words: object) -> Tensor:
        """Posterior means; (image, latent). Where they take draws, other words name other draws."""
        means = [
            posterior_mean(self.model.posterior(block), keys) for block, keys in self.blocks(x, 1, "codes", *words)
        ]
        return torch.cat(means)

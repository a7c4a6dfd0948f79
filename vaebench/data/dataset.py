"""A data set as it comes: grey levels or real values, labels, splits."""

import functools
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from vaebench.catalog.catalog import load_catalog
from vaebench.catalog.implementation import implementation


@dataclass(frozen=True)
class Shape:
    """The form of one image, from which networks derive theirs."""

    pixels: int
    side: int | None = None
    """Width and height of a square image; None where x is no image."""
    levels: int | None = None
    """Number of grey levels; None where values are real."""
    classes: int = 0
    """Number of labels; 0 where there are none."""


@dataclass(frozen=True)
class Split:
    content: Tensor
    """Grey levels k as uint8, or real values as float64; (image, pixel), row-major."""
    labels: Tensor | None = None
    """Classes as int64; (image,)."""


@dataclass(frozen=True)
class Dataset:
    name: str
    splits: dict[str, Split]
    """train, validation, test."""
    pixels: int
    side: int | None
    """Width and height of a square image; None where x is no image."""
    levels: int | None
    """L, the number of grey levels; None for real values."""

    @property
    def shape(self) -> Shape:
        return Shape(self.pixels, self.side, self.levels, self.classes)

    @functools.cached_property
    def classes(self) -> int:
        """Number of labels; 0 where there are none."""
        labels = [split.labels for split in self.splits.values() if split.labels is not None]
        return max((int(values.max()) + 1 for values in labels), default=0)

    def trained_on(self, first: int | None) -> "Dataset":
        """The data set whose training split ends after so many images; the whole one for None."""
        train = self.splits["train"]
        if first is None or first >= len(train.content):
            return self
        labels = None if train.labels is None else train.labels[:first]
        return replace(self, splits={**self.splits, "train": Split(train.content[:first], labels)})

    @functools.cached_property
    def checksum(self) -> str:
        """Hash of contents, labels and split boundaries."""
        hashed = hashlib.sha256()
        for name, split in sorted(self.splits.items()):
            hashed.update(f"{name}{tuple(split.content.shape)}".encode())
            hashed.update(split.content.contiguous().numpy().tobytes())
            if split.labels is not None:
                hashed.update(split.labels.contiguous().numpy().tobytes())
        return hashed.hexdigest()


@functools.lru_cache(maxsize=4)
def load_dataset(name: str, root: Path | None = None) -> Dataset:
    """The data set that the catalog calls `name`; `root` is the user's data folder for those that need files."""
    loaded: Dataset = implementation(load_catalog().datasets[name].implementation)(name, root)
    return loaded

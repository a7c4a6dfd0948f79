"""A data set on a view, on a device: what trainer and evaluators draw their images from."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from vaebench.data import streams
from vaebench.data.dataset import Dataset
from vaebench.data.memory import keep_freed_memory
from vaebench.data.views import VIEWS, View

CPU = torch.device("cpu")


def training_splits(train: str) -> tuple[str, ...]:
    """The splits that a recipe's `train` (split or all) trains on."""
    return ("train",) if train == "split" else ("train", "validation")


@dataclass(frozen=True)
class Source:
    dataset: Dataset
    view_name: str
    device: torch.device = CPU
    dtype: torch.dtype = torch.float32
    _training: dict[str, Tensor] = field(default_factory=dict, repr=False)
    _others: dict[str, "Source"] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        keep_freed_memory()

    @property
    def view(self) -> View:
        return VIEWS[self.view_name]

    @property
    def pixels(self) -> int:
        return self.dataset.pixels

    def seen_as(self, view_name: str) -> "Source":
        """The same data set on another view."""
        if view_name not in self._others:
            self._others[view_name] = Source(self.dataset, view_name, self.device, self.dtype)
        return self if view_name == self.view_name else self._others[view_name]

    def training_content(self, train: str) -> Tensor:
        """Grey levels (uint8) or values of the training images, on the device; `train` is split or all."""
        if train not in self._training:
            parts = [self._fixed_or_raw(name) for name in training_splits(train)]
            self._training[train] = torch.cat(parts).to(self.device)
        return self._training[train]

    def training_labels(self, train: str) -> Tensor:
        """Classes of the training images, on the device; (image,)"""
        parts = [self.labels(name) for name in training_splits(train)]
        return torch.cat([part for part in parts if part is not None]).to(self.device)

    def training_noise(self) -> bool:
        """Whether a training batch needs uniforms."""
        return self.view.draws and self.view.anew

    def training_batch(self, content: Tensor, index: Tensor, u: Tensor) -> Tensor:
        """x of the images at `index`; (…, pixel). `u` has that shape too, and is read where the view draws anew."""
        k = content.index_select(0, index.flatten()).reshape(*index.shape, -1).to(self.dtype)
        if self.view.draws and not self.view.anew:
            return k
        return self.view.observe(k, self.dataset.levels or 0, u)

    def images(self, split: str, index: Tensor | None = None) -> Tensor:
        """x of a split as it is evaluated: drawn once, the same on every machine; (image, pixel)."""
        raw = self.dataset.splits[split].content
        index = torch.arange(len(raw)) if index is None else index
        return self._observed(split, index).to(self.device, self.dtype)

    def grey_images(self, split: str) -> Tensor:
        """The images as a person sees them, k/(L−1); (image, pixel)."""
        levels = self.dataset.levels
        if levels is None:
            raise ValueError(f"{self.dataset.name} has no grey levels")
        return self.dataset.splits[split].content.to(self.device, self.dtype) / (levels - 1)

    def labels(self, split: str) -> Tensor | None:
        return self.dataset.splits[split].labels

    def _observed(self, split: str, index: Tensor) -> Tensor:
        k = self.dataset.splits[split].content[index].to(torch.float64)
        u = torch.zeros(())
        if self.view.draws:
            stream = torch.tensor(
                [streams.key("view", self.dataset.name, self.view_name, split, int(i)) for i in index]
            )
            u = streams.uniform(stream, 0, 1, self.pixels, torch.float64)[0]
        return self.view.observe(k, self.dataset.levels or 0, u)

    def _fixed_or_raw(self, split: str) -> Tensor:
        raw = self.dataset.splits[split].content
        if self.view.draws and not self.view.anew:
            return self._observed(split, torch.arange(len(raw))).to(torch.uint8)
        return raw

"""Trials of data sets: what was declared is what comes, each time."""

from dataclasses import dataclass

import torch

from vaebench.catalog.catalog import Dataset as Declared
from vaebench.catalog.implementation import implementation
from vaebench.conformance.finding import Breach
from vaebench.data.dataset import Dataset, Split


@dataclass(frozen=True)
class Loading:
    declared: Declared

    def load(self) -> Dataset:
        loaded: Dataset = implementation(self.declared.implementation)(self.declared.name, None)
        return loaded


def shapes(loading: Loading) -> None:
    """Splits, sizes, pixels, levels and labels as declared; grey levels are uint8, real values float64."""
    declared, loaded = loading.declared, loading.load()
    if not isinstance(loaded, Dataset):
        raise Breach("a vaebench.data.dataset.Dataset", type(loaded).__name__)
    for name in ("pixels", "side", "levels"):
        _same(name, getattr(declared, name), getattr(loaded, name))
    _same("splits", sorted(declared.splits), sorted(loaded.splits))
    _same("classes", declared.classes or 0, loaded.classes)
    for name, split in loaded.splits.items():
        _check_split(name, split, declared)


def _check_split(name: str, split: Split, declared: Declared) -> None:
    wanted = (declared.splits[name], declared.pixels)
    _same(f"content of {name}, (image, pixel)", wanted, tuple(split.content.shape))
    dtype = torch.float64 if declared.levels is None else torch.uint8
    _same(f"content of {name}", dtype, split.content.dtype)
    if declared.levels is not None and int(split.content.max()) >= declared.levels:
        raise Breach(f"grey levels 0 … {declared.levels - 1} in {name}", f"{int(split.content.max())}")
    if not bool(split.content.isfinite().all()):
        raise Breach(f"finite values in {name}", f"{int((~split.content.isfinite()).sum())} that are not")
    if declared.classes is None:
        return
    if split.labels is None:
        raise Breach(f"labels of {name}", "none")
    _same(f"labels of {name}, (image,)", (declared.splits[name],), tuple(split.labels.shape))
    _same(f"labels of {name}", torch.int64, split.labels.dtype)
    outside = (split.labels < 0) | (split.labels >= declared.classes)
    if bool(outside.any()):
        raise Breach(f"labels 0 … {declared.classes - 1} in {name}", f"{int(split.labels[outside][0])}")


def determinism(loading: Loading) -> None:
    """The same images in the same order each time, whatever torch's own generator says."""
    checksums = []
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            checksums.append(loading.load().checksum)
    if checksums[0] != checksums[1]:
        raise Breach("the same images and labels each time", "others at the second loading; seed what is drawn")


def _same(what: str, expected: object, came: object) -> None:
    if expected != came:
        raise Breach(f"{what} = {expected}, as declared", str(came))

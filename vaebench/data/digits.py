"""scikit-learn's 8 × 8 digits: real handwriting that comes with the package."""

from pathlib import Path

import torch

from vaebench.data import streams
from vaebench.data.dataset import Dataset, Split

TRAIN, VALIDATION, TEST = 1197, 300, 300


def load(name: str, root: Path | None = None) -> Dataset:
    """The 1,797 digits, shuffled once: the file runs writer by writer, so its tail is not like its head."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    order = streams.permutation(streams.key("digits", "splits"), 0, TRAIN + VALIDATION + TEST)
    content = torch.tensor(raw.data, dtype=torch.uint8)[order]
    labels = torch.tensor(raw.target, dtype=torch.int64)[order]
    parts = zip(content.split([TRAIN, VALIDATION, TEST]), labels.split([TRAIN, VALIDATION, TEST]), strict=True)
    splits = dict(zip(("train", "validation", "test"), (Split(*part) for part in parts), strict=True))
    return Dataset(name, splits, pixels=64, side=8, levels=17)

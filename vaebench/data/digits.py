"""scikit-learn's 8 × 8 digits: real handwriting that comes with the package."""

import importlib.util
from pathlib import Path

import numpy as np
import torch

from vaebench.data import streams
from vaebench.data.dataset import Dataset, Split

TRAIN, VALIDATION, TEST = 1197, 300, 300
FILE = "datasets/data/digits.csv.gz"
"""In scikit-learn."""


def load(name: str, root: Path | None = None) -> Dataset:
    """The 1,797 digits, shuffled once: the file runs writer by writer, so its tail is not like its head."""
    table = _table()
    order = streams.permutation(streams.key("digits", "splits"), 0, TRAIN + VALIDATION + TEST)
    content = torch.tensor(table[:, :-1], dtype=torch.uint8)[order]
    labels = torch.tensor(table[:, -1], dtype=torch.int64)[order]
    parts = zip(content.split([TRAIN, VALIDATION, TEST]), labels.split([TRAIN, VALIDATION, TEST]), strict=True)
    splits = dict(zip(("train", "validation", "test"), (Split(*part) for part in parts), strict=True))
    return Dataset(name, splits, pixels=64, side=8, levels=17)


def _table() -> np.ndarray:
    """A row a digit, its 64 grey levels and its class: scikit-learn's file, as importing the package takes a second."""
    package = importlib.util.find_spec("sklearn")
    if package and package.origin and (file := Path(package.origin).parent / FILE).exists():
        return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    return np.column_stack(load_digits(return_X_y=True))

"""The small classifiers that ship with vaebench, one a data set: features of images, and the labels that they see."""

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from vaebench.data.dataset import Dataset
from vaebench.metrics.answer import NotApplicable

FOLDER = Path(__file__).resolve().parent / "classifiers"

HASHES = {
    "digits": "11753df2b90198de",
    "fashion-mnist": "2499cd82eb66e0f2",
    "mnist": "a04f99ae2cac378f",
}
"""Data set → the beginning of its file's SHA-256. It stands in the source, so that a change of the file must change
the source too, and with it the fingerprint of every number that was taken with it."""

FEATURES = 64
BLOCK = 500
"""Images that are looked at together."""


class ClassifierError(RuntimeError):
    """A shipped file is missing or not the one that this source was written for."""


class Network(nn.Module):
    """Two convolutions that halve the image, a layer of 64 features, a linear one to the labels.

    GELU leaves no feature dead, so the covariance of the features has full rank.
    """

    def __init__(self, side: int, classes: int) -> None:
        super().__init__()
        self.side = side
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(32 * (side // 4) ** 2, FEATURES),
            nn.GELU(),
        )
        self.head = nn.Linear(FEATURES, classes)

    def features(self, x: Tensor) -> Tensor:
        """(image, pixel) → (image, feature); pixels as they are, also outside [0, 1]"""
        found: Tensor = self.trunk(x.reshape(-1, 1, self.side, self.side))
        return found

    def forward(self, x: Tensor) -> Tensor:
        """(image, pixel) → (image, label), logits"""
        logits: Tensor = self.head(self.features(x))
        return logits


@dataclass(frozen=True)
class Classifier:
    """A shipped network, asked in float64 and in blocks."""

    network: Network
    hash: str
    about: dict[str, Any]
    """What the training script wrote beside the weights: data set, its checksum, accuracies, version."""

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """The layer before the last; (image, pixel) → (image, feature)"""
        return torch.cat([self.network.features(block.double()) for block in x.split(BLOCK)])

    @torch.no_grad()
    def labels(self, x: Tensor) -> Tensor:
        """The most probable label; (image, pixel) → (image,)"""
        return torch.cat([self.network(block.double()).argmax(-1) for block in x.split(BLOCK)])


def classifier_of(dataset: Dataset, device: torch.device | str = "cpu") -> Classifier:
    """The one that ships for a data set; NotApplicable where there is none."""
    if dataset.name not in HASHES or dataset.side is None:
        raise NotApplicable(f"no classifier ships for {dataset.name}; those that do are for {', '.join(HASHES)}")
    return _load(dataset.name, dataset.side, torch.device(device))


@functools.lru_cache(maxsize=8)
def _load(name: str, side: int, device: torch.device) -> Classifier:
    path = FOLDER / f"{name}.safetensors"
    if not path.is_file():
        raise ClassifierError(f"{path}: missing; it is part of vaebench, so install vaebench again")
    found = file_hash(path)
    if found != HASHES[name]:
        raise ClassifierError(f"{path}: has hash {found}, expected {HASHES[name]} (vaebench/metrics/classifier.py)")
    state = {key: value.to(device, torch.float64) for key, value in safetensors.torch.load_file(path).items()}
    with torch.device("meta"):  # no initial weights, so no random numbers
        network = Network(side, len(state["head.bias"]))
    network.load_state_dict(state, assign=True)
    return Classifier(network.eval().requires_grad_(False), found, about(path))


def about(path: Path) -> dict[str, Any]:
    with safetensors.safe_open(path, framework="pt") as file:
        content: dict[str, Any] = json.loads(file.metadata()["classifier"])
    return content


def file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]

"""Trains a classifier that ships with vaebench: `python -m vaebench.metrics.classifiers.train mnist --data-root DIR`.

Writes DATASET.safetensors into this folder, or into `--to`, and prints what `HASHES` in vaebench/metrics/classifier.py
must say of it. The same seed gives the same bytes on the same machine and version of torch, with OMP_NUM_THREADS=1.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from vaebench.data import streams
from vaebench.data.dataset import Dataset, load_dataset
from vaebench.data.source import Source
from vaebench.data.views import bernoulli
from vaebench.metrics.classifier import FOLDER, Network, file_hash

VERSION = 1
"""Of this script; raised when it would make other weights."""

BATCH = 100
STEPS = {"digits": 3600, "mnist": 5000, "fashion-mnist": 5000}
LEARNING_RATE = 2e-3


def trained(dataset: Dataset, steps: int, seed: int) -> Network:
    """Adam on the cross-entropy, its rate falling to 0 along a cosine; the training split only."""
    images, labels = dataset.splits["train"].content, dataset.splits["train"].labels
    if dataset.side is None or dataset.levels is None or labels is None:
        raise SystemExit(f"{dataset.name} has no labelled images")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(dataset.side, dataset.classes)
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        index = batch(len(images), step, seed)
        x = both_views(images[index].float(), dataset.levels, step, seed)
        optimiser.zero_grad()
        cross_entropy(network(x), labels[index]).backward()
        optimiser.step()
        schedule.step()
    return network


def batch(count: int, step: int, seed: int) -> Tensor:
    """Images of a step: epoch after epoch, each in an order of its own, what is left over at its end not used."""
    steps = count // BATCH
    order = streams.permutation(streams.key("classifier", seed, "order"), step // steps, count)
    return order[step % steps * BATCH :][:BATCH]


def both_views(k: Tensor, levels: int, step: int, seed: int) -> Tensor:
    """The first half of the rows binarised by a draw of this step, the others grey, so that it knows both views."""
    half = len(k) // 2
    stream = torch.tensor(streams.key("classifier", seed, "view"))
    u = streams.uniform(stream, step, 1, half * k.shape[1])[0].reshape(half, -1)
    return torch.cat([bernoulli(k[:half], levels, u), k[half:] / (levels - 1)])


@torch.no_grad()
def accuracy(network: Network, dataset: Dataset, view: str) -> float:
    """On the test images of a view."""
    source = Source(dataset, view)
    labels = source.labels("test")
    return float((network(source.images("test")).argmax(-1) == labels).float().mean())


def save(network: Network, dataset: Dataset, path: Path, **more: Any) -> dict[str, Any]:
    """Weights as float16 and what is known of them; the accuracies are those of the rounded weights."""
    state = {name: value.half() for name, value in network.state_dict().items()}
    network.load_state_dict(state)
    content = {
        "dataset": dataset.name,
        "data_checksum": dataset.checksum,
        "test_accuracy": {view: accuracy(network, dataset, view) for view in ("grey", "binary", "threshold")},
        "script_version": VERSION,
        "torch": torch.__version__,
        **more,
    }
    # One entry: the order of several would change from run to run, and with it the hash of the file.
    safetensors.torch.save_file(state, path, metadata={"classifier": json.dumps(content, sort_keys=True)})
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a classifier that ships with vaebench.")
    parser.add_argument("dataset", choices=sorted(STEPS))
    parser.add_argument("--data-root", type=Path, default=os.environ.get("VAEBENCH_DATA"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, default=FOLDER)
    given = parser.parse_args()
    dataset = load_dataset(given.dataset, Path(given.data_root) if given.data_root else None)
    steps = STEPS[dataset.name]
    path = given.to / f"{dataset.name}.safetensors"
    network = trained(dataset, steps, given.seed)
    content = save(network, dataset, path, seed=given.seed, steps=steps, batch=BATCH)
    print(json.dumps(content, indent=2))
    print(f'"{dataset.name}": "{file_hash(path)}",')


if __name__ == "__main__":
    main()

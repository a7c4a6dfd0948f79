"""Seconds per model-epoch of a fleet of one and of five, beside a plain PyTorch DataLoader loop of the same network.

    python -m tests.benchmarks.epochs

Random data of MNIST's size (50,000 × 784), MLP 784-400-400-32 and back, batch 128, Adam, Bernoulli. All sides train
in turn, round after round, so that a noisy machine is noisy for all of them; the ratios are of the best rounds.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.compositions import cell, composition
from vaebench.data.dataset import Dataset, Split
from vaebench.data.source import Source
from vaebench.training.fleet import Surroundings, train_fleet

HIDDEN, LATENT, BATCH = 400, 32, 128


def random_source(images: int) -> Source:
    content = torch.randint(0, 256, (images, 784), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    split = Split(content)
    return Source(Dataset("random", {"train": split, "validation": split, "test": split}, 784, 28, 256), "threshold")


def fleet_epoch(source: Source, members: int, stepper: str) -> float:
    """Seconds per model-epoch."""
    network = {"name": "mlp", "hidden": [HIDDEN, HIDDEN], "activation": "relu", "initialisation": "torch"}
    choices = composition(network=network, latent=LATENT)
    cells = [cell(seed, choices=choices, precision="float32", epochs=1, batch=BATCH) for seed in range(members)]
    return train_fleet(cells, Surroundings(source, stepper))[0].seconds


class PlainVae(nn.Module):
    """What a tutorial writes."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(HIDDEN, LATENT), nn.Linear(HIDDEN, LATENT)
        self.decode = nn.Sequential(
            nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 784)
        )

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.encode(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        entropy = nn.functional.binary_cross_entropy_with_logits(self.decode(z), x, reduction="sum")
        kl = -0.5 * torch.sum(1 + log_variance - mean.square() - log_variance.exp())
        return (entropy + kl) / len(x)


def plain_epoch(source: Source) -> float:
    """Seconds of an epoch of the usual loop: DataLoader, zero_grad, backward, step, a running loss."""
    x = source.images("train")
    loader = DataLoader(TensorDataset(x), batch_size=BATCH, shuffle=True, drop_last=True)
    model = PlainVae()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    started, running = time.perf_counter(), 0.0
    for (batch,) in loader:
        optimiser.zero_grad()
        loss = model.loss(batch)
        loss.backward()
        optimiser.step()
        running += loss.item()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=12_800)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    source = random_source(options.images)
    sides: dict[str, Callable[[], float]] = {
        "plain DataLoader loop": lambda: plain_epoch(source),
        "fleet of 1, in turn": lambda: fleet_epoch(source, 1, "in-turn"),
        "fleet of 5, in turn": lambda: fleet_epoch(source, 5, "in-turn"),
        "fleet of 5, mapped": lambda: fleet_epoch(source, 5, "mapped"),
    }
    scale = 50_000 / options.images
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, run in sides.items():
            seconds[name].append(run() * scale)
    plain = min(seconds["plain DataLoader loop"])
    rows = {
        name: {"best": min(taken), "median": statistics.median(taken), "of plain": min(taken) / plain}
        for name, taken in seconds.items()
    }
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.processor() or platform.machine()}")
    print(f"{'seconds per model-epoch of 50,000 images':42}{'best':>8}{'median':>8}{'× plain':>9}")
    for name, row in rows.items():
        print(f"{name:42}{row['best']:8.2f}{row['median']:8.2f}{row['of plain']:9.2f}")


if __name__ == "__main__":
    main()

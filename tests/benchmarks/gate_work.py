"""What one side of the gate does: reads the name of a workload on each line, does it once, and answers with seconds.

It is run by its path with another version of the tree on the path of modules, so it asks for nothing that is new.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from tests.compositions import ELBO, VMI, cell, composition
from vaebench.data.dataset import Dataset, Split, load_dataset
from vaebench.data.source import Source
from vaebench.metrics.evaluation import evaluate
from vaebench.metrics.subject import Subject
from vaebench.store.cell import Cell
from vaebench.store.record import MetricRequest
from vaebench.suite.expansion import expand
from vaebench.suite.loading import load_suite_mapping
from vaebench.training.fleet import Surroundings, train_fleet

Work = Callable[[], object]
MEMBERS = 2
TRACED_EPOCHS = 110
"""Of the digits: both members together take the 2,000 steps from which a fleet is traced."""


def large() -> Source:
    content = torch.randint(0, 256, (2560, 784), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    split = Split(content)
    return Source(Dataset("random", {"train": split, "validation": split, "test": split}, 784, 28, 256), "binary")


def cells(hidden: int, objective: dict[str, Any], epochs: int) -> list[Cell]:
    network = {"name": "mlp", "hidden": [hidden, hidden], "activation": "relu", "initialisation": "torch"}
    choices = composition(network=network, latent=32, objective=objective)
    return [cell(seed, choices=choices, precision="float32", epochs=epochs, batch=128) for seed in range(MEMBERS)]


def training(source: Source, trained: list[Cell], stepper: str) -> Work:
    return lambda: train_fleet(trained, Surroundings(source, stepper))


def scoring() -> Work:
    source = digits()
    (trained,) = train_fleet([cell(precision="float32", epochs=1)], Surroundings(source))
    request = MetricRequest("log_likelihood", {"split": "test", "seed": 0, "samples": 200, "images": 300})
    return lambda: evaluate(Subject(trained.model, source), [request])  # type: ignore[arg-type]


def expansion() -> Work:
    betas = [round(0.01 * step, 2) for step in range(1, 21)]
    variants = [{"extends": "beta-vae", "objective": {"beta": betas}}]
    suite = {"suite": "wide", "datasets": ["digits/binary"], "seeds": 50, "variants": variants, "metrics": ["elbo"]}
    return lambda: expand(load_suite_mapping(suite))


def digits() -> Source:
    return Source(load_dataset("digits"), "binary")


WORKLOADS: dict[str, Callable[[], Work]] = {
    "training, large, in turn": lambda: training(large(), cells(400, ELBO, 1), "in-turn"),
    "training, large, mapped": lambda: training(large(), cells(400, ELBO, 1), "mapped"),
    "training, small, two players": lambda: training(digits(), cells(64, VMI, 8), "in-turn"),
    "training, small, traced": lambda: training(digits(), cells(64, ELBO, TRACED_EPOCHS), "in-turn"),
    "log_likelihood": scoring,
    "expansion of 1,000 cells": expansion,
}


def main() -> None:
    ready = {name: make() for name, make in WORKLOADS.items()}
    for run in ready.values():
        run()
    print("ready", flush=True)
    for line in sys.stdin:
        begun = time.perf_counter()
        ready[line.rstrip("\n")]()
        print(time.perf_counter() - begun, flush=True)


if __name__ == "__main__":
    main()

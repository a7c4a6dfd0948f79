"""What one side of the gate does: reads the name of a workload on each line, does it once, and answers with seconds.

It is run by its path with another version of the tree on the path of modules, so it asks for nothing that is new.
"""

import sys
import time
from collections.abc import Callable

import torch

from tests.compositions import ELBO, VMI, cell, composition
from vaebench.data.dataset import Dataset, Split, load_dataset
from vaebench.data.source import Source
from vaebench.metrics.evaluation import evaluate
from vaebench.metrics.subject import Subject
from vaebench.store.record import MetricRequest
from vaebench.suite.expansion import expand
from vaebench.suite.loading import load_suite_mapping
from vaebench.training.fleet import Surroundings, train_fleet

Work = Callable[[], object]


def large() -> Source:
    content = torch.randint(0, 256, (2560, 784), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    split = Split(content)
    return Source(Dataset("random", {"train": split, "validation": split, "test": split}, 784, 28, 256), "binary")


def training(source: Source, hidden: int, objective: dict, stepper: str, epochs: int) -> Work:  # type: ignore[type-arg]
    network = {"name": "mlp", "hidden": [hidden, hidden], "activation": "relu", "initialisation": "torch"}
    choices = composition(network=network, latent=32, objective=objective)
    cells = [cell(seed, choices=choices, precision="float32", epochs=epochs, batch=128) for seed in range(2)]
    return lambda: train_fleet(cells, Surroundings(source, stepper))


def scoring() -> Work:
    source = Source(load_dataset("digits"), "binary")
    (trained,) = train_fleet([cell(precision="float32", epochs=1)], Surroundings(source))
    request = MetricRequest("log_likelihood", {"split": "test", "seed": 0, "samples": 200, "images": 300})
    return lambda: evaluate(Subject(trained.model, source), [request])


def expansion() -> Work:
    betas = [round(0.01 * step, 2) for step in range(1, 21)]
    variants = [{"extends": "beta-vae", "objective": {"beta": betas}}]
    suite = {"suite": "wide", "datasets": ["digits/binary"], "seeds": 50, "variants": variants, "metrics": ["elbo"]}
    return lambda: expand(load_suite_mapping(suite))


WORKLOADS: dict[str, Callable[[], Work]] = {
    "training, large, in turn": lambda: training(large(), 400, ELBO, "in-turn", 1),
    "training, large, mapped": lambda: training(large(), 400, ELBO, "mapped", 1),
    "training, small, two players": lambda: training(Source(load_dataset("digits"), "binary"), 64, VMI, "in-turn", 8),
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

"""What bfloat16 products do to the metrics: the same cells in float32, in bfloat16, and in float32 by other paths.

    python -m tests.benchmarks.precision [--dataset mnist] [--width 400] [--seeds 5] [--epochs 10] [--write]

The network is the page's, 784-400-400-32 and back, on MNIST, and 64-128-128-32 on the digits. Each seed is trained four
ways and scored alike. A drift is the mean over seeds of the paired difference from float32 in turn, beside it the
standard deviation of the seeds: a path that DESIGN calls the same must drift far less than that; bfloat16 is another
recipe, and its drift is what a user should know.
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from tests.benchmarks.outcome import FOLDER, command, into_page, keep, machine, origin, table
from tests.benchmarks.workloads import Shape
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.metrics.evaluation import evaluate
from vaebench.metrics.subject import Subject
from vaebench.store.record import MetricRequest
from vaebench.training.fleet import Surroundings, train_fleet
from vaebench.training.programs import missing_for_compiling

TEST = {"split": "test", "seed": 0}
REQUESTS = [
    MetricRequest("elbo", {**TEST, "samples": 8, "kl": "analytic"}),
    MetricRequest("log_likelihood", {**TEST, "samples": 100, "images": 300}),
    MetricRequest("kl", {**TEST, "samples": 8}),
    MetricRequest("reconstruction", {**TEST, "samples": 8}),
    MetricRequest("active_units", {**TEST, "threshold": 0.01}),
]
METRICS = ("elbo", "log_likelihood", "kl", "reconstruction", "active_units")
REFERENCE = "float32, in turn"
WIDTHS = {"mnist": 400, "digits": 128}


def ways() -> dict[str, tuple[str, dict[str, Any]]]:
    """Name → precision, and the path through training."""
    found: dict[str, tuple[str, dict[str, Any]]] = {
        REFERENCE: ("float32", {"stepper": "in-turn"}),
        "float32, mapped": ("float32", {"stepper": "mapped"}),
        "bfloat16": ("bfloat16", {"stepper": "in-turn"}),
    }
    if missing_for_compiling(torch.device("cpu")) is None:
        found["float32, compiled"] = ("float32", {"stepper": "in-turn", "compiled": True})
    return found


def scores(source: Source, shape: Shape, epochs: int, **path: Any) -> dict[str, list[float]]:
    """Metric → its value for each seed."""
    cells = shape.cells(epochs)
    found: dict[str, list[float]] = {name: [] for name in METRICS}
    for trained in train_fleet(cells, Surroundings(source, **path)):
        subject = Subject(trained.model, source)  # type: ignore[arg-type]
        for answer in evaluate(subject, REQUESTS, {}):
            if answer.metric in found and answer.value is not None:
                found[answer.metric].append(answer.value)
    return found


def caption(shape: Shape, source: Source, epochs: int) -> str:
    """What was trained, and how its likelihood was estimated."""
    protocol = next(request.protocol for request in REQUESTS if request.metric == "log_likelihood")
    network = f"MLP {source.pixels}-{shape.hidden}-{shape.hidden}-{shape.latent} and back, batch {shape.batch}"
    data = f"{source.dataset.name}/{source.view_name}, {epochs} epochs, {shape.members} seeds"
    return f"{network}; {data}; log_likelihood of {protocol['images']} images by K = {protocol['samples']}"


def drift_table(found: dict[str, dict[str, list[float]]]) -> str:
    reference = found[REFERENCE]
    rows = []
    for name in METRICS:
        row: list[Any] = [name, mean(reference[name]), stdev(reference[name])]
        for way, values in found.items():
            if way != REFERENCE:
                differences = [one - other for one, other in zip(values[name], reference[name], strict=True)]
                row += [mean(differences), max(map(abs, differences))]
        rows.append(row)
    heads = [head for way in found if way != REFERENCE for head in (f"{way}: mean drift", "largest")]
    return table(["metric", REFERENCE, "sd over seeds", *heads], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--dataset", default="mnist", choices=list(WIDTHS))
    parser.add_argument("--width", type=int, help="of the hidden layers; the page's network without it")
    parser.add_argument("--write", action="store_true", help="the table into docs/performance.md")
    options = parser.parse_args()
    root = os.environ.get("VAEBENCH_DATA")
    source = Source(load_dataset(options.dataset, Path(root) if root else None), "binary")
    shape = Shape(members=options.seeds, hidden=options.width or WIDTHS[options.dataset])
    found = {
        name: scores(source, replace(shape, precision=precision), options.epochs, **path)
        for name, (precision, path) in ways().items()
    }
    where, how = machine(), command("tests.benchmarks.precision")
    text = f"{drift_table(found)}\n{caption(shape, source, options.epochs)}. {origin(where, how)}"
    print(text)
    if options.write:
        keep("precision", {"machine": where, "command": how, "values": found}, FOLDER)
        into_page("precision", text)


if __name__ == "__main__":
    main()

"""What bfloat16 products do to the metrics: the same cells in float32, in bfloat16, and in float32 by other paths.

    python -m tests.benchmarks.precision [--seeds 5] [--epochs 10] [--write]

Each seed is trained four ways and scored alike. A drift is the mean over seeds of the paired difference from float32 in
turn, beside it the standard deviation of the seeds: a path that DESIGN calls the same must drift far less than that;
bfloat16 is another recipe, and its drift is what a user should know.
"""

import argparse
import os
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


def ways() -> dict[str, dict[str, Any]]:
    """Name → precision, stepper and whether it is compiled."""
    found: dict[str, dict[str, Any]] = {
        REFERENCE: {"precision": "float32", "stepper": "in-turn"},
        "float32, mapped": {"precision": "float32", "stepper": "mapped"},
        "bfloat16": {"precision": "bfloat16", "stepper": "in-turn"},
    }
    if missing_for_compiling(torch.device("cpu")) is None:
        found["float32, compiled"] = {"precision": "float32", "stepper": "in-turn", "compiled": True}
    return found


def scores(source: Source, seeds: int, epochs: int, precision: str, **path: Any) -> dict[str, list[float]]:
    """Metric → its value for each seed."""
    shape = Shape(members=seeds, precision=precision, hidden=400 if source.pixels == 784 else 128)
    cells = [made.from_spec({**made.spec(), "recipe": {**made.recipe, "epochs": epochs}}) for made in shape.cells()]
    found: dict[str, list[float]] = {name: [] for name in METRICS}
    for trained in train_fleet(cells, Surroundings(source, **path)):
        subject = Subject(trained.model, source)  # type: ignore[arg-type]
        for answer in evaluate(subject, REQUESTS, {}):
            if answer.metric in found and answer.value is not None:
                found[answer.metric].append(answer.value)
    return found


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
    parser.add_argument("--dataset", default="mnist", help="mnist or digits")
    parser.add_argument("--write", action="store_true", help="the table into docs/performance.md")
    options = parser.parse_args()
    root = os.environ.get("VAEBENCH_DATA")
    source = Source(load_dataset(options.dataset, Path(root) if root else None), "binary")
    found = {name: scores(source, options.seeds, options.epochs, **way) for name, way in ways().items()}
    where, how = machine(), command("tests.benchmarks.precision")
    what = f"{options.dataset}/binary, {options.epochs} epochs, {options.seeds} seeds"
    text = f"{drift_table(found)}\n{what}. {origin(where, how)}"
    print(text)
    if options.write:
        keep("precision", {"machine": where, "command": how, "values": found}, FOLDER)
        into_page("precision", text)


if __name__ == "__main__":
    main()

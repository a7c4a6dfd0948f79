"""Every metric under the budget quick, each on a hardly trained model of the digits to which it applies.

    pytest -n 0 tests/benchmarks/bench_evaluation.py --benchmark-enable

Those that train something of their own or anneal take seconds, and are timed once. What training cost is read from
the record, and the parameters are counted, so there is nothing to time.
"""

from functools import cache, partial

import pytest

from vaebench.catalog.catalog import load_catalog
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.metrics.evaluation import evaluate
from vaebench.metrics.subject import Subject
from vaebench.suite.expansion import expand, requests
from vaebench.suite.loading import load_suite_mapping
from vaebench.training.fleet import Surroundings, train_fleet

LONG = ("log_likelihood_ais", "inference_gap", "mi_lower_bound", "claimed", "gradient_variance")
COSTS = ("train_seconds", "parameters", "peak_memory")
ASKS_FOR_MORE = {
    "bits_per_dim": "vae-gaussian",
    "code_accuracy": "joint-vae",
    "code_entropy": "joint-vae",
    "label_accuracy": "cvae",
}
"""Metric → the variant that has what it scores; all others score a VAE."""
METRICS = [name for name in load_catalog().metrics if name not in COSTS]


@cache
def suite():
    return load_suite_mapping(
        {
            "suite": "speed",
            "datasets": ["digits/binary", "digits/grey"],
            "seeds": 1,
            "recipe": {"extends": "quick", "epochs": 2},
            "variants": [
                {"extends": "vae", "on": ["digits/binary"]},
                {"extends": "vae-gaussian", "on": ["digits/grey"]},
                {"extends": "joint-vae", "on": ["digits/binary"]},
                {"extends": "cvae", "on": ["digits/binary"]},
            ],
            "metrics": METRICS,
        }
    )


def asked(metric):
    """The planned cell that a metric is timed on, and the request."""
    wanted = ASKS_FOR_MORE.get(metric, "vae")
    planned = next(planned for planned in expand(suite()).planned if planned.variant == wanted)
    return planned.cell, next(request for request in requests(suite(), planned) if request.metric == metric)


@cache
def trained(cell_id):
    """Model and source of a planned cell."""
    made = next(planned.cell for planned in expand(suite()).planned if planned.cell.id == cell_id)
    source = Source(load_dataset("digits"), made.view)
    return train_fleet([made], Surroundings(source))[0].model, source


@pytest.mark.parametrize("metric", METRICS)
def test_scoring(benchmark, metric):
    made, request = asked(metric)
    model, source = trained(made.id)
    time = partial(benchmark.pedantic, rounds=1) if metric in LONG else benchmark
    answers = time(lambda: evaluate(Subject(model, source), [request]))
    assert "done" in {answer.status for answer in answers} <= {"done", "n/a"}

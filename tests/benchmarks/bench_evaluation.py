"""Every quick metric under the budget quick, each on a hardly trained model of the digits to which it applies."""

import functools

import pytest

from vaebench.catalog.catalog import load_catalog
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.metrics.evaluation import evaluate
from vaebench.metrics.subject import Subject
from vaebench.suite.expansion import expand, requests
from vaebench.suite.loading import load_suite_mapping
from vaebench.training.fleet import Surroundings, train_fleet

SLOW = ("log_likelihood_ais", "inference_gap", "mi_lower_bound", "claimed", "gradient_variance")
"""Seconds to minutes each; their inner loops are those of the others."""
COSTS = ("train_seconds", "parameters", "peak_memory")
METRICS = [name for name in load_catalog().metrics if name not in (*SLOW, *COSTS)]


@functools.cache
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
    """The first planned cell to which a metric applies, and the request."""
    for planned in expand(suite()).planned:
        for request in requests(suite(), planned):
            if request.metric == metric:
                return planned.cell, request
    raise AssertionError(f"{metric} applies to none of these models")


@functools.cache
def trained(cell_id):
    """Model and source of a planned cell."""
    made = next(planned.cell for planned in expand(suite()).planned if planned.cell.id == cell_id)
    source = Source(load_dataset("digits"), made.view)
    return train_fleet([made], Surroundings(source))[0].model, source


@pytest.mark.parametrize("metric", METRICS)
def test_scoring(benchmark, metric):
    made, request = asked(metric)
    model, source = trained(made.id)
    answers = benchmark(lambda: evaluate(Subject(model, source), [request]))
    assert answers
    assert all(answer.status != "failed" for answer in answers)

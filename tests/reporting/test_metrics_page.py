"""docs/metrics.md says what the catalog says, and the catalog says how every number is held against a truth."""

import ast
import functools
from pathlib import Path

import pytest

from vaebench import project
from vaebench.catalog.catalog import load_catalog
from vaebench.reporting.metrics_page import page, prose

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "docs" / "metrics.md"
METRICS = load_catalog().metrics


def section(name):
    return page().split(f"\n## {name}\n")[1].split("\n## ")[0]


@functools.cache
def names_of_tests(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_committed_page_is_not_stale():
    assert COMMITTED.read_text(encoding="utf-8") == page(), "run python -m vaebench.reporting.metrics_page again"


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_how_it_is_estimated_how_it_errs_and_which_test_guards_it(name):
    metric = METRICS[name]
    assert metric.estimator
    assert metric.bias
    path, _, test = metric.test.partition("::")
    assert path.startswith("tests/")
    assert test.startswith("test_")
    assert test in names_of_tests(path)


@pytest.mark.parametrize("name", METRICS)
def test_every_number_and_every_parameter_has_its_line(name):
    metric, text = METRICS[name], section(name)
    for column in metric.columns:
        (line,) = (line for line in text.splitlines() if line.startswith(f"| `{column}` "))
        assert prose(metric.column(column).unit) in line
    for parameter in metric.parameters.values():
        (line,) = (line for line in text.splitlines() if line.startswith(f"| `{parameter.name}` "))
        assert line.replace("\\|", "").count("|") == 4 + len(load_catalog().budgets)


def test_budgets_and_restrictions_stand_where_they_belong():
    assert "|       100 |     100 |       1000 |   5000 |" in section("log_likelihood")
    assert "- Views: grey, dequantised." in section("bits_per_dim")
    assert "- Needs labels." in section("probe_accuracy")
    assert "- Needs labels." not in section("elbo")
    assert "generation_prior" in section("sharpness")
    assert "(../tests/metrics/test_other_metrics.py)" in section("active_units")


def test_describe_says_what_the_page_says_also_of_one_number():
    (metric,) = (entry for entry in project.describe("log_likelihood") if entry["what"] == "metric")
    assert metric["protocol"]["samples"].endswith("default 100, quick 100, standard 1000, full 5000")
    assert metric["estimator"] == METRICS["log_likelihood"].estimator
    assert metric["guarded by"] == METRICS["log_likelihood"].test
    (of_a_part,) = project.describe("sharpness.mean_ratio")
    assert of_a_part["name"] == "sharpness"
    assert "nearest 1 is better" in of_a_part["numbers"]["sharpness.mean_ratio"]


def test_what_stands_in_backticks_is_code_and_the_rest_is_text():
    assert prose("with `a_b` and x_i|z *") == "with `a_b` and x_i\\|z \\*"

"""Suites and records: expansion of ten thousand cells, a leaderboard of a hundred thousand rows, a report.

pytest -n 0 tests/benchmarks/bench_reporting.py --benchmark-enable
"""

import pandas as pd
import pytest

from tests.reporting.conftest import unchanged_sources
from tests.reporting.fabrication import TINY, fabricate
from vaebench.reporting.leaderboard import leaderboard_table
from vaebench.reporting.runs import runs_table
from vaebench.reporting.write import write_all
from vaebench.store.folders import ResultsFolder
from vaebench.suite.expansion import expand
from vaebench.suite.fleets import group
from vaebench.suite.loading import load_suite_mapping

__all__ = ["unchanged_sources"]
ROWS = 100_000


@pytest.fixture
def few(tmp_path):
    """The tiny suite of the report's tests, its results and runs."""
    suite, results = load_suite_mapping(TINY), ResultsFolder(tmp_path / "runs")
    fabricate(suite, results)
    return suite, results, runs_table(suite, results)


def test_expansion_of_ten_thousand_cells(benchmark):
    betas = [round(0.01 * step, 2) for step in range(1, 101)]
    suite = load_suite_mapping(
        {
            "suite": "wide",
            "datasets": ["digits/binary"],
            "seeds": 100,
            "variants": [{"extends": "beta-vae", "objective": {"beta": betas}}],
            "metrics": ["elbo"],
        }
    )
    planned = benchmark(lambda: expand(suite).planned)
    assert len(planned) == 10_000
    assert len(group(one.cell for one in planned)) == 1


def test_a_leaderboard_of_a_hundred_thousand_rows(benchmark, few):
    _, _, runs = few
    seeds = -(-ROWS // (len(runs) // TINY["seeds"]))
    one = runs[runs["seed"] == 0]
    many = [one.assign(seed=seed, cell=one["cell"].map(lambda cell, s=seed: f"{s}-{cell}")) for seed in range(seeds)]
    rows = pd.concat(many, ignore_index=True)
    assert len(rows) >= ROWS
    suite = load_suite_mapping({**TINY, "seeds": seeds})
    assert len(benchmark.pedantic(leaderboard_table, (suite, rows), rounds=3)) > 5


def test_everything_that_a_suite_leaves_for_people_to_read(benchmark, few):
    suite, results, _ = few
    benchmark.pedantic(write_all, (suite, results, {"command": "vaebench report"}), rounds=3)
    assert results.suite(suite.name).page.exists()

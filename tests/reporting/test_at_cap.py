"""A value that shows the limit of its evaluator is shown, and neither ranked nor contrasted."""

import dataclasses

import pytest

from tests.reporting.fabrication import TINY, done, fabricate
from vaebench.reporting.contrasts import contrasts_table
from vaebench.reporting.leaderboard import Leaderboard, leaderboard_table
from vaebench.reporting.questions import questions
from vaebench.reporting.runs import runs_table, values_by_seed
from vaebench.reporting.standings import rankings
from vaebench.reporting.statistics import NOT_COMPARABLE
from vaebench.store.record import AT_CAP
from vaebench.suite.loading import load_suite_mapping

SUITE = {
    **TINY,
    "datasets": ["digits/grey"],
    "variants": ["vae-gaussian", "vae-mse", "vae-gaussian-shared"],
    "contrasts": TINY["contrasts"][:1],
}
NOTE = f"{AT_CAP}: from 300 images no code can show more information than ln 300 = 5.70"
MARKED = ("bits_per_dim", "kl")
"""The ranking metric, which is also the contrast's primary one, and another."""


def capped_at(seeds):
    """Records of vae-mse whose marked metrics are at their cap at these seeds."""

    def make(planned):
        record = done(load_suite_mapping(SUITE), planned)
        if planned.cell.seed not in seeds:
            return record
        marked = [
            dataclasses.replace(answer, note=NOTE) if answer.metric in MARKED else answer for answer in record.metrics
        ]
        return dataclasses.replace(record, metrics=marked)

    return {"vae-mse": make}


@pytest.fixture
def report(results):
    suite = load_suite_mapping(SUITE)

    def made(seeds):
        fabricate(suite, results, instead=capped_at(seeds))
        runs = runs_table(suite, results)
        return suite, runs, Leaderboard(leaderboard_table(suite, runs)), contrasts_table(suite, runs)

    return made


@pytest.mark.parametrize("seeds", [{3}, {0, 1, 2, 3, 4}])
def test_a_row_with_a_value_at_its_cap_is_shown_and_not_ranked(report, seeds):
    suite, _, without, _ = report(set())
    _, runs, board, _ = report(seeds)
    row = board.filter(variant="vae-mse").table.iloc[0]
    before = without.filter(variant="vae-mse").table.iloc[0]
    assert before["rank"] >= 1
    assert row.isna()["rank"]
    assert row["bits_per_dim"] == before["bits_per_dim"]
    assert row["kl"] == before["kl"]
    assert (row["seeds"], row["failed"]) == (5, 0)
    others = board.table[board.table["variant"] != "vae-mse"]
    assert others["rank"].tolist() == list(range(1, len(others) + 1))
    (ranking,) = rankings(suite, runs, board.table)
    assert ranking.table.rows[-1].below
    assert f"{AT_CAP}: seed" in str(ranking.table.rows[-1].cells[-1].content)
    tables = [ranking.table, *(table for _, table in ranking.others)]
    marked = [row for table in tables for row in table.rows for cell in row.cells if str(cell.content).endswith(AT_CAP)]
    assert ["vae-mse" in str([cell.content for cell in row.cells]) for row in marked] == [True] * len(MARKED)


def test_a_contrast_uses_the_seeds_at_which_neither_side_is_at_its_cap(report):
    _, runs, _, contrasts = report({3})
    row = contrasts[contrasts["primary"]].iloc[0]
    assert row["seeds"] == 4
    values = values_by_seed(runs)
    theory, practice = (values["digits", "grey", side]["bits_per_dim"] for side in ("vae-gaussian", "vae-mse"))
    kept = [practice[seed] - theory[seed] for seed in (0, 1, 2, 4)]
    assert row["difference"] == pytest.approx(sum(kept) / 4)
    assert contrasts[contrasts["metric"] == "kl"]["seeds"].tolist() == [4]
    assert contrasts[contrasts["metric"] == "elbo"]["seeds"].tolist() == [5]


def test_where_every_value_is_at_its_cap_the_contrast_says_so_and_compares_nothing(report):
    suite, runs, _, contrasts = report({0, 1, 2, 3, 4})
    row = contrasts[contrasts["primary"]].iloc[0]
    assert row["verdict"] == NOT_COMPARABLE
    assert row["seeds"] == 0
    assert "kl" not in contrasts["metric"].tolist()
    (question,) = questions(suite, runs, contrasts)
    assert str(question.answers[0].reason) == NOTE

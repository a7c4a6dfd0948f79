"""`vaebench compare`: which rows meet, how they are paired, what is refused, and with which words."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import stats

from tests.reporting.fabrication import TINY, fabricate, failed, plausible
from vaebench.reporting import statistics
from vaebench.reporting.compare import Side, compare, compare_means, read_side
from vaebench.reporting.leaderboard import Leaderboard, leaderboard_table
from vaebench.reporting.runs import runs_table
from vaebench.reporting.tables import write_table
from vaebench.store.files import StoreError, write_json
from vaebench.store.folders import ResultsFolder
from vaebench.suite.loading import load_suite_mapping

SMALL = {**TINY, "datasets": ["digits/grey"], "variants": ["vae-gaussian", "vae-mse"], "contrasts": []}
NOISE = {0: 0.03, 1: -0.05, 2: 0.02, 3: -0.01, 4: 0.015}
"""Of the difference, seed by seed: small beside the spread of either side over seeds."""


def side(tmp_path, name, content=SMALL, keep_runs=True, suite=None, **fabricated):
    suite = suite or load_suite_mapping(content)
    results = ResultsFolder(tmp_path / name)
    fabricate(suite, results, **fabricated)
    runs = runs_table(suite, results)
    board = Leaderboard(leaderboard_table(suite, runs))
    return Side(name, board, runs if keep_runs else None, suite if keep_runs else None)


def shifted(amount):
    """The usual numbers, with a constant and a little noise added to those of vae-mse."""
    return lambda planned, column: (
        plausible(planned, column)
        + (amount + NOISE.get(planned.cell.seed, 0.0) if planned.variant == "vae-mse" else 0.0)
    )


def difference(compared, variant, metric):
    (found,) = [d for d in compared.differences if (d.key.variant, d.metric) == (variant, metric)]
    return found


def test_the_same_numbers_are_the_same(tmp_path):
    compared = compare(side(tmp_path, "a"), side(tmp_path, "b"))
    scored = [d for d in compared.differences if d.metric not in ("train_seconds", "parameters")]
    assert {d.verdict for d in scored} == {"not distinguishable"}
    assert {d.note for d in scored} == {"the same numbers"}
    assert set(compared.differs_in.values()) == {()}


def test_a_difference_is_paired_by_seed_and_equals_scipys(tmp_path):
    before, after = side(tmp_path, "a"), side(tmp_path, "b", numbers=shifted(0.1))
    found = difference(compare(before, after), "vae-mse", "bits_per_dim")
    differences = [0.1 + noise for noise in NOISE.values()]
    assert found.paired
    assert found.difference == pytest.approx(np.mean(differences))
    assert found.p_value == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    assert (found.low, found.high) == pytest.approx(
        stats.t.interval(0.95, 4, np.mean(differences), stats.sem(differences))
    )


def test_holm_runs_over_the_rows_of_a_metric(tmp_path):
    compared = compare(side(tmp_path, "a"), side(tmp_path, "b", numbers=shifted(0.1)))
    found = difference(compared, "vae-mse", "bits_per_dim")
    assert found.p_holm == pytest.approx(min(1.0, 2 * found.p_value))


@pytest.mark.parametrize(
    ("metric", "amount", "verdict"),
    [
        ("bits_per_dim", 0.5, "A better"),
        ("bits_per_dim", -0.5, "B better"),
        ("elbo", 0.5, "B better"),
        ("kl", 0.5, "B higher"),
        ("kl", -0.5, "B lower"),
        ("kl", 0.001, "not distinguishable"),
    ],
)
@pytest.mark.parametrize("paired", [True, False])
def test_the_words_follow_the_direction_of_the_metric(tmp_path, metric, amount, verdict, paired):
    amount = amount if paired else 20 * amount
    before, after = side(tmp_path, "a"), side(tmp_path, "b", keep_runs=paired, numbers=shifted(amount))
    found = difference(compare(before, after), "vae-mse", metric)
    assert (found.verdict, found.paired) == (verdict, paired)


def test_without_runs_the_means_are_compared_and_it_is_said(tmp_path):
    before, after = side(tmp_path, "a"), side(tmp_path, "b", numbers=shifted(1.0))
    left, right = (list(side.values["digits", "grey", "vae-mse"]["bits_per_dim"].values()) for side in (before, after))
    found = difference(compare(before, dataclasses.replace(after, runs=None)), "vae-mse", "bits_per_dim")
    welch = stats.ttest_ind(right, left, equal_var=False)
    assert found.p_value == pytest.approx(welch.pvalue, rel=1e-6)
    assert (found.low, found.high) == pytest.approx(tuple(welch.confidence_interval(0.95)))
    assert found.note == "means only, protocol unknown: no runs.csv of B"


def test_means_without_any_spread_differ_surely_or_not_at_all():
    same, other = statistics.Estimate(1.0, 1.0, 1.0, 5), statistics.Estimate(2.0, 2.0, 2.0, 5)
    assert compare_means(same, same).p_value == 1.0
    assert compare_means(same, other).p_value == 0.0


def test_another_protocol_is_refused_for_that_metric_alone(tmp_path):
    suite = load_suite_mapping(SMALL)
    budget = {**suite.budget, "elbo": {**suite.budget["elbo"], "samples": 77}}
    compared = compare(side(tmp_path, "a"), side(tmp_path, "b", suite=dataclasses.replace(suite, budget=budget)))
    found = difference(compared, "vae-mse", "elbo")
    assert (found.verdict, found.difference) == ("not comparable", None)
    assert found.note == "other protocol: samples=8 in A, samples=77 in B"
    assert difference(compared, "vae-mse", "kl").verdict == "not distinguishable"


def test_fewer_than_five_seeds_reach_no_verdict(tmp_path):
    few = {**SMALL, "seeds": 3}
    found = difference(compare(side(tmp_path, "a", few), side(tmp_path, "b", few)), "vae-mse", "kl")
    assert (found.verdict, found.note) == ("not comparable", "3 seeds, 5 are needed")


def test_only_seeds_that_both_have_are_paired(tmp_path):
    before, after = side(tmp_path, "a", {**SMALL, "seeds": 6}), side(tmp_path, "b", {**SMALL, "seeds": [5, 3, 4, 1, 2]})
    assert difference(compare(before, after), "vae-mse", "kl").seeds == 5


def test_a_row_without_numbers_is_refused_and_says_whose(tmp_path):
    after = side(tmp_path, "b", instead={"vae-mse": failed})
    assert difference(compare(side(tmp_path, "a"), after), "vae-mse", "kl").note == "B has no number"


def test_an_incomplete_row_is_not_compared_by_its_mean(tmp_path):
    before, after = side(tmp_path, "a"), side(tmp_path, "b", keep_runs=False)
    after.board.table["failed"] = 1
    found = difference(compare(before, after), "vae-mse", "kl")
    assert (found.verdict, found.note) == ("not comparable", "B is incomplete in 1 of 6 cells")


def test_costs_are_shown_and_not_judged(tmp_path):
    found = difference(compare(side(tmp_path, "a"), side(tmp_path, "b")), "vae-mse", "train_seconds")
    assert (found.difference, found.verdict, found.note) == (0.0, "not comparable", "a cost, not judged")


def test_models_that_differ_say_in_what(tmp_path):
    wider = {**SMALL, "defaults": {"latent": 8}, "recipe": {"extends": "quick", "epochs": 3}}
    compared = compare(side(tmp_path, "a"), side(tmp_path, "b", wider))
    assert set(compared.differs_in.values()) == {("latent", "recipe")}


def test_rows_meet_by_name_and_view_and_the_others_are_named(tmp_path):
    other = {**SMALL, "datasets": ["digits/grey", "digits/binary"], "variants": ["vae", "vae-mse"]}
    compared = compare(side(tmp_path, "a"), side(tmp_path, "b", other))
    assert [key.variant for key in compared.differs_in] == ["vae-mse"]
    assert [key.title for key in compared.only_first] == ["digits/grey/vae-gaussian (density)"]
    assert [key.source for key in compared.only_second] == ["digits/grey", "digits/binary"]


def written(tmp_path, name, content=SMALL, **fabricated):
    """A suite's folder, with what `compare` reads of it."""
    suite = load_suite_mapping(content)
    results = ResultsFolder(tmp_path / name)
    fabricate(suite, results, **fabricated)
    folder, runs = results.suite(suite.name), runs_table(suite, results)
    write_table(folder.runs, runs)
    write_table(folder.leaderboard, leaderboard_table(suite, runs))
    write_json(folder.lock, {"suite": suite.to_json(), "source": "tiny"})
    return folder.path


def test_a_folder_and_its_leaderboard_are_the_same_side_and_a_copy_stands_alone(tmp_path):
    folder = written(tmp_path, "a")
    (tmp_path / "yesterday.csv").write_bytes((folder / "leaderboard.csv").read_bytes())
    assert read_side(folder).runs is not None
    assert read_side(folder / "leaderboard.csv").runs is not None
    assert read_side(tmp_path / "yesterday.csv").runs is None


def test_a_row_that_is_there_twice_is_refused(tmp_path):
    folder = written(tmp_path, "a")
    lines = (folder / "leaderboard.csv").read_text().splitlines(keepends=True)
    (folder / "leaderboard.csv").write_text("".join([*lines, lines[-1]]))
    with pytest.raises(StoreError, match="two rows for digits/grey"):
        compare(read_side(folder), read_side(folder))


def test_the_command_prints_a_table_or_json(tmp_path, call):
    first, second = written(tmp_path, "a"), written(tmp_path, "b", numbers=shifted(0.5))
    code, out, _ = call("compare", first, second, "--only", "*/vae-mse")
    assert code == 0
    assert "digits/grey/vae-mse (density): the same models" in out
    assert "vae-gaussian" not in out
    line = next(line for line in out.splitlines() if line.startswith("bits_per_dim"))
    assert line.endswith("A better")
    code, out, _ = call("compare", first, second, "--json", "--metric", "kl")
    rows = json.loads(out)["rows"]
    assert [metric["metric"] for metric in rows[1]["metrics"]] == ["kl"]
    assert rows[1]["metrics"][0]["verdict"] == "B higher"


def test_nothing_in_common_is_exit_code_5_and_wrong_input_2(tmp_path, call):
    folder = written(tmp_path, "a")
    other = written(tmp_path, "b", {**SMALL, "variants": ["vae"]})
    assert call("compare", folder, other)[0] == 5
    assert call("compare", folder, folder, "--only", "nothing")[0] == 5
    code, _, said = call("compare", folder, tmp_path / "none")
    assert (code, "none: no folder of a suite and no leaderboard" in said) == (2, True)
    code, _, said = call("compare", folder, folder / "runs.csv")
    assert (code, "no column measure" in said) == (2, True)
    code, _, said = call("compare", folder, folder, "--metric", "elbow")
    assert (code, "did you mean 'elbo'" in said) == (2, True)

"""Regression gates: what shuts them, what does not, how often they err, and the words that they use."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from ruamel.yaml import YAML
from scipy import stats

from tests.reporting.fabrication import CENTRES, SOURCES, TINY, done, fabricate, failed, plausible
from tests.reporting.gate_simulation import REPETITIONS, Design, false_alarms, power
from vaebench import cli, project
from vaebench.reporting.baseline import present, read_baseline, runs_file, write_baseline
from vaebench.reporting.gate import MinimumEffects, gate
from vaebench.store.files import StoreError, write_json
from vaebench.store.folders import ResultsFolder
from vaebench.suite.loading import load_suite_mapping

SMALL = {
    **TINY,
    "datasets": ["digits/grey"],
    "variants": [{"extends": name, "on": ["digits/grey"]} for name in ("vae-gaussian", "vae-mse", "ppca")],
    "contrasts": [],
}
NOISE = {0: 0.03, 1: -0.05, 2: 0.02, 3: -0.01, 4: 0.01}
"""Of a difference, seed by seed; its mean is 0."""


def run_of(path, content=SMALL, suite=None, **fabricated):
    """A suite as a run leaves it, and its present numbers."""
    suite = suite or load_suite_mapping(content)
    results = ResultsFolder(path)
    fabricate(suite, results, **fabricated)
    write_json(results.suite(suite.name).lock, {"suite": suite.to_json(), "source": "tiny"})
    return present(suite, results)


def shifted(amount, metric="bits_per_dim", variant="vae-mse", noise=NOISE):
    """The usual numbers, but `amount` more of one metric of one variant."""

    def numbers(planned, column):
        is_it = (planned.variant, column) == (variant, metric)
        return plausible(planned, column) + (amount + noise.get(planned.cell.seed, 0.0) if is_it else 0.0)

    return numbers


def texts(findings):
    return [f"{finding.kind}: {finding.text}" for finding in findings]


@pytest.fixture
def before(tmp_path):
    return run_of(tmp_path / "before")


def test_the_same_numbers_pass_and_nothing_is_said_of_them(tmp_path, before):
    found = gate(before, run_of(tmp_path / "now"))
    assert found.passed
    assert (found.problems, found.reports) == ([], [])
    assert {test.verdict for test in found.tests} == {"equal"}


def test_a_worse_number_shuts_the_gate_with_one_line_in_plain_words(tmp_path, before):
    found = gate(before, run_of(tmp_path / "now", numbers=shifted(0.5)))
    values = [0.5 + noise for noise in NOISE.values()]
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    p_value = stats.ttest_1samp(values, 0).pvalue
    assert texts(found.problems) == [
        "regression: digits/grey vae-mse bits_per_dim: 0.500 bits per pixel higher than the baseline "
        f"(95 % {low:.3f} … {high:.3f}, p < 0.0001 after Holm, 5 seeds paired)"
    ]
    (test,) = [test for test in found.tests if test.p_holm is not None]
    assert test.p_holm == pytest.approx(p_value)


@pytest.mark.parametrize(
    ("metric", "amount", "kind", "words"),
    [
        ("elbo", -2.0, "regression", "2.000 nats lower"),
        ("elbo", 2.0, "too good?", "2.000 nats higher"),
        ("bits_per_dim", -0.5, "too good?", "0.500 bits per pixel lower"),
        ("kl", 2.0, "changed", "2.000 nats higher"),
        ("kl", -2.0, "changed", "2.000 nats lower"),
        ("probe_accuracy.knn", -0.5, "regression", "0.500 lower"),
        ("sharpness.mean_ratio", -0.2, "regression", "0.200 further from 1"),
        ("sharpness.mean_ratio", 0.2, "too good?", "0.200 nearer to 1"),
    ],
)
def test_the_direction_of_the_metric_says_what_is_worse(tmp_path, metric, amount, kind, words):
    """A ratio of 0.7 that falls goes away from 1. A metric without a direction can only change."""
    straight = run_of(tmp_path / "before")
    found = gate(straight, run_of(tmp_path / "now", numbers=shifted(amount, metric, "vae-gaussian")))
    (line,) = texts([*found.problems, *found.reports])
    assert line.startswith(f"{kind}: digits/grey vae-gaussian {metric}: {words} than the baseline")
    assert found.passed == (kind != "regression")


def test_an_improvement_fails_nothing_and_is_doubted(tmp_path, before):
    found = gate(before, run_of(tmp_path / "now", numbers=shifted(-0.5)))
    assert found.passed
    assert "note: when a number looks too good, it is a bug until shown otherwise" in found.lines


def test_costs_never_gate(tmp_path, before):
    for metric in ("train_seconds", "parameters"):
        now = run_of(tmp_path / metric, numbers=shifted(1e6, metric))
        assert {test.verdict for test in gate(before, now).tests} == {"equal"}
        assert metric not in {test.metric for test in gate(before, now).tests}


def test_seed_noise_is_no_regression(tmp_path, before):
    now = run_of(tmp_path / "now", numbers=shifted(0.01))
    (test,) = [test for test in gate(before, now).tests if test.p_holm is not None]
    assert (test.verdict, test.compared.difference) == ("within tolerance", pytest.approx(0.01))


@pytest.mark.parametrize(
    ("least", "passed"),
    [
        (MinimumEffects(0.49), False),
        (MinimumEffects(0.51), True),
        (MinimumEffects(0.51, {"bits_per_dim": 0.1}), False),
        (MinimumEffects(0.1, {"bits_per_dim": 0.6}), True),
    ],
)
def test_a_difference_up_to_the_minimum_effect_does_not_matter(tmp_path, before, least, passed):
    assert gate(before, run_of(tmp_path / "now", numbers=shifted(0.5)), least).passed == passed


def test_a_minimum_effect_of_a_family_is_that_of_its_parts():
    least = MinimumEffects(0.0, {"probe_accuracy": 0.5, "probe_accuracy.knn": 0.25})
    assert [least.of(f"probe_accuracy.{part}") for part in ("logistic", "knn")] == [0.5, 0.25]


def test_what_float32_rounds_away_is_no_regression_however_sure_it_is(tmp_path, before):
    """A closed form has no seed noise, so the same rounding at every seed has p = 0."""
    tiny, small = (
        gate(before, run_of(tmp_path / f"{amount}", numbers=shifted(amount, variant="ppca", noise={})))
        for amount in (1e-7, 1e-3)
    )
    assert tiny.passed
    assert [problem.text for problem in small.problems] == [
        "digits/grey ppca bits_per_dim: 0.001000 bits per pixel higher than the baseline "
        "(the same at every seed, p < 0.0001 after Holm, 5 seeds paired)"
    ]


def test_holm_runs_over_all_that_moved_and_what_is_the_same_costs_nothing(tmp_path, before):
    def everything(planned, column):
        worse = shifted(0.08)(planned, column)
        return worse if planned.variant != "vae-gaussian" else worse + 0.01 * NOISE[planned.cell.seed] * abs(worse)

    alone = gate(before, run_of(tmp_path / "alone", numbers=shifted(0.08)))
    crowd = gate(before, run_of(tmp_path / "crowd", numbers=everything))
    (single,) = [test for test in alone.tests if test.p_holm is not None]
    moved = [test for test in crowd.tests if test.p_holm is not None]
    assert len(moved) > 9
    (same,) = [test for test in moved if test.key.variant == "vae-mse"]
    assert single.p_holm == pytest.approx(single.compared.p_value)
    assert same.p_holm == pytest.approx(len(moved) * single.compared.p_value)
    assert (single.verdict, same.verdict) == ("worse", "within tolerance")


def test_without_runs_means_are_compared_by_welch_and_it_is_said(tmp_path, before):
    now = run_of(tmp_path / "now", numbers=shifted(0.5))
    found = gate(dataclasses.replace(before, runs=None), now)
    old, new = (list(side.values["digits", "grey", "vae-mse"]["bits_per_dim"].values()) for side in (before, now))
    welch = stats.ttest_ind(new, old, equal_var=False)
    (problem,) = found.problems
    assert problem.text.endswith("after Holm, 5 seeds a side, not paired)")
    (test,) = [test for test in found.tests if test.p_holm is not None]
    assert test.compared.p_value == pytest.approx(welch.pvalue, rel=1e-6)
    assert (test.compared.low, test.compared.high) == pytest.approx(tuple(welch.confidence_interval(0.95)), rel=1e-6)
    assert "by Welch's test of the means, since no runs.csv stands beside it" in found.summary


def test_other_seeds_are_compared_by_welch_and_the_old_ones_have_vanished(tmp_path, before):
    now = run_of(tmp_path / "now", {**SMALL, "seeds": [5, 6, 7, 8, 9]})
    found = gate(before, now)
    assert {test.paired for test in found.tests} == {False}
    assert {problem.kind for problem in found.problems} == {"vanished seeds"}
    assert "new: seeds 5, 6, 7, 8, 9 new" in texts(found.reports)


@pytest.mark.parametrize("keep_runs", [True, False])
def test_a_model_that_explodes_shuts_the_gate_where_no_test_of_means_would(tmp_path, before, keep_runs):
    before = before if keep_runs else dataclasses.replace(before, runs=None)
    blown = run_of(tmp_path / "now", numbers=shifted(0.0, noise={3: 1e17}))
    found = gate(before, blown)
    assert texts(found.problems) == ["exploded: digits/grey vae-mse bits_per_dim: exploded at seed 3 (1.000e+17)"]
    assert gate(blown, blown).passed


@pytest.mark.parametrize("keep_runs", [True, False])
def test_vanished_rows_columns_and_seeds_shut_the_gate(tmp_path, before, keep_runs):
    before = before if keep_runs else dataclasses.replace(before, runs=None)
    fewer = {
        **SMALL,
        "variants": SMALL["variants"][:2],
        "metrics": [name for name in SMALL["metrics"] if name != "kl"],
        "seeds": 4,
    }
    found = gate(before, run_of(tmp_path / "now", fewer))
    seeds = "seed 4 vanished (not planned any more)" if keep_runs else "4 complete seeds, 5 in the baseline"
    assert set(texts(found.problems)) == {
        "vanished row: digits/grey ppca (density): the row has vanished",
        "vanished column: kl: the column has vanished",
        f"vanished seeds: digits/grey vae-gaussian: {seeds}",
        f"vanished seeds: digits/grey vae-mse: {seeds}",
    }


def unscored(planned):
    record = done(load_suite_mapping(SMALL), planned)
    answers = [answer for answer in record.metrics if answer.family == "probe_accuracy"]
    return record.with_answers(
        [dataclasses.replace(answer, status="failed", value=None, note="singular") for answer in answers]
    )


def test_seeds_that_failed_are_told_with_their_reason_on_one_line(tmp_path, before):
    def diverged(planned):
        return failed(planned) if planned.cell.seed in (1, 3) else done(load_suite_mapping(SMALL), planned)

    found = gate(before, run_of(tmp_path / "now", instead={"vae-mse": diverged, "vae-gaussian": unscored}))
    assert texts(found.problems) == [
        "vanished seeds: digits/grey vae-gaussian probe_accuracy.logistic, probe_accuracy.knn: "
        "seeds 0, 1, 2, 3, 4 vanished (singular)",
        "vanished seeds: digits/grey vae-mse: seeds 1, 3 vanished (diverged at step 120: the loss is not finite)",
    ]


@pytest.mark.parametrize("keep_runs", [True, False])
def test_stale_cells_shut_the_gate(tmp_path, before, keep_runs):
    def older(planned):
        return done(load_suite_mapping(SMALL), planned, fingerprints={**SOURCES, "models": "m0"})

    before = before if keep_runs else dataclasses.replace(before, runs=None)
    found = gate(before, run_of(tmp_path / "now", instead={"vae-mse": older}))
    assert texts(found.problems) == [
        "stale cells: digits/grey vae-mse: seeds 0, 1, 2, 3, 4 stale (changed since it was trained: models); "
        "run the suite again"
    ]


def test_what_an_evaluator_has_noted_of_stale_values_does_not_tear_their_line_apart(tmp_path, before):
    def older(planned):
        record = done(load_suite_mapping(SMALL), planned, fingerprints={**SOURCES, "models": "m0"})
        noted = [
            dataclasses.replace(answer, note=f"effective sample size {planned.cell.seed} of 100")
            if answer.metric in ("bits_per_dim", "elbo")
            else answer
            for answer in record.metrics
        ]
        return dataclasses.replace(record, metrics=noted)

    found = gate(before, run_of(tmp_path / "now", instead={"vae-mse": older}))
    assert texts(found.problems) == [
        "stale cells: digits/grey vae-mse: seeds 0, 1, 2, 3, 4 stale (changed since it was trained: models); "
        "run the suite again"
    ]


def with_budget(metric, **changes):
    suite = load_suite_mapping(SMALL)
    return dataclasses.replace(suite, budget={**suite.budget, metric: {**suite.budget[metric], **changes}})


def test_a_changed_protocol_shuts_the_gate_in_one_line_and_its_numbers_are_not_compared(tmp_path, before):
    now = run_of(tmp_path / "now", suite=with_budget("elbo", samples=77), numbers=shifted(-5, "elbo"))
    found = gate(before, now)
    assert texts(found.problems) == [
        "changed protocol: elbo: another protocol in 3 rows, samples=8 → samples=77; not compared"
    ]
    assert "elbo" not in {test.metric for test in found.tests}


def test_what_is_new_is_listed_and_fails_nothing(tmp_path, before):
    more = {**SMALL, "variants": [*SMALL["variants"], "vae"], "seeds": 7, "metrics": [*SMALL["metrics"], "precision"]}
    found = gate(before, run_of(tmp_path / "now", more))
    assert found.passed
    assert texts(found.reports) == [
        "new: digits/grey vae (density): a new row",
        "new: precision: a new column",
        "new: seeds 5, 6 new",
    ]


def test_a_model_that_is_composed_in_another_way_is_noted(tmp_path, before):
    found = gate(before, run_of(tmp_path / "now", {**SMALL, "defaults": {"latent": 5}}))
    assert texts(found.reports) == [
        "note: digits/grey vae-gaussian, digits/grey vae-mse, digits/grey ppca: composed or trained in another way "
        "than in the baseline"
    ]


def test_a_baseline_that_is_incomplete_is_noted(tmp_path):
    baseline = run_of(tmp_path / "before", instead={"vae-mse": failed})
    found = gate(baseline, run_of(tmp_path / "now"))
    assert "note: digits/grey vae-mse: incomplete in the baseline, 0 of 5 seeds" in texts(found.reports)


def test_two_seeds_test_nothing_and_that_is_no_pass(tmp_path):
    few = {**SMALL, "seeds": 2}
    before = run_of(tmp_path / "before", few)
    now = run_of(tmp_path / "now", few, numbers=lambda planned, column: plausible(planned, column) + 0.1)
    assert texts(gate(before, now).problems) == [
        "nothing tested: nothing could be tested: a test needs 3 seeds on either side"
    ]
    assert gate(before, before).passed


def test_a_number_that_stayed_the_same_is_no_test_of_those_that_did_not(tmp_path):
    def numbers(planned, column):
        return plausible(planned, column) - (5.0 if column == "elbo" else 0.0)

    few = {**SMALL, "seeds": 1}
    before, now = run_of(tmp_path / "before", few), run_of(tmp_path / "now", few, numbers=numbers)
    found = gate(before, now)
    assert {test.verdict for test in found.tests} == {"equal", "not tested"}
    assert not found.passed


def test_only_some_metrics_may_be_looked_at(tmp_path, before):
    now = run_of(tmp_path / "now", numbers=shifted(0.5))
    assert gate(before, now, metrics=["elbo", "probe_accuracy"]).passed
    assert {test.metric for test in gate(before, now, metrics=["probe_accuracy"]).tests} == {
        "probe_accuracy.logistic",
        "probe_accuracy.knn",
    }
    assert not gate(before, now, metrics=["bits_per_dim"]).passed


SIMULATED = Design(3, ("elbo", "reconstruction.squared_error", "sharpness.mean_ratio", "kl"))


@pytest.mark.parametrize("repetition", REPETITIONS, ids=lambda repetition: repetition.name)
def test_identical_code_shuts_the_gate_in_at_most_five_of_a_hundred_reruns(repetition):
    """The whole gate, not each number. With shared seeds identical code gives identical numbers, so never."""
    reruns, most = (500, 0.05) if repetition.fresh else (50, 0.0)
    assert false_alarms(repetition, reruns, SIMULATED) <= most


def test_a_shift_of_one_and_a_half_deviations_is_seen_as_often_as_the_page_says():
    """One number at five shared seeds: certain where pairing takes the noise away, else as the noncentral t says."""
    assert power(1.0, 20, SIMULATED) == 1.0
    one = Design(1, ("elbo",))
    for correlation in (0.9, 0.0):
        shift = 1.5 * np.sqrt(5) / np.sqrt(2 - 2 * correlation)
        expected = stats.nct.cdf(-stats.t.ppf(0.975, 4), 4, -shift)
        assert power(correlation, 300, one) == pytest.approx(expected, abs=0.09)


@pytest.fixture
def kept(tmp_path, before):
    """A baseline on disk."""
    path = tmp_path / "kept" / "baseline.csv"
    write_baseline(path, before)
    return path


def test_a_baseline_reads_as_it_was_written(kept, before):
    side = read_baseline(kept)
    pd.testing.assert_frame_equal(side.board.table, before.board.table)
    pd.testing.assert_frame_equal(side.runs, before.runs, check_dtype=False)
    assert sorted(path.name for path in kept.parent.iterdir()) == ["baseline.csv", "baseline.runs.csv"]


def test_the_runs_of_a_copied_leaderboard_are_found_beside_it_too(kept, tmp_path):
    copied = tmp_path / "copied"
    copied.mkdir()
    for name, source in (("leaderboard.csv", kept), ("runs.csv", runs_file(kept))):
        (copied / name).write_bytes(source.read_bytes())
    assert read_baseline(copied).runs is not None
    (copied / "leaderboard.csv").rename(copied / "old.csv")
    assert read_baseline(copied / "old.csv").runs is not None


def test_runs_of_another_leaderboard_are_refused(kept, tmp_path):
    write_baseline(tmp_path / "other.csv", run_of(tmp_path / "other", numbers=shifted(0.5)))
    runs_file(kept).write_bytes(runs_file(tmp_path / "other.csv").read_bytes())
    with pytest.raises(StoreError, match=r"baseline.runs.csv: not the runs of .*baseline.csv \(the mean of bits_per"):
        read_baseline(kept)


@pytest.mark.parametrize(
    ("old", "new", "missing"),
    [
        ("bits_per_dim,", "bits_per_dimm,", "column is missing: bits_per_dim"),
        ("bits_per_dim_low,bits_per_dim_high", "a,b", "columns are missing: bits_per_dim_low, bits_per_dim_high"),
    ],
)
def test_a_baseline_that_lost_a_part_of_a_metric_is_refused(kept, old, new, missing):
    header, rest = kept.read_text().split("\n", 1)
    assert old in header
    kept.write_text(f"{header.replace(old, new)}\n{rest}")
    with pytest.raises(StoreError, match=f"baseline.csv: the {missing}; restore it, or move it away"):
        read_baseline(kept)


def test_a_column_that_somebody_added_to_a_baseline_is_let_be(kept):
    lines = kept.read_text().splitlines()
    kept.write_text("\n".join(f"{line},{'weight' if place == 0 else 1}" for place, line in enumerate(lines)) + "\n")
    assert read_baseline(kept).runs is not None


def test_a_stale_number_never_becomes_a_baseline(tmp_path):
    def older(planned):
        return done(load_suite_mapping(SMALL), planned, fingerprints={**SOURCES, "models": "m0"})

    with pytest.raises(StoreError, match="5 stale cells"):
        write_baseline(tmp_path / "baseline.csv", run_of(tmp_path / "now", instead={"vae-mse": older}))
    assert not (tmp_path / "baseline.csv").exists()


def test_the_command_ends_with_4_on_a_regression_and_with_0_without(tmp_path, kept, call):
    run_of(tmp_path / "now", numbers=shifted(0.5))
    run_of(tmp_path / "same")
    code, out, _ = call("gate", tmp_path / "now" / "tiny", "--baseline", kept)
    assert code == 4
    assert out.splitlines()[0].startswith("digits/grey vae-mse bits_per_dim: 0.500 bits per pixel higher")
    summary = rf"tiny: 1 problem; 1 number tested against {kept}, paired by seed; \d+ the same to the last digit"
    assert re.fullmatch(summary, out.splitlines()[-1])
    assert call("gate", tmp_path / "same" / "tiny", "--baseline", kept)[0] == 0


def test_the_command_takes_minimum_effects_and_metrics(tmp_path, kept, call):
    run_of(tmp_path / "now", numbers=shifted(0.5))
    arguments = ("gate", tmp_path / "now" / "tiny", "--baseline", kept)
    assert call(*arguments, "--min-effect", "0.6")[0] == 0
    assert call(*arguments, "--min-effect", "0.6", "--min-effect", "bits_per_dim=0.1")[0] == 4
    assert call(*arguments, "--metric", "elbo", "--metric", "kl")[0] == 0


def test_the_command_speaks_json(tmp_path, kept, call):
    run_of(tmp_path / "now", numbers=shifted(0.5))
    code, out, _ = call("gate", tmp_path / "now" / "tiny", "--baseline", kept, "--json")
    content = json.loads(out)
    assert (code, content["passed"], content["paired"]) == (4, False, True)
    assert [problem["kind"] for problem in content["problems"]] == ["regression"]
    (moved,) = [test for test in content["tests"] if test["verdict"] == "worse"]
    assert (moved["variant"], moved["metric"], moved["difference"]) == ("vae-mse", "bits_per_dim", pytest.approx(0.5))


def test_update_writes_only_when_asked_and_says_what_it_replaced(tmp_path, kept, call):
    run_of(tmp_path / "now", numbers=shifted(0.5))
    folder, old = tmp_path / "now" / "tiny", kept.read_bytes()
    call("gate", folder, "--baseline", kept)
    assert kept.read_bytes() == old
    code, out, _ = call("gate", folder, "--baseline", kept, "--update")
    assert code == 0
    assert "0.500 bits per pixel higher" in out
    size = f"3 rows, {len(CENTRES)} metrics, 5 seeds"
    assert out.splitlines()[-1] == f"{kept}: written with baseline.runs.csv: {size}, in place of {size}"
    assert call("gate", folder, "--baseline", kept)[0] == 0
    first = tmp_path / "first.csv"
    assert "there was no baseline before" in call("gate", folder, "--baseline", first, "--update")[1]
    assert first.read_bytes() == kept.read_bytes()


def changed_csv(path: Path, change) -> Path:
    table = pd.read_csv(path, keep_default_na=False, dtype=str)
    target = path.with_name("changed.csv")
    change(table).to_csv(target, index=False)
    return target


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--baseline", "{suite}"], "changed.csv: is a baseline of the suite other, not of tiny"),
        (["--baseline", "{suite}", "--update"], "changed.csv: is a baseline of the suite other, not of tiny"),
        (["--baseline", "{view}"], "no row of it is in the suite: digits/binary there, digits/grey here"),
        (["--baseline", "{schema}"], "cannot be read as a table of vaebench (no column measure)"),
        (["--baseline", "{empty}"], "changed.csv: has no rows"),
        (["--baseline", "{words}"], "(line 2, column elbo: 'much' is no number)"),
        (["--baseline", "{shares}"], "(line 2, column rank: '1.5' is no whole number)"),
        (["--baseline", "{ragged}"], "cannot be read as a table of vaebench (line 3 has 3 cells, the first has 2)"),
        (["--baseline", "{cut}"], "cannot be read as a table of vaebench (its last line has no end: was it cut off?)"),
        (
            ["--baseline", "nowhere.csv"],
            "no such baseline; --update (in pytest --vaebench-update) writes the first one",
        ),
        (["--baseline", "{own}"], "is the suite's own, which every run writes anew"),
        (["--baseline", "{kept}", "--min-effect", "much"], "--min-effect much: must be a size such as 0.1"),
        (["--baseline", "{kept}", "--min-effect", "elbow=1"], "no metric 'elbow'; did you mean 'elbo'?"),
        (["--baseline", "{kept}", "--min-effect", "-1"], "the minimum effect of * must be 0 or more, is -1.0"),
        (["--baseline", "{kept}", "--metric", "elbow"], "did you mean 'elbo'?"),
    ],
)
def test_wrong_input_is_one_clear_line(tmp_path, kept, call, arguments, message):
    run_of(tmp_path / "now")
    runs_file(kept).unlink()
    made = {
        "suite": lambda: changed_csv(kept, lambda table: table.assign(suite="other")),
        "view": lambda: changed_csv(kept, lambda table: table.assign(view="binary")),
        "schema": lambda: changed_csv(kept, lambda table: table.drop(columns="measure")),
        "empty": lambda: changed_csv(kept, lambda table: table[:0]),
        "words": lambda: changed_csv(kept, lambda table: table.assign(elbo="much")),
        "shares": lambda: changed_csv(kept, lambda table: table.assign(rank="1.5")),
        "ragged": lambda: written(tmp_path / "ragged.csv", "a,b\n1,2\n1,2,3\n"),
        "cut": lambda: written(tmp_path / "cut.csv", kept.read_text()[:-9]),
        "own": lambda: tmp_path / "now" / "tiny" / "leaderboard.csv",
        "kept": lambda: kept,
    }
    words = [str(made[word[1:-1]]()) if word.startswith("{") else word for word in arguments]
    code, out, err = call("gate", tmp_path / "now" / "tiny", *words)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert message in err


def test_a_folder_without_records_cannot_be_gated(tmp_path, kept, call):
    run_of(tmp_path / "now")
    (tmp_path / "now" / "cells").rename(tmp_path / "elsewhere")
    code, _, err = call("gate", tmp_path / "now" / "tiny", "--baseline", kept)
    assert code == 2
    assert "has no records (cells is missing), and a gate looks at nothing else" in err


def test_python_users_gate_with_sizes_by_metric(tmp_path, kept):
    run_of(tmp_path / "now", numbers=shifted(0.5))
    folder = tmp_path / "now" / "tiny"
    assert not project.gate(folder, kept).passed
    assert project.gate(folder, kept, {"*": 0.1, "bits_per_dim": 1.0}).passed


WORDS = ("actions/cache/save", "vaebench gate")
"""Models are kept before the gate may shut."""


def test_the_example_workflow_is_yaml_whose_commands_exist():
    text = (Path(__file__).resolve().parents[2] / "docs" / "gates.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    steps = YAML(typ="safe").load(example)["jobs"]["gate"]["steps"]
    commands = [step["run"].split() for step in steps if step.get("run", "").startswith("vaebench ")]
    assert [command[1] for command in commands] == ["run", "gate"]
    started, kinds = YAML(typ="safe").load(example)["on"], [step.get("uses", step.get("run")) for step in steps]
    assert started["push"] == {"branches": ["main"]}, "a pull request sees the cache of main and its own, no other's"
    saved, shut = (next(place for place, kind in enumerate(kinds) if kind.startswith(word)) for word in WORDS)
    assert saved < shut
    known = typer.main.get_command(cli.app).commands
    for command in commands:
        options = {name for parameter in known[command[1]].params for name in parameter.opts}
        assert {word for word in command if word.startswith("--")} <= options

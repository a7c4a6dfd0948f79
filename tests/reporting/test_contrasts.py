"""contrasts.csv: paired by seed, primary tests under Holm, verdicts in words."""

import numpy as np
import pytest
from scipy import stats

from tests.reporting.fabrication import CENTRES, TINY, fabricate, failed, plausible
from vaebench.reporting import statistics
from vaebench.reporting.contrasts import COLUMNS, contrasts_table
from vaebench.reporting.runs import runs_table
from vaebench.suite.loading import load_suite_mapping


def contrasts_of(suite, results, **fabricated):
    fabricate(suite, results, **fabricated)
    return contrasts_table(suite, runs_table(suite, results))


def primary(contrasts, practice, view):
    rows = contrasts[(contrasts["practice"] == practice) & (contrasts["view"] == view) & contrasts["primary"]]
    assert len(rows) == 1
    return rows.iloc[0]


def test_a_contrast_equals_scipys_paired_test(tiny, results):
    fabricate(tiny, results)
    runs = runs_table(tiny, results)
    row = primary(contrasts_table(tiny, runs), "vae-mse", "grey")
    scored = runs[(runs["metric"] == "bits_per_dim") & (runs["view"] == "grey")].pivot(
        index="seed", columns="variant", values="value"
    )
    reference = stats.ttest_rel(scored["vae-mse"], scored["vae-gaussian"])
    low, high = reference.confidence_interval()
    assert (row["p_value"], row["low"], row["high"]) == pytest.approx((reference.pvalue, low, high), rel=1e-9)
    assert row["difference"] == pytest.approx(row["practice_mean"] - row["theory_mean"])


def test_the_columns_are_those_of_the_file_format(tiny, results):
    assert tuple(contrasts_of(tiny, results).columns) == COLUMNS


def test_the_ranking_metric_is_primary_and_every_other_exploratory(tiny, results):
    contrasts = contrasts_of(tiny, results)
    rows = contrasts[contrasts["practice"] == "vae-mse"]
    assert rows["metric"].iloc[0] == "bits_per_dim"
    assert rows["primary"].tolist() == [True] + [False] * (len(rows) - 1)
    assert rows["p_holm"].notna().tolist() == rows["primary"].tolist()
    assert not {"train_seconds", "parameters"} & set(rows["metric"])


def test_holm_runs_over_the_primary_tests_of_the_suite(tiny, results):
    rows = contrasts_of(tiny, results)
    rows = rows[rows["primary"]]
    assert rows["p_holm"].tolist() == pytest.approx(statistics.holm(rows["p_value"].tolist()))
    real = rows["p_holm"] < 0.05
    assert (real == ~rows["verdict"].isin(["not distinguishable", "not comparable"])).all()


def test_a_contrast_says_in_which_choices_the_two_differ(tiny, results):
    contrasts = contrasts_of(tiny, results)
    assert primary(contrasts, "vae-mse", "grey")["differs_in"] == "likelihood"
    assert primary(contrasts, "beta-vae[beta=4]", "binary")["differs_in"] == "objective"
    assert primary(contrasts, "vae:elbo", "binary")["differs_in"] == ""


def test_a_side_may_name_its_metric(tiny, results):
    row = primary(contrasts_of(tiny, results), "vae:elbo", "binary")
    runs = runs_table(tiny, results)
    vae = runs[(runs["variant"] == "vae") & (runs["view"] == "binary")]
    assert row["theory_mean"] == pytest.approx(vae[vae["metric"] == "log_likelihood"]["value"].mean())
    assert row["practice_mean"] == pytest.approx(vae[vae["metric"] == "elbo"]["value"].mean())


def test_numbers_that_answer_different_questions_are_higher_or_lower_but_never_better(tiny, results):
    assert primary(contrasts_of(tiny, results), "vae:elbo", "binary")["verdict"] == "practice lower"


@pytest.mark.parametrize(("view", "word"), [("grey", "theory better"), ("binary", "practice higher")])
def test_draws_and_means_are_held_against_other_images_where_pixels_are_binary(results, monkeypatch, view, word):
    """Draws against images of ink or none, means against grey ones: neither distance says which images are better."""
    monkeypatch.setitem(CENTRES, "frechet.ancestral", 100.0)
    monkeypatch.setitem(CENTRES, "frechet.mean", 200.0)
    sides = {"theory": "vae:frechet.ancestral", "practice": "vae:frechet.mean"}
    contrasts = [{"question": "Means for draws?", **sides}]
    content = {**TINY, "datasets": [f"digits/{view}"], "variants": ["vae"], "metrics": ["frechet"]}
    suite = load_suite_mapping({**content, "contrasts": contrasts})
    assert contrasts_of(suite, results)["verdict"].tolist() == [word]


def test_a_contrast_has_rows_only_where_both_sides_run(tiny, results):
    contrasts = contrasts_of(tiny, results)
    assert set(contrasts[contrasts["practice"] == "vae-mse"]["view"]) == {"grey"}
    assert set(contrasts[contrasts["practice"] == "beta-vae[beta=4]"]["view"]) == {"grey", "binary"}


def test_the_worse_side_is_named(tiny, results):
    def numbers(planned, column):
        return plausible(planned, column) + (5.0 if planned.variant == "vae-mse" else 0.0)

    row = primary(contrasts_of(tiny, results, numbers=numbers), "vae-mse", "grey")
    assert row["verdict"] == "theory better"
    assert row["difference"] > 4


def test_below_five_shared_seeds_nothing_is_comparable(results):
    contrasts = contrasts_of(load_suite_mapping({**TINY, "seeds": 4}), results)
    assert set(contrasts["verdict"]) == {"not comparable"}
    assert contrasts["p_holm"].isna().all()


def test_a_model_that_exploded_is_compared_with_nothing(tiny, results):
    """One seed of five at 1e17 makes any t test say that nothing can be told; it is no number of a trained model."""

    def numbers(planned, column):
        return 1e17 if (planned.variant, planned.cell.seed) == ("vae-mse", 2) else plausible(planned, column)

    row = primary(contrasts_of(tiny, results, numbers=numbers), "vae-mse", "grey")
    assert (row["verdict"], row["seeds"]) == ("not comparable", 4)
    assert abs(row["difference"]) < 10


def test_a_failed_side_leaves_the_question_unanswered(tiny, results):
    contrasts = contrasts_of(tiny, results, instead={"vae-mse": failed})
    row = primary(contrasts, "vae-mse", "grey")
    assert (row["verdict"], row["seeds"]) == ("not comparable", 0)
    assert np.isnan(row["difference"])


def test_the_same_difference_at_every_seed_is_certain(tiny, results):
    def numbers(planned, column):
        return 4.0 if planned.variant == "vae-mse" else 3.5

    row = primary(contrasts_of(tiny, results, numbers=numbers), "vae-mse", "grey")
    assert (row["p_value"], row["verdict"], row["detectable"]) == (0.0, "theory better", 0.0)
    assert np.isnan(row["effect_sd"])

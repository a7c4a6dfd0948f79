"""leaderboard.csv: who is ranked, who is not, and who cannot be told apart."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from tests.reporting.fabrication import SOURCES, TINY, done, fabricate, failed, plausible
from vaebench.reporting.leaderboard import Leaderboard, leaderboard_table
from vaebench.reporting.ranking import groups
from vaebench.reporting.runs import runs_table
from vaebench.reporting.sections import terminal_table
from vaebench.store.files import StoreError
from vaebench.store.folders import ResultsFolder
from vaebench.suite.loading import load_suite_mapping

OLDER = {**SOURCES, "models": "m0"}


def leaderboard_of(suite, results, **fabricated):
    fabricate(suite, results, **fabricated)
    return Leaderboard(leaderboard_table(suite, runs_table(suite, results)))


def row(leaderboard, dataset, view, variant):
    return leaderboard.filter(dataset=dataset, view=view, variant=variant).table.iloc[0]


def at_seed(seed, make):
    """Another record at one seed, the usual one elsewhere."""
    return lambda suite: lambda planned: make(planned) if planned.cell.seed == seed else done(suite, planned)


def unscored(planned):
    """A metric that fails on a model that was trained."""
    record = done(load_suite_mapping(TINY), planned)
    answers = [answer for answer in record.metrics if answer.family == "bits_per_dim"]
    return record.with_answers(
        [dataclasses.replace(answer, status="failed", value=None, note="broke") for answer in answers]
    )


def test_the_columns_are_those_of_the_file_format(tiny, results):
    leaderboard = leaderboard_of(tiny, results)
    fixed = ["suite", "dataset", "view", "measure", "given", "variant", "stance", "rank", "group", "seeds", "failed"]
    assert list(leaderboard.table.columns[:14]) == [*fixed, "elbo", "elbo_low", "elbo_high"]
    assert len(leaderboard.table.columns) == len(fixed) + 3 * len(leaderboard.metrics)


def test_rows_are_ranked_by_the_metric_of_their_view_in_its_direction(tiny, results):
    leaderboard = leaderboard_of(tiny, results)
    grey = leaderboard.filter(dataset="digits", view="grey").table
    assert grey["rank"].tolist() == list(range(1, len(grey) + 1))
    assert grey["bits_per_dim"].is_monotonic_increasing
    binary = leaderboard.filter(view="binary").table
    assert binary["log_likelihood"].is_monotonic_decreasing
    assert set(binary["measure"]) == {"counting"}
    assert set(grey["measure"]) == {"density"}


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda planned: None, id="missing"),
        pytest.param(failed, id="failed"),
        pytest.param(lambda planned: done(load_suite_mapping(TINY), planned, fingerprints=OLDER), id="stale"),
        pytest.param(unscored, id="not scored"),
    ],
)
def test_a_row_with_one_incomplete_cell_is_never_ranked_and_stands_below(tiny, results, make):
    leaderboard = leaderboard_of(tiny, results, instead={"vae-gaussian": at_seed(3, make)(tiny)})
    grey = leaderboard.filter(dataset="digits", view="grey").table
    last = grey.iloc[-1]
    assert last["variant"] == "vae-gaussian"
    assert pd.isna(last["rank"])
    assert pd.isna(last["group"])
    assert (last["seeds"], last["failed"]) == (4, 1)
    assert grey["rank"].iloc[:-1].tolist() == list(range(1, len(grey)))


def test_a_row_with_a_model_that_exploded_is_shown_and_never_ranked(tiny, results):
    """Its seeds could not be told from those of the best row, whose group it would join."""

    def numbers(planned, column):
        return 1e17 if (planned.variant, planned.cell.seed) == ("vae-mse", 2) else plausible(planned, column)

    leaderboard = leaderboard_of(tiny, results, numbers=numbers)
    found = row(leaderboard, "digits", "grey", "vae-mse")
    assert (pd.isna(found["rank"]), pd.isna(found["group"])) == (True, True)
    assert found["bits_per_dim"] > 1e16
    assert "vae-mse" not in set(leaderboard.best("digits", "grey").table["variant"])


def test_equal_rows_share_a_rank_and_the_next_is_skipped(tiny, results):
    def numbers(planned, column):
        return 2.0 if planned.variant in ("vae", "vae-gaussian") else plausible(planned, column)

    grey = leaderboard_of(tiny, results, numbers=numbers).filter(dataset="digits", view="grey").table
    assert grey["rank"].tolist()[:3] == [1, 1, 3]
    assert grey["group"].tolist()[:2] == [1, 1]


def test_a_ratio_is_ranked_by_its_distance_from_one(results):
    ratios = {"vae-gaussian": 0.9, "vae-mse": 1.05, "vae": 1.3}

    def numbers(planned, column):
        return ratios[planned.variant] if column == "sharpness.mean_ratio" else plausible(planned, column)

    content = {
        **TINY,
        "datasets": ["digits/grey"],
        "variants": list(ratios),
        "rank_by": {"grey": "sharpness.mean_ratio"},
    }
    suite = load_suite_mapping({**content, "contrasts": []})
    assert leaderboard_of(suite, results, numbers=numbers).table["variant"].tolist() == [
        "vae-mse",
        "vae-gaussian",
        "vae",
    ]


def test_rows_that_the_seeds_cannot_tell_apart_form_a_group():
    draws = np.random.default_rng(1)
    noise = draws.normal(0, 1, size=(4, 5))
    rows = [dict(enumerate(centre + noise[i])) for i, centre in enumerate([0.0, 0.1, 100.0, 100.2])]
    assert groups(rows) == [1, 1, 2, 2]


def test_rows_without_any_spread_are_told_apart_by_any_difference():
    constant = [dict.fromkeys(range(5), value) for value in (1.0, 1.0, 1.5)]
    assert groups(constant) == [1, 1, 2]


def test_fewer_than_five_seeds_form_no_group():
    assert groups([dict.fromkeys(range(4), 1.0), dict.fromkeys(range(4), 2.0)]) == [None, None]
    assert groups([dict.fromkeys(range(5), 1.0)]) == [1]
    assert groups([]) == []


def test_fewer_than_five_seeds_are_ranked_without_groups(results):
    leaderboard = leaderboard_of(load_suite_mapping({**TINY, "seeds": 2}), results)
    ranked = leaderboard.table["view"] != "real"
    assert (leaderboard.table["rank"].notna() == ranked).all()
    assert leaderboard.table["group"].isna().all()
    assert leaderboard.table["elbo_low"].isna().all()


def test_groups_are_wrong_about_equal_rows_at_most_5_times_in_100():
    draws = np.random.default_rng(2)
    split = 0
    for noise in draws.normal(size=(600, 4, 5)):
        rows = sorted((dict(enumerate(values)) for values in noise), key=lambda found: sum(found.values()))
        split += groups(rows) != [1, 1, 1, 1]
    assert split / 600 <= 0.07


def test_a_leaderboard_reads_back_as_it_was_written(tiny, results, tmp_path):
    written = leaderboard_of(tiny, results, instead={"vae-mse": failed})
    written.write(tmp_path / "leaderboard.csv")
    again = Leaderboard.read(tmp_path / "leaderboard.csv")
    pd.testing.assert_frame_equal(again.table, written.table, check_exact=True, check_dtype=False)
    again.write(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "leaderboard.csv").read_bytes()
    assert "nan" not in (tmp_path / "leaderboard.csv").read_text().lower()


@pytest.mark.parametrize("name", ["NA", "null", "1e5", "007", "nan", "True"])
def test_a_variant_may_be_called_anything(tiny, results, tmp_path, name):
    leaderboard = leaderboard_of(tiny, results)
    leaderboard.table.loc[0, "variant"] = name
    leaderboard.write(tmp_path / "leaderboard.csv")
    assert Leaderboard.read(tmp_path / "leaderboard.csv").table.loc[0, "variant"] == name


def test_a_damaged_file_is_refused_by_name(tmp_path):
    (tmp_path / "leaderboard.csv").write_text('suite,rank\n"a,1\n')
    with pytest.raises(StoreError, match=r"leaderboard\.csv"):
        Leaderboard.read(tmp_path / "leaderboard.csv")


def test_a_leaderboard_can_be_asked(tiny, results):
    leaderboard = leaderboard_of(tiny, results)
    assert "vae-gaussian" in leaderboard.best("digits", "grey").table["variant"].tolist()
    assert leaderboard.filter(variant=["vae", "ppca"]).table["variant"].isin(["vae", "ppca"]).all()
    wide = leaderboard.pivot("elbo")
    assert wide.loc["vae", "digits/binary"] == row(leaderboard, "digits", "binary", "vae")["elbo"]
    with pytest.raises(KeyError, match="did you mean 'elbo'"):
        leaderboard.pivot("elbow")
    with pytest.raises(KeyError, match=r"no view 'gray' \(did you mean 'grey'"):
        leaderboard.filter(view="gray")
    assert leaderboard.filter(view="grey", rank=99).table.empty


def test_a_leaderboard_prints_as_markdown_and_latex(tiny, results):
    leaderboard = leaderboard_of(tiny, results).filter(view="binary")
    markdown = leaderboard.to_markdown().splitlines()
    assert all(line.startswith("|") for line in markdown)
    assert "`beta-vae[beta=4]`" in leaderboard.to_markdown()
    assert "±" in leaderboard.to_markdown()
    assert r"$\pm$" in leaderboard.to_latex()
    assert r"log\_likelihood" in leaderboard.to_latex()


def test_latex_shows_names_and_numbers_as_they_are(tiny, results):
    leaderboard = leaderboard_of(tiny, results).filter(view="binary").select("elbo")
    leaderboard.table.loc[0, "variant"] = r"50%_{a}&\x^2~#$"
    text = leaderboard.to_latex()
    assert r"50\%\_\{a\}\&\textbackslash{}x\^{}2\textasciitilde{}\#\$" in text
    assert r"$-$32.13 $\pm$ 0.41" in text
    assert "beta-vae[beta=4]" in text
    assert all(
        line.count("&") - line.count(r"\&") == text.splitlines()[2].count("&") for line in text.splitlines()[4:-2]
    )


def test_a_leaderboard_shows_the_metrics_asked_for(tiny, results):
    leaderboard = leaderboard_of(tiny, results)
    assert leaderboard.select("kl", "elbo").metrics == ("kl", "elbo")
    assert leaderboard.select("kl").table["variant"].tolist() == leaderboard.table["variant"].tolist()
    with pytest.raises(KeyError, match=r"no metric 'kll' .did you mean 'kl'"):
        leaderboard.select("kll")
    with pytest.raises(KeyError, match=r"no rows of 'digits/gray' .did you mean 'digits/grey'"):
        leaderboard.best("digits", "gray")


def test_a_leaderboard_is_read_from_its_suites_folder(tiny, results):
    folder = results.suite("tiny")
    leaderboard_of(tiny, results).write(folder.leaderboard)
    assert len(Leaderboard.read(folder.path).table) == len(Leaderboard.read(folder.leaderboard).table) > 0


def test_the_terminal_shows_rank_variant_ranking_metric_and_a_few_more(tiny, results):
    leaderboard = leaderboard_of(tiny, results, instead={"vae-mse": failed})
    heading, columns, rows = terminal_table(tiny, leaderboard.table)[0]
    assert heading == "digits/grey, ranked by bits_per_dim"
    assert columns == ["rank", "variant", "bits_per_dim ↓", "elbo ↑", "log_likelihood ↑", "kl"]
    assert rows[0][0] == "1"
    assert rows[-1][:3] == ["–", "vae-mse", "–"]
    assert all(len(cells) == len(columns) for cells in rows)


def test_models_that_are_given_the_label_rank_among_themselves(tmp_path):
    """ln p(x|y) and ln p(x) are not the same quantity, so the best of each is first."""
    told = {"extends": "cvae", "on": ["digits/binary"]}
    beta = {"name": "told-beta", "extends": "beta-vae", "conditional": True, "on": ["digits/binary"]}
    suite = load_suite_mapping({**TINY, "variants": [*TINY["variants"], told, beta]})
    rows = leaderboard_of(suite, ResultsFolder(tmp_path)).filter(dataset="digits", view="binary").table
    given = rows[rows["given"] == "label"]
    assert sorted(given["variant"]) == ["cvae", "told-beta"]
    assert sorted(given["rank"]) == [1, 2]
    assert sorted(rows[rows["given"] == ""]["rank"]) == [1, 2, 3]


def test_masses_of_grey_levels_never_rank_with_densities(tmp_path):
    suite = load_suite_mapping(
        {**TINY, "variants": [*TINY["variants"], {"extends": "vae-discretized-logistic", "on": ["digits/grey"]}]}
    )
    rows = leaderboard_of(suite, ResultsFolder(tmp_path)).filter(dataset="digits", view="grey").table
    levels = rows[rows["measure"] == "levels"]
    assert list(levels["variant"]) == ["vae-discretized-logistic"]
    assert list(levels["rank"]) == [1]
    assert sorted(rows[rows["measure"] == "density"]["rank"]) == list(
        range(1, 1 + (rows["measure"] == "density").sum())
    )

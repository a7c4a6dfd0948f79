"""runs.csv: a row for every planned cell and metric, and a reason wherever there is no number."""

import csv
import dataclasses
import math

import pytest

from tests.reporting.fabrication import EVALUATOR, SOURCES, done, fabricate, failed
from vaebench.reporting.runs import COLUMNS, exploded, protocol_text, runs_table, wanted_columns
from vaebench.reporting.tables import write_table
from vaebench.store.record import MetricRequest, MetricValue
from vaebench.suite.expansion import expand


def only(runs, **columns):
    for name, value in columns.items():
        runs = runs[runs[name] == value]
    return runs


def test_every_planned_cell_and_wanted_metric_has_one_row(tiny, results):
    fabricate(tiny, results)
    runs = runs_table(tiny, results)
    assert tuple(runs.columns) == COLUMNS
    assert len(runs) == len(expand(tiny).planned) * len(wanted_columns(tiny))
    assert not runs.duplicated(["dataset", "view", "variant", "seed", "metric"]).any()
    assert set(runs["status"]) == {"done", "n/a"}


def test_a_family_stands_for_all_its_parts_and_a_part_for_itself(tiny):
    columns = wanted_columns(tiny)
    assert {"reconstruction", "reconstruction.squared_error", "probe_accuracy.knn"} <= set(columns)
    assert "probe_accuracy" not in columns
    assert [name for name in columns if name.startswith("sharpness")] == ["sharpness.mean_ratio"]


def test_the_protocol_is_one_stable_text():
    protocol = {"seed": 0, "split": "test", "images": 1000, "sigma_floor": 0.001, "samples": 100}
    text = "samples=100 images=1000 split=test seed=0 sigma_floor=0.001"
    assert protocol_text(MetricRequest("log_likelihood", protocol)) == text
    assert protocol_text(MetricRequest("log_likelihood", dict(reversed(protocol.items())))) == text


def test_what_does_not_apply_says_why(tiny, results):
    fabricate(tiny, results)
    row = only(runs_table(tiny, results), dataset="linear-gaussian", metric="probe_accuracy.knn").iloc[0]
    assert row["status"] == "n/a"
    assert "labels" in row["note"]
    assert math.isnan(row["value"])


def test_a_metric_that_the_evaluator_declined_says_why(tiny, results):
    def declined(planned):
        record = done(tiny, planned)
        answers = [answer for answer in record.metrics if answer.family == "kl"]
        changes = {"status": "n/a", "value": None, "stderr": None, "note": "q is a point"}
        return record.with_answers([dataclasses.replace(answer, **changes) for answer in answers])

    fabricate(tiny, results, instead={"vae": declined})
    rows = only(runs_table(tiny, results), variant="vae", metric="kl")
    assert set(rows["status"]) == {"n/a"}
    assert set(rows["note"]) == {"q is a point"}


def test_a_failed_cell_says_how_and_when(tiny, results):
    fabricate(tiny, results, instead={"vae-mse": failed})
    rows = only(runs_table(tiny, results), variant="vae-mse", metric="elbo")
    assert set(rows["status"]) == {"failed"}
    assert set(rows["note"]) == {"diverged at step 120: the loss is not finite"}
    assert rows["value"].isna().all()


def test_a_cell_without_a_record_is_missing(tiny, results):
    fabricate(tiny, results, instead={"vae-mse": lambda planned: None})
    assert set(only(runs_table(tiny, results), variant="vae-mse", metric="elbo")["status"]) == {"missing"}


def test_a_record_of_older_sources_is_stale_and_keeps_its_number(tiny, results):
    older = {**SOURCES, "objectives": "o0"}
    fabricate(tiny, results, instead={"vae-mse": lambda planned: done(tiny, planned, fingerprints=older)})
    row = only(runs_table(tiny, results), variant="vae-mse", metric="elbo").iloc[0]
    assert (row["status"], row["note"]) == ("stale", "changed since it was trained: objectives")
    assert not math.isnan(row["value"])


def test_a_metric_of_an_older_evaluator_is_stale_alone(tiny, results):
    def older(planned):
        record = done(tiny, planned)
        return record.with_answers(
            [dataclasses.replace(answer, fingerprint="e0") for answer in record.metrics if answer.family == "elbo"]
        )

    fabricate(tiny, results, instead={"vae-mse": older})
    rows = only(runs_table(tiny, results), variant="vae-mse", seed=0)
    assert only(rows, status="stale")["metric"].tolist() == ["elbo"]


def test_a_number_of_another_protocol_does_not_answer(tiny, results):
    fabricate(tiny, results)
    budget = {**tiny.budget, "elbo": {**tiny.budget["elbo"], "samples": 77}}
    row = only(runs_table(dataclasses.replace(tiny, budget=budget), results), variant="vae", metric="elbo").iloc[0]
    assert (row["status"], row["note"]) == ("missing", "not scored under this protocol yet")


def test_an_evaluator_that_failed_as_a_whole_answers_for_every_part(tiny, results):
    def broken(planned):
        record = done(tiny, planned)
        request = next(answer.request for answer in record.metrics if answer.family == "probe_accuracy")
        broke = MetricValue(
            "probe_accuracy", "probe_accuracy", request.protocol, "failed", note="ValueError: one class"
        )
        return record.with_answers([dataclasses.replace(broke, fingerprint=EVALUATOR)])

    fabricate(tiny, results, instead={"vae-mse": broken})
    rows = only(runs_table(tiny, results), variant="vae-mse", status="failed", seed=0)
    assert rows["metric"].tolist() == ["probe_accuracy.logistic", "probe_accuracy.knn"]
    assert set(rows["note"]) == {"ValueError: one class"}


def test_the_file_reads_back_the_same_floats_and_never_says_nan(tiny, results, tmp_path):
    fabricate(tiny, results, instead={"vae-mse": failed})
    runs = runs_table(tiny, results)
    write_table(tmp_path / "runs.csv", runs)
    text = (tmp_path / "runs.csv").read_text()
    assert "nan" not in text.lower()
    with (tmp_path / "runs.csv").open(newline="") as stream:
        again = [float(row["value"]) for row in csv.DictReader(stream) if row["value"]]
    assert again == runs["value"].dropna().tolist()


@pytest.mark.parametrize("message", ["=HYPERLINK(1)", "+1", "-1", "@cmd", "\t=1", "\r\n=1+1"])
def test_no_note_is_a_formula(tiny, results, message):
    def broken(planned):
        answers = [answer for answer in done(tiny, planned).metrics if answer.family == "kl"]
        broke = {"status": "failed", "value": None, "note": message}
        return done(tiny, planned).with_answers([dataclasses.replace(answer, **broke) for answer in answers])

    fabricate(tiny, results, instead={"vae": broken})
    notes = only(runs_table(tiny, results), variant="vae", metric="kl")["note"]
    assert all(note.startswith("'") and "\n" not in note for note in notes)


@pytest.mark.parametrize(
    ("values", "odd"),
    [
        ([-97.0, -98.0, -99.0, -98.5, -1.3e17], {4}),
        ([-97.0, math.pi * 1e9, -99.0, -1.3e17, -98.0], {1, 3}),
        ([-97.0, -98.0, -99.0, -98.5, -800.0], set()),  # far worse, and trained
        ([0.5, 0.5, 0.5, 0.5, 3.0], set()),  # numbers that hardly vary are no yardstick
        ([1.0, 1.0 + 1e-9, 1.0 - 1e-9, 1.0, 2.0], set()),
        ([1e9, 1.1e9, 0.9e9, 1e9, 3e9], set()),
        ([-97.0, -1.3e17], set()),  # of two nobody can say which is odd
    ],
)
def test_only_what_is_finite_by_chance_has_exploded(values, odd):
    assert exploded(dict(enumerate(values))) == odd

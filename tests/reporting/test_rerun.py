"""A number then and now: the same to the last digit, within Monte Carlo error, or different."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vaebench
from tests.reporting.fabrication import TINY, fabricate, plausible
from vaebench import project
from vaebench.project import Settings, running
from vaebench.reporting.rerun import DIFFERENT, GONE, IDENTICAL, WITHIN_ERROR, Rerun, differences, repeated, unknown
from vaebench.reporting.runs import runs_table
from vaebench.store.files import read_json, write_json
from vaebench.store.folders import ResultsFolder
from vaebench.suite.loading import load_suite_mapping

SUITE = {
    "suite": "again",
    "datasets": ["digits/binary"],
    "seeds": 2,
    "recipe": {"extends": "quick", "epochs": 1},
    "defaults": {"network": {"hidden": [8]}, "latent": 2},
    "variants": ["vae"],
    "metrics": ["elbo", "log_likelihood", "kl", "train_seconds"],
}


@pytest.fixture
def tables(tmp_path):
    """runs.csv with fabricated numbers (Monte Carlo error 0.01), as a function of what is added to them."""
    suite = load_suite_mapping(TINY)

    def runs(added=lambda planned, column: 0.0):
        results = ResultsFolder(tmp_path / "runs")
        shutil.rmtree(results.path, ignore_errors=True)
        fabricate(suite, results, lambda planned, column: plausible(planned, column) + added(planned, column))
        found = runs_table(suite, results)
        return found.assign(status=found["status"].where(found["status"] != "stale", "done"))

    return runs


@pytest.mark.parametrize(
    ("added", "outcome"),
    [(0.0, IDENTICAL), (0.01, WITHIN_ERROR), (0.042, WITHIN_ERROR), (0.043, DIFFERENT), (-1.0, DIFFERENT)],
)
def test_three_standard_errors_of_the_difference_tell_two_numbers_apart(added, outcome, tables):
    """√2 · 0.01 is the standard error of a difference here."""
    found = repeated(tables(), tables(lambda planned, column: added if column == "elbo" else 0.0))
    assert {number.outcome for number in found if number.metric == "elbo"} == {outcome}
    assert {number.outcome for number in found if number.metric != "elbo"} == {IDENTICAL}


def test_a_number_without_monte_carlo_error_is_the_same_or_it_is_not(tables):
    before, now = tables().assign(stderr=float("nan")), tables(lambda planned, column: 1e-9 * (column == "kl"))
    found = repeated(before, now)
    assert {number.outcome for number in found if number.metric == "kl"} == {DIFFERENT}
    assert Rerun(found).is_the_same is False


def test_costs_are_not_compared_and_numbers_that_are_gone_say_why(tables):
    before, now = tables(), tables()
    victim = now["metric"] == "elbo"
    now.loc[victim, ["status", "value", "note"]] = ["failed", float("nan"), "oom: no room"]
    rerun = Rerun(repeated(before, now))
    assert not [number for number in rerun.numbers if number.metric in ("train_seconds", "parameters")]
    gone = [number for number in rerun.numbers if number.outcome == GONE]
    assert {number.metric for number in gone} == {"elbo"}
    assert {number.note for number in gone} == {"oom: no room"}
    assert (rerun.is_complete, rerun.is_the_same) == (False, True)


def test_a_number_that_is_asked_otherwise_is_compared_with_nothing(tables):
    before, now = tables(), tables()
    now["protocol"] = now["protocol"].where(now["metric"] != "elbo", "samples=1")
    found = repeated(before, now)
    assert {number.outcome for number in found if number.metric == "elbo"} == {GONE}


def test_differences_are_told_in_deviations_over_seeds(tables):
    before = tables()
    found = repeated(before, tables(lambda planned, column: 0.5 if column == "elbo" else 0.0))
    for number in found:
        row = before[(before["variant"] == number.variant) & (before["metric"] == number.metric)]
        spread = row[row["dataset"] + "/" + row["view"] == number.source]["value"].std()
        if number.metric == "elbo" and spread > 0:
            assert number.deviations == pytest.approx(0.5 / spread)


def test_what_two_runs_differ_in_is_said():
    before = {"versions": {"torch": "2.8.0", "numpy": "2.1"}, "git": {"commit": "a" * 40, "dirty": False}, "data": {}}
    now = {"versions": {"torch": "2.9.0", "numpy": "2.1"}, "git": {"commit": "a" * 40, "dirty": True}, "data": {}}
    assert differences(before, now) == {
        "torch": ("2.8.0", "2.9.0"),
        "commit": ("aaaaaaaaaaaa", "aaaaaaaaaaaa with changes"),
    }
    assert differences(before, before) == {}


@pytest.mark.parametrize("was", [[], ["digits/binary"]])
def test_it_takes_the_path_of_then_for_each_cell(was, tmp_path, monkeypatch):
    """What the estimate would choose now, after other runs on this machine, does not matter."""
    folder = tmp_path / "runs"
    run = vaebench.run(SUITE, Settings(results=folder, debug=True, compiled="never"))
    content = {key: value for key, value in read_json(run.folder.lock).items() if key not in ("schema", "checksum")}
    assert (content["compiled"], content["compiled_cells"]) == ("never", [])
    chosen = [planned.cell.id for planned in run.plan.cells if planned.cell.source in was]
    write_json(run.folder.lock, {**content, "compiled": "auto", "compiled_cells": chosen})
    asked = []

    def planned(*arguments):
        asked.append(arguments[-1])
        raise KeyboardInterrupt

    monkeypatch.setattr(running.planning, "plan", planned)
    with pytest.raises(KeyboardInterrupt):
        project.rerun(run.folder.lock, Settings(results=tmp_path / "new"))
    assert asked == [chosen]


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("again") / "runs"
    vaebench.run(SUITE, Settings(results=folder, debug=True))
    return folder / "again"


def command(*words: object) -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", "vaebench", *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)


def test_a_suite_that_is_run_again_on_this_machine_finds_the_same_numbers(run_once, tmp_path):
    """The verb needs nothing but the lock and the table beside it: a published folder will do."""
    sent = tmp_path / "sent"
    sent.mkdir()
    for name in ("suite.lock.json", "runs.csv"):
        shutil.copy(run_once / name, sent / name)
    again = command("rerun", sent / "suite.lock.json", "--results", tmp_path / "new", "--workers", "1")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "6 numbers: 6 identical, 0 within Monte Carlo error, 0 different, 0 no number now" in again.stdout
    told = (sent / "runs.csv").read_text().splitlines()
    victim = next(place for place, line in enumerate(told) if ",elbo," in line)
    cells = told[victim].split(",")
    cells[8] = str(float(cells[8]) - 50.0)
    (sent / "runs.csv").write_text("\n".join([*told[:victim], ",".join(cells), *told[victim + 1 :]]) + "\n")
    assert "were there already" not in again.stdout
    other = command("rerun", sent, "--results", tmp_path / "new", "--json")
    assert other.returncode == 4, other.stderr
    assert json.loads(other.stdout)["reused"] == 2
    assert json.loads(other.stdout)["counts"] == {IDENTICAL: 5, WITHIN_ERROR: 0, DIFFERENT: 1, GONE: 0}


def test_another_device_may_be_asked_for_and_else_it_is_that_of_then(run_once, tmp_path):
    """The lock comes from a machine with eight GPUs."""
    sent = tmp_path / "sent"
    shutil.copytree(run_once, sent)
    content = json.loads((sent / "suite.lock.json").read_text())
    del content["schema"], content["checksum"]
    write_json(sent / "suite.lock.json", {**content, "device": "cuda:7"})
    refused = command("rerun", sent, "--results", tmp_path / "new")
    assert refused.returncode == 2
    assert "cuda:7" in refused.stderr
    assert "Traceback" not in refused.stderr
    again = command("rerun", sent, "--results", tmp_path / "new", "--device", "cpu")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "device: cuda:7 then, cpu now" in again.stdout


def test_numbers_that_the_table_of_then_lacks_are_counted(tables):
    before = tables()
    cut = before.iloc[:-7]
    assert unknown(before, before) == 0
    told = Rerun(repeated(cut, before), {}, unknown(cut, before), reused=1)
    assert 0 < told.unknown <= 7
    assert not told.is_complete
    assert f"{told.unknown} numbers more, which the runs.csv of then does not have" in told.lines
    assert "models that were there already, and were not made again now: 1" in told.lines


def test_wrong_input_is_told_in_a_line(run_once, tmp_path):
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    shutil.copy(run_once / "suite.lock.json", lonely)
    broken = tmp_path / "broken"
    shutil.copytree(run_once, broken)
    write_json(broken / "suite.lock.json", {"suite": {"name": "../../x"}})
    for words, told in (
        ((tmp_path / "nothing.json",), "no lock file"),
        ((lonely,), "runs.csv: missing, and with it the numbers to compare with"),
        ((broken,), "written by another version of vaebench"),
        ((run_once, "--detach"), "No such option"),
        ((run_once, "--address", "auto"), "--address is for --engine ray, and this is --engine local"),
        ((run_once, "--results", Path(run_once).parent), "holds these very results; name another folder"),
    ):
        refused = command("rerun", *words)
        assert refused.returncode == 2
        assert told in refused.stderr
        assert "Traceback" not in refused.stderr

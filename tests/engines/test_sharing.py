"""Several drivers on one results folder: each cell is made once, by one that lives."""

import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.engines.tiny import TINY, records, run_tiny, said_pids, tiny, wait_until
from vaebench.engines import work
from vaebench.engines.claims import Claims
from vaebench.engines.job import Interrupted
from vaebench.engines.local import LocalEngine
from vaebench.engines.planning import Policy, plan
from vaebench.store.folders import ResultsFolder
from vaebench.store.leases import Leases, Owner
from vaebench.suite.expansion import expand
from vaebench.suite.loading import load_suite_mapping

Start = Callable[..., subprocess.Popen]

SUITE = """
suite: tiny
datasets: [digits/binary]
seeds: 2
profile: cpu
variants:
  - {name: odd, extends: vae, latent: 3}
  - {name: even, extends: vae, latent: 4}
  - {name: late, extends: vae, latent: 5}
metrics: [elbo, kl, probe_accuracy]
rank_by: {binary: elbo}
"""


@pytest.fixture
def run(start: Start, results: ResultsFolder) -> Start:
    """Starts `vaebench run` on the suite."""
    file = results.path.parent / "tiny.yaml"
    file.write_text(SUITE)
    first = ("run", str(file), "--workers", "1")
    return lambda performance, *options: start(performance, *first, *options, stderr=subprocess.STDOUT)


def trainings(results: ResultsFolder) -> Counter[str]:
    return Counter(line.split()[0] for line in (results.path / "trained.txt").read_text().splitlines())


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_drivers_that_are_started_at_once_train_each_cell_once_and_both_end_complete(
    options: tuple[str, ...], run: Start, results: ResultsFolder
) -> None:
    if options:
        run_tiny(results)
    drivers = [run("noted", *options) for _ in range(3)]
    outputs = [driver.communicate(timeout=120)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0, 0], outputs
    cells = [planned.cell.id for planned in expand(tiny()).planned]
    assert trainings(results) == Counter(cells)
    assert all("6 of 6 complete" in output for output in outputs)
    tables = [output[output.index("digits/binary") : output.index("finished:")] for output in outputs]
    rankings = {table[table.rindex("\n\n") :] for table in tables}
    assert len(rankings) == 1
    assert not list(results.path.rglob("*.tmp"))
    assert not [path for path in (results.path / ".leases").rglob("*") if path.is_file()]


def test_a_driver_that_waits_goes_on_where_another_was_killed(run: Start, results: ResultsFolder) -> None:
    first = run("patient")
    wait_until(lambda: said_pids(results), 60)
    second = run("noted", "--timeout", "600")
    lines = iter(second.stdout.readline, "")
    told = next(line for line in lines if "is at it" in line)
    assert f"process {first.pid} on " in told
    first.kill()
    rest = "".join(lines)
    assert second.wait(timeout=60) == 0, rest
    assert "6 of 6 complete" in rest


def test_a_cell_that_another_driver_failed_meanwhile_is_not_tried_again(results: ResultsFolder) -> None:
    made = plan(tiny(), results)
    run_tiny(results, "raising")
    with Leases(results.path) as leases:
        claims = Claims(made, results, leases, lambda event: None)
        assert claims.next() is None
        assert len(claims) == 0
        (odd, *others) = claims.elsewhere
    assert [message for _, message in odd.failed] == ["error: ValueError: no such\nthing".replace("\n", " ")] * 2
    assert sum(len(settled.done) for settled in others) == 4


def test_a_training_under_force_is_not_repeated_after_another_driver_s(results: ResultsFolder) -> None:
    run_tiny(results)
    made = plan(tiny(), results, Policy(force=True))
    run_tiny(results, suite=tiny(), performance="obedient")
    with Leases(results.path) as leases:
        claims = Claims(made, results, leases, lambda event: None)
        job = claims.next()
        assert job is not None
        assert {work.cell.id for work in job.cells} == {work.cell.id for work in made.jobs[0].cells}
    results.cell(made.cells[0].cell.id).write_record(records(made, results)["odd"][0])
    with Leases(results.path) as leases:
        job = Claims(made, results, leases, lambda event: None).next()
        assert [work.cell.id for work in job.cells] == [made.cells[1].cell.id]


def test_what_other_sources_made_meanwhile_is_made_again(results: ResultsFolder) -> None:
    made = plan(tiny(), results)
    run_tiny(results)
    first = records(made, results)["odd"][0]
    results.cell(first.cell).write_record(replace(first, fingerprints={"models": "of another version"}))
    with Leases(results.path) as leases:
        job = Claims(made, results, leases, lambda event: None).next()
        assert [(work.cell.id, work.train) for work in job.cells] == [(first.cell, True)]


def test_a_driver_that_is_robbed_of_a_cell_gives_way_and_ends_complete(
    results: ResultsFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker writes nothing of it, and no failure is put on record."""
    robber = Owner("another-host", "00ff00ff00ff", 17, 42, "0123456789abcdef").name

    def rob() -> None:
        wait_until(lambda: (results.path / "frozen").exists(), 60)
        (lease,) = next(iter((results.path / ".leases" / "cells").iterdir())).iterdir()
        lease.rename(lease.parent / robber)
        wait_until(lambda: lease.parent.parent.exists() and restarts(), 30)
        (lease.parent / robber).unlink()
        lease.parent.rmdir()

    events: list[dict] = []

    def restarts() -> list[dict]:
        return [event for event in events if event["event"] == "restart"]

    thief = threading.Thread(target=rob)
    thief.start()
    made, outcome = run_tiny(results, "frozen_once", events=events)
    thief.join()
    assert "another driver" in restarts()[0]["why"]
    assert (len(outcome.done), outcome.failed) == (6, ())
    assert all(record.status == "done" for row in records(made, results).values() for record in row)


def test_the_timeout_counts_the_time_of_all_workers_of_a_fleet(results: ResultsFolder) -> None:
    """Each of its workers dies before the limit; together they run past it."""
    made, outcome = run_tiny(results, "dying_slowly", timeout=1.6)
    for record in records(made, results)["odd"]:
        assert record.failure.kind == "timeout"
        assert "1.6 seconds" in record.failure.message
    assert len(outcome.done) == 4


@pytest.mark.parametrize("performance", ["hanging_at_once", "killed", "raising"])
def test_a_second_training_that_fails_leaves_the_numbers_of_the_first(performance: str, results: ResultsFolder) -> None:
    made, _ = run_tiny(results)
    before = records(made, results)
    forced = plan(tiny(), results, Policy(force=True))
    engine = LocalEngine(perform=f"tests.engines.performances:{performance}", timeout=3.0)
    outcome = engine.run(forced, results, lambda event: None)
    assert len(outcome.failed) == 2
    assert records(made, results)["odd"] == before["odd"]


def test_a_worker_writes_nothing_of_a_cell_whose_lease_is_somebody_else_s(results: ResultsFolder) -> None:
    """It asks before it writes a model, and before it writes numbers."""
    content = {key: value for key, value in TINY.items() if key != "profile"}
    small = {"recipe": {"extends": "quick", "epochs": 1}, "defaults": {"network": {"hidden": [8]}}, "metrics": ["elbo"]}
    suite = load_suite_mapping({**content, **small})
    job = plan(suite, results).jobs[0]
    stranger = Owner("another-host", "00ff00ff00ff", 17, 42, "0123456789abcdef").name
    with pytest.raises(Interrupted):
        work.perform(replace(job, owner=stranger), results, lambda event: None, lambda: False)
    assert not list(results.path.rglob("*.json"))
    work.perform(job, results, lambda event: None, lambda: False)
    before = [results.cell(cell.cell.id).read_record() for cell in job.cells]
    scoring = replace(job, owner=stranger, cells=tuple(replace(cell, train=False) for cell in job.cells))
    with pytest.raises(Interrupted):
        work.perform(scoring, results, lambda event: None, lambda: False)
    assert [results.cell(cell.cell.id).read_record() for cell in job.cells] == before

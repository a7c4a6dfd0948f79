"""What happens to a fleet when its worker misbehaves: a record that says so, and the rest goes on."""

import os
import re
import signal
import threading
import time

import pytest

from tests.engines.tiny import TINY, families, is_gone, records, run_tiny, said_pids, states, tiny, wait_until
from vaebench.engines import crew
from vaebench.engines.crew import DEATHS, EngineError, Outcome
from vaebench.engines.planning import Policy, plan
from vaebench.engines.process import threads_per_worker
from vaebench.store.folders import ResultsFolder

MISBEHAVIOUR = [
    ("killed", "crash", r"in epoch 1 of 2 was killed by SIGKILL .*last lines: the last thing that it said"),
    ("crashing", "crash", r"was killed by SIGSEGV; last lines: Fatal Python error: Segmentation fault"),
    ("leaving", "crash", r"left with exit code 0 in the middle of its work"),
    ("leaving_at_once", "crash", r"left with exit code 0 in the middle of its work"),
    ("babbling", "crash", r"wrote something that is no event into its event stream: '<html>no event</html>'"),
    ("raising", "error", r"^ValueError: no such thing$"),
    ("exhausting", "oom", r"^MemoryError: 8 TiB$"),
    ("forgetting", "error", r"ended its job without saying anything about this"),
    ("terminated_by_somebody", "crash", r"told to stop \(SIGTERM\), and not by vaebench"),
    ("asking_for_input", "error", r"EOFError"),
]


@pytest.mark.parametrize(("performance", "kind", "message"), MISBEHAVIOUR, ids=[row[0] for row in MISBEHAVIOUR])
def test_a_worker_that_misbehaves_costs_its_fleet_only(
    performance: str, kind: str, message: str, results: ResultsFolder
) -> None:
    made, outcome = run_tiny(results, performance)
    assert (len(outcome.done), len(outcome.failed), outcome.interrupted) == (4, 2, False)
    found = records(made, results)
    for record in found["odd"]:
        assert record.status == "failed"
        assert record.failure.kind == kind
        assert re.search(message, record.failure.message)
        assert results.cell(record.cell).spec.exists()
    assert all(record.status == "done" for record in found["even"] + found["late"])
    assert states(plan(tiny(), results)) == {"odd": {"failed"}, "even": {"cached"}, "late": {"cached"}}


@pytest.mark.parametrize("performance", ["hanging", "chattering", "flooding"])
def test_a_fleet_that_runs_past_the_timeout_is_recorded_and_the_rest_goes_on(
    performance: str, results: ResultsFolder
) -> None:
    made, outcome = run_tiny(results, performance, timeout=1.5)
    found = records(made, results)
    failed = [record for record in found["odd"] if record.status == "failed"]
    assert len(outcome.failed) == len(failed) == (1 if performance == "hanging" else 2)
    assert all(record.failure.kind == "timeout" for record in failed)
    assert all("ran past its 1.5 seconds" in record.failure.message for record in failed)
    assert len(outcome.done) == 6 - len(failed)


def test_cells_that_a_fleet_had_finished_before_it_was_killed_stay(results: ResultsFolder) -> None:
    made, outcome = run_tiny(results, "hanging", timeout=1.5)
    first, second = records(made, results)["odd"]
    assert first.status == "done"
    assert families(first) == TINY["metrics"]
    assert second.failure.kind == "timeout"
    assert first.cell in outcome.done


def test_endless_printing_leaves_a_bounded_log_without_control_characters(results: ResultsFolder) -> None:
    made, _ = run_tiny(results, "chattering", timeout=1.5)
    log = results.cell(made.cells[0].cell.id).log.read_text()
    assert 1000 < len(log) <= 1 << 16
    assert "\x1b" not in log
    assert "blah blah" in log


def test_dying_while_scoring_keeps_the_model_and_fails_the_metrics(results: ResultsFolder) -> None:
    made, outcome = run_tiny(results, "dying_while_scoring")
    assert len(outcome.failed) == 2
    for record in records(made, results)["odd"]:
        assert record.status == "done"
        assert {answer.metric for answer in record.metrics} == {
            "elbo",
            "elbo.calibrated",
            "kl",
            "kl.code",
            "probe_accuracy.logistic",
            "probe_accuracy.knn",
        }
        assert all(answer.status == "failed" for answer in record.metrics)
        assert all("while elbo was scored was killed by SIGKILL" in answer.note for answer in record.metrics)
    again = plan(tiny(), results, Policy(retry_failed=True))
    assert states(again)["odd"] == {"score"}
    assert not any(work.train for job in again.jobs for work in job.cells)


def test_a_fleet_whose_worker_died_once_is_finished_by_another(results: ResultsFolder) -> None:
    events: list[dict] = []
    made, outcome = run_tiny(results, "dying_once", events=events)
    assert (len(outcome.done), outcome.failed) == (6, ())
    assert all(families(record) == TINY["metrics"] for record in records(made, results)["odd"])
    first, second = records(made, results)["odd"]
    assert first.environment["pid"] != second.environment["pid"]
    (restart,) = [event for event in events if event["event"] == "restart"]
    assert restart["fleet"] == made.jobs[0].fleet
    assert "was killed by SIGKILL" in restart["why"]


def test_a_failed_rescoring_keeps_the_numbers_of_other_metrics(results: ResultsFolder) -> None:
    run_tiny(results, suite=tiny(metrics=["elbo"]))
    made, outcome = run_tiny(results, "killed")
    assert len(outcome.failed) == 2
    for record in records(made, results)["odd"]:
        assert record.status == "done"
        assert {answer.family: answer.status for answer in record.metrics} == {
            "elbo": "done",
            "kl": "failed",
            "probe_accuracy": "failed",
        }


def test_one_worker_serves_job_after_job(results: ResultsFolder) -> None:
    made, _ = run_tiny(results)
    pids = {record.environment["pid"] for found in records(made, results).values() for record in found}
    assert len(pids) == 1


def test_workers_share_the_cores_evenly(results: ResultsFolder) -> None:
    made, _ = run_tiny(results, workers=2)
    environments = [record.environment for found in records(made, results).values() for record in found]
    assert {environment["threads"] for environment in environments} == {str(threads_per_worker(2))}
    assert threads_per_worker(1000) == 1


def test_more_workers_than_fleets_are_not_started(results: ResultsFolder) -> None:
    _, outcome = run_tiny(results, workers=50)
    assert len(outcome.done) == 6


def test_what_user_code_prints_is_kept_in_the_cells_log(results: ResultsFolder) -> None:
    made, _ = run_tiny(results, "killed")
    log = results.cell(made.cells[0].cell.id).log.read_text()
    assert log.count("the last thing that it said") == DEATHS
    assert not results.cell(made.cells[2].cell.id).log.exists()


def test_fail_fast_stops_at_the_first_failed_cell(results: ResultsFolder) -> None:
    made, outcome = run_tiny(results, "diverging", fail_fast=True)
    assert len(outcome.failed) == 2
    assert not outcome.done
    assert records(made, results)["late"] == [None, None]


def test_without_work_no_worker_starts(results: ResultsFolder) -> None:
    run_tiny(results)
    started = time.monotonic()
    events: list[dict] = []
    _, outcome = run_tiny(results, "killed", events=events)
    assert (outcome.done, outcome.failed, events) == ((), (), [])
    assert time.monotonic() - started < 1.0


def test_a_worker_that_cannot_start_is_no_failure_of_the_cells(results: ResultsFolder) -> None:
    with pytest.raises(EngineError, match=r"left with exit code 1.*has no attribute 'nothing_of_the_kind'"):
        run_tiny(results, "nothing_of_the_kind")
    assert not (results.path / "cells").exists()


def test_in_debug_mode_errors_reach_the_caller(results: ResultsFolder) -> None:
    with pytest.raises(ValueError, match="no such"):
        run_tiny(results, "raising", debug=True)


def test_in_debug_mode_everything_happens_in_this_process(results: ResultsFolder) -> None:
    made, outcome = run_tiny(results, debug=True)
    assert len(outcome.done) == 6
    assert {record.environment["pid"] for record in records(made, results)["odd"]} == {os.getpid()}


def test_processes_that_a_worker_has_started_end_with_it(results: ResultsFolder) -> None:
    run_tiny(results, "deaf", suite=tiny(variants=["vae"]), timeout=1.5)
    pids = said_pids(results)
    assert len(pids) == 2
    assert all(is_gone(pid) for pid in pids)


def test_a_worker_that_does_not_hear_the_first_ctrl_c_is_ended_after_a_while(
    results: ResultsFolder, monkeypatch
) -> None:
    """Its cells are open, not failed: the next run makes them."""
    monkeypatch.setattr(crew, "STOP_SECONDS", 1.0)

    def interrupt() -> None:
        wait_until(lambda: said_pids(results), 60)
        os.kill(os.getpid(), signal.SIGINT)

    asking = threading.Thread(target=interrupt)
    asking.start()
    made, outcome = run_tiny(results, "deaf", suite=tiny(variants=["vae"]))
    asking.join()
    assert outcome == Outcome((), (), interrupted=True)
    assert records(made, results) == {"vae": [None, None]}
    assert all(is_gone(pid) for pid in said_pids(results))


def test_every_fleet_starts_and_ends_for_the_listener(results: ResultsFolder) -> None:
    events: list[dict] = []
    made, _ = run_tiny(results, "killed", events=events)
    for job in made.jobs:
        own = [event["event"] for event in events if event.get("fleet") == job.fleet]
        assert (own[0], own[-1]) == ("start", "end")
    ends = {event["fleet"]: event for event in events if event["event"] == "end"}
    assert [ends[job.fleet]["status"] for job in made.jobs] == ["failed", "done", "done"]

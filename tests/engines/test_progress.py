"""The state that live view and status show, kept from the engine's events."""

import os
import socket
import time

import pytest

from tests.engines.tiny import run_tiny, tiny
from vaebench.engines.planning import plan
from vaebench.engines.progress import FleetProgress, Progress, ProgressFiles, is_alive, read_progress
from vaebench.store.folders import ResultsFolder


def fleet() -> FleetProgress:
    return FleetProgress("key", "digits/binary", ("vae",), cells=4, members=4, epochs=10)


def epoch(number: int, members: int = 4) -> dict:
    return {"event": "epoch", "epoch": number, "epochs": 10, "members": members, "seconds": 0.0}


def test_speed_is_measured_from_the_end_of_the_first_epoch() -> None:
    watched = fleet()
    watched.apply({"event": "start"}, 100.0)
    watched.apply(epoch(1), 150.0)
    watched.apply(epoch(2), 152.0)
    watched.apply(epoch(3), 154.0)
    assert watched.model_epochs_a_second == pytest.approx(2.0)
    assert watched.seconds_left == pytest.approx(14.0)


def test_members_that_stop_early_make_the_rest_no_slower() -> None:
    watched = fleet()
    watched.apply({"event": "start"}, 0.0)
    watched.apply(epoch(1), 1.0)
    watched.apply(epoch(2, members=2), 2.0)
    assert watched.seconds_left == pytest.approx(8.0)


def test_a_cell_counts_once_whatever_is_said_of_it() -> None:
    watched = fleet()
    watched.apply({"event": "start"}, 0.0)
    watched.apply({"event": "cell", "cell": "a", "status": "failed", "message": "diverged"}, 1.0)
    watched.apply({"event": "cell", "cell": "b", "status": "done", "message": ""}, 1.0)
    watched.apply({"event": "end", "status": "done", "done": ["b"], "failed": [["a", "diverged at step 3"]]}, 2.0)
    assert watched.outcomes == {"a": "diverged at step 3", "b": ""}
    assert watched.state == "failed"


def test_a_run_ends_with_every_cell_done_or_failed(results: ResultsFolder) -> None:
    events: list[dict] = []
    made, _ = run_tiny(results, "killed", events=events)
    progress = Progress(made)
    assert (progress.waiting, progress.done, progress.failed) == (3, 0, 0)
    for event in events:
        progress.apply(event)
    assert (progress.waiting, progress.done, progress.failed) == (0, 4, 2)
    assert progress.running == []


def test_a_file_stands_for_each_running_fleet_and_goes_with_it(results: ResultsFolder) -> None:
    made = plan(tiny(), results)
    folder, progress = results.suite("tiny"), Progress(made)
    files = ProgressFiles(folder, progress)
    key = made.jobs[0].fleet
    for event in ({"event": "start", "fleet": key}, {**epoch(3), "fleet": key}):
        progress.apply(event)
        files.update(event)
    time.sleep(1.1)
    files.update({"event": "tick"})
    (found,) = read_progress(folder, progress.fleets)
    assert found.sentence() == "running: epoch 3 of 10"
    for event in ({"event": "end", "fleet": key, "status": "done", "done": [], "failed": []},):
        progress.apply(event)
        files.update(event)
    assert read_progress(folder, progress.fleets) == []


def test_a_driver_is_alive_while_its_process_is_and_its_heart_beats() -> None:
    alive = {"state": "training", "heartbeat": time.time(), "host": socket.gethostname(), "pid": os.getpid()}
    assert is_alive(alive)
    assert not is_alive({**alive, "pid": 2**22 + 1})
    assert is_alive({**alive, "pid": 2**22 + 1, "host": "another"})
    assert not is_alive({**alive, "heartbeat": time.time() - 60})
    assert not is_alive({**alive, "state": "stopped"})

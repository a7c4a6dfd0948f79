"""Drivers that are interrupted, killed, or not alone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines.tiny import TINY, families, is_gone, records, said_pids, tiny, wait_until
from vaebench.engines.planning import plan
from vaebench.store.folders import ResultsFolder

ROOT = Path(__file__).resolve().parents[2]
Start = Callable[..., subprocess.Popen]


def test_a_killed_driver_leaves_no_orphan(start: Start, results: ResultsFolder) -> None:
    driver = start("deaf")
    pids = wait_until(lambda: len(found := said_pids(results)) == 4 and found)
    driver.send_signal(signal.SIGKILL)
    wait_until(lambda: all(is_gone(pid) for pid in pids), 10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_driver_keeps_what_is_finished(
    number: signal.Signals, start: Start, results: ResultsFolder
) -> None:
    driver = start("patient")
    pids = wait_until(lambda: len(found := said_pids(results)) == 2 and found)
    driver.send_signal(number)
    output, errors = driver.communicate(timeout=20)
    assert output.split() == ["2", "0", "True"], errors
    assert all(is_gone(pid) for pid in pids)
    found = records(plan(tiny(), results), results)
    assert [record and record.status for record in found["odd"] + found["even"]] == ["done", None, "done", None]
    assert found["late"] == [None, None]


def test_an_interrupted_run_exits_with_130_and_says_how_to_go_on(start: Start, results: ResultsFolder) -> None:
    driver = start("patient", "run", _suite_file(results), "--workers", "1")
    wait_until(lambda: said_pids(results))
    time.sleep(1.2)
    driver.send_signal(signal.SIGINT)
    output, errors = driver.communicate(timeout=30)
    assert driver.returncode == 130, errors
    assert "stopping: interrupted" in output
    assert "run the same command again to go on" in output
    assert "Traceback" not in output + errors
    status = _status(results)
    assert "1 done, 0 failed, 5 open" in status
    assert "digits/binary  odd: stopped at epoch" in status


def test_a_second_ctrl_c_kills_at_once(start: Start, results: ResultsFolder) -> None:
    driver = start("deaf", "run", _suite_file(results), "--workers", "1")
    pids = wait_until(lambda: said_pids(results))
    driver.send_signal(signal.SIGINT)
    time.sleep(0.7)
    assert driver.poll() is None
    driver.send_signal(signal.SIGINT)
    output, errors = driver.communicate(timeout=5)
    assert driver.returncode == 130
    assert all(is_gone(pid) for pid in pids)
    assert "Traceback" not in output + errors


def test_status_tells_from_another_shell_what_is_running_and_what_was_killed(
    start: Start, results: ResultsFolder
) -> None:
    driver = start("patient", "run", _suite_file(results), "--workers", "1")
    wait_until(lambda: "running: epoch" in _status(results), 30)
    driver.kill()
    driver.wait()
    assert "digits/binary  odd: stopped at epoch" in _status(results)


def test_two_drivers_at_once_corrupt_nothing(start: Start, results: ResultsFolder) -> None:
    drivers = [start("obedient") for _ in range(3)]
    for driver in drivers:
        _, errors = driver.communicate(timeout=30)
        assert driver.returncode == 0, errors
    found = records(plan(tiny(), results), results)
    assert all(
        record.status == "done" and families(record) == TINY["metrics"] for row in found.values() for record in row
    )
    assert not list(results.path.rglob("*.tmp"))


def _suite_file(results: ResultsFolder) -> str:
    path = results.path.parent / "tiny.yaml"
    path.write_text(
        "suite: tiny\ndatasets: [digits/binary]\nseeds: 2\nprofile: cpu\n"
        "variants:\n"
        "  - {name: odd, extends: vae, latent: 3}\n"
        "  - {name: even, extends: vae, latent: 4}\n"
        "  - {name: late, extends: vae, latent: 5}\n"
        "metrics: [elbo, kl, probe_accuracy]\nrank_by: {binary: elbo}\n"
    )
    return str(path)


def _status(results: ResultsFolder) -> str:
    command = [sys.executable, "-m", "vaebench", "status", str(results.path / "tiny")]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ}, check=False)
    return finished.stdout

"""Killed with SIGKILL at random moments, a suite ends with the numbers of an undisturbed run."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vaebench.store.folders import ResultsFolder
from vaebench.suite.expansion import expand
from vaebench.suite.loading import load_suite

ROUNDS = int(os.environ.get("VAEBENCH_KILL_ROUNDS", "20"))
COST = ("train_seconds", "peak_memory")

SUITE = """
suite: survivor
datasets: [digits/binary, digits/grey]
seeds: 2
recipe: {extends: quick, epochs: 24, select: best-validation}
defaults: {network: {hidden: [32]}, latent: 2}
variants:
  - vae
  - {extends: beta-vae, on: [digits/binary]}
  - {extends: vmi-vae, on: [digits/binary]}
  - {extends: ppca, on: [digits/grey]}
metrics: [elbo, log_likelihood, kl, active_units]
"""


def start(suite: Path, results: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "vaebench", "run", str(suite), "--results", str(results), "--workers", "1"]
    environment = {**os.environ, "VAEBENCH_CHECKPOINT_SECONDS": "0.05"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


def workers_of(driver: int) -> list[int]:
    children = Path(f"/proc/{driver}/task/{driver}/children")
    return [int(child) for child in children.read_text().split()] if children.exists() else []


def kill(driver: subprocess.Popen[bytes], target: str) -> None:
    """SIGKILL the worker, the driver, or both."""
    workers = workers_of(driver.pid)
    victims = {"driver": [driver.pid], "worker": workers, "both": [driver.pid, *workers]}[target]
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


def numbers(suite: Path, results: Path) -> dict[str, object]:
    """Everything that a run found, all but what it cost."""
    found: dict[str, object] = {}
    for planned in expand(load_suite(suite)).planned:
        folder = ResultsFolder(results).cell(planned.cell.id)
        record = folder.read_record()
        assert record is not None
        assert record.status == "done", record.failure
        for value in record.metrics:
            if value.family not in COST:
                found[f"{planned.cell.id} {value.metric}"] = (value.value, value.stderr, value.details)
        found[f"{planned.cell.id} curves"] = folder.curves.read_text()
        found[f"{planned.cell.id} model"] = folder.model.read_bytes()
        assert not folder.checkpoint.exists()
    return found


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the worker through /proc")
def test_a_suite_killed_at_random_moments_ends_with_the_same_numbers(tmp_path):
    """Each round kills worker, driver or both once, at a random moment; every run that comes to its end is compared."""
    suite = tmp_path / "survivor.yaml"
    suite.write_text(SUITE)
    begun = time.monotonic()
    assert start(suite, tmp_path / "undisturbed").wait(timeout=300) == 0
    length = time.monotonic() - begun
    expected = numbers(suite, tmp_path / "undisturbed")
    chance = random.Random(0)
    results, kills, ends = tmp_path / "killed-0", 0, 0
    while kills < ROUNDS:
        target = ("worker", "driver", "both")[kills % 3]
        driver = start(suite, results)
        try:
            driver.wait(timeout=chance.uniform(0.2, 0.8) * length)
        except subprocess.TimeoutExpired:
            kill(driver, target)
            kills += 1
            driver.wait(timeout=300)
        if driver.returncode == 0:
            assert numbers(suite, results) == expected
            ends += 1
            results = tmp_path / f"killed-{ends}"
    while start(suite, results).wait(timeout=300) == 3:
        retry(suite, results)
    assert numbers(suite, results) == expected


def retry(suite: Path, results: Path) -> None:
    command = [sys.executable, "-m", "vaebench", "run", str(suite), "--results", str(results), "--retry-failed"]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, timeout=300)


def test_what_an_interrupted_write_leaves_behind_is_no_record(tmp_path):
    """A temporary file of a killed writer is not taken for the file it was to become."""
    folder = ResultsFolder(tmp_path).cell("0" * 16)
    folder.path.mkdir(parents=True)
    (folder.path / ".result.json.abc.tmp").write_text(json.dumps({"schema": 1}))
    assert folder.read_record() is None

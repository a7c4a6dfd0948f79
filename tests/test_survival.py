"""Killed with SIGKILL at random moments, a suite ends with the numbers of an undisturbed run."""

import json
import os
import random
from pathlib import Path

import pytest

from tests.stress.faults import KILLS, Stress
from vaebench.store.folders import ResultsFolder

ROUNDS = int(os.environ.get("VAEBENCH_KILL_ROUNDS", "20"))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the worker through /proc")
def test_a_suite_killed_at_random_moments_ends_with_the_same_numbers(tmp_path):
    """Each round kills worker, driver or both once, at a random moment; whatever is on record is compared after it, and
    every run that comes to its end with all its curves and models."""
    stress = Stress(tmp_path, random.Random(0))
    summary = stress.run([tuple(KILLS)[number % len(KILLS)] for number in range(ROUNDS)])
    assert (summary.rounds, summary.lost, summary.wrong, summary.unfinished) == (ROUNDS, [], [], [])


def test_what_an_interrupted_write_leaves_behind_is_no_record(tmp_path):
    """A temporary file of a killed writer is not taken for the file it was to become."""
    folder = ResultsFolder(tmp_path).cell("0" * 16)
    folder.path.mkdir(parents=True)
    (folder.path / ".result.json.abc.tmp").write_text(json.dumps({"schema": 1}))
    assert folder.read_record() is None

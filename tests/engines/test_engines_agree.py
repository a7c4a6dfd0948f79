"""Wherever a suite is run, its numbers are the same to the last digit. Engines that are not installed are skipped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engines.trained import Numbers, digits, numbers
from vaebench.engines.crew import Engine
from vaebench.engines.local import LocalEngine
from vaebench.engines.planning import plan
from vaebench.store.folders import ResultsFolder

ROOT = Path(__file__).resolve().parents[2]


def ray_engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    pytest.importorskip("ray", reason="ray is not installed: pip install 'vaebench[ray]'")
    from vaebench.engines.ray_engine import RayEngine

    return RayEngine(workers=2)


def ray_engine_out_of_sight(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Its nodes do not see the results folder."""
    made = ray_engine(monkeypatch)
    from vaebench.engines import ray_engine as module
    from vaebench.engines.ray_task import Order

    monkeypatch.setattr(module, "Order", lambda job, results, *others: Order(job, "/not/on/this/node", *others))
    return made


def slurm_engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    pytest.importorskip("submitit", reason="submitit is not installed: pip install 'vaebench[slurm]'")
    from vaebench.engines.slurm_engine import SlurmEngine

    return SlurmEngine({"cluster": "local"})


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Numbers:
    """The numbers of one worker after another on this machine."""
    return run(LocalEngine(), tmp_path_factory.mktemp("here"))


def run(engine: Any, folder: Path) -> Numbers:
    results = ResultsFolder(folder)
    made = plan(digits(), results)
    outcome = engine.run(made, results, lambda event: None)
    assert (len(outcome.done), outcome.failed) == (4, ())
    return numbers(made, results)


@pytest.mark.parametrize(
    "engine",
    [lambda _: LocalEngine(workers=2), slurm_engine, ray_engine, ray_engine_out_of_sight],
    ids=["local-2", "slurm-local", "ray", "ray-not-shared"],
)
def test_the_numbers_are_those_of_one_worker_here(
    engine: Callable[[pytest.MonkeyPatch], Engine], here: Numbers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = run(engine(monkeypatch), tmp_path)
    assert found == here
    assert sum(value is not None for value in found.values()) == 4 * 4

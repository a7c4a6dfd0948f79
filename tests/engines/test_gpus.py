"""Several GPUs on one machine, and fleets that share one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.engines.tiny import run_tiny
from vaebench import project
from vaebench.engines import gpus
from vaebench.engines.needs import GPU_PROCESS, PROCESS, Needs
from vaebench.engines.planning import plan
from vaebench.engines.predicting import all_needs, gpu_share, training_bytes
from vaebench.store.folders import ResultsFolder
from vaebench.suite.loading import load_suite_mapping

GIB = 1 << 30


@pytest.fixture(autouse=True)
def _asked_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    gpus._all.cache_clear()
    yield
    gpus._all.cache_clear()


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose driver lists three GPUs, the second one cut in two."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{LISTED}END\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")


LISTED = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aaaaaaaa-0000-0000-0000-000000000000)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-bbbbbbbb-0000-0000-0000-000000000000)
  MIG 3g.40gb     Device  0: (UUID: MIG-cccccccc-0000-0000-0000-000000000000)
  MIG 3g.40gb     Device  1: (UUID: MIG-dddddddd-0000-0000-0000-000000000000)
GPU 2: NVIDIA H100 80GB HBM3 (UUID: GPU-eeeeeeee-0000-0000-0000-000000000000)
"""


def test_every_gpu_of_the_machine_gets_a_worker(smi: None) -> None:
    found = ("0", "MIG-cccccccc-0000-0000-0000-000000000000", "MIG-dddddddd-0000-0000-0000-000000000000", "2")
    assert gpus.gpus("auto") == gpus.gpus("cuda") == found
    assert project.default_workers("auto") == project.default_workers("cuda") == 4


def test_what_the_user_hides_stays_hidden(smi: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for visible, found in {"2,0": ("2", "0"), "": (), "-1": (), "GPU-aaaaaaaa": ("GPU-aaaaaaaa",)}.items():
        monkeypatch.setenv(gpus.VISIBLE, visible)
        assert gpus.gpus("auto") == found


def test_a_certain_device_is_left_to_its_user(smi: None) -> None:
    assert gpus.gpus("cpu") == gpus.gpus("cuda:1") == ()
    assert project.default_workers("cuda:1") == 1


def test_workers_have_a_gpu_each_and_more_of_them_share_evenly(
    results: ResultsFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(gpus.VISIBLE, "4,7")
    _, outcome = run_tiny(results, "gpu_noted", workers=3)
    assert len(outcome.done) == 6
    seen = [line.split()[0] for line in (results.path / "gpus.txt").read_text().splitlines()]
    assert sorted(seen) == ["4", "4", "7"]


def test_a_worker_that_dies_is_replaced_on_its_own_gpu(results: ResultsFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gpus.VISIBLE, "4,7")
    _, outcome = run_tiny(results, "dying_once_and_noted", workers=2)
    assert len(outcome.done) == 6
    seen = [line.split() for line in (results.path / "gpus.txt").read_text().splitlines()]
    at_once = [
        (one[0], two[0]) for place, one in enumerate(seen) for two in seen[:place] if float(two[2]) > float(one[1])
    ]
    assert at_once
    assert all(first != second for first, second in at_once)


def test_a_share_of_a_gpu_is_what_a_fleet_takes_of_it() -> None:
    assert gpu_share(0, 80 * GIB) == 0.125  # no more than eight at a time
    assert gpu_share(16 * GIB, 80 * GIB) == pytest.approx(0.3)  # 16.5 of 64 GiB: 5.2 twentieths
    assert gpu_share(64 * GIB, 80 * GIB) == gpu_share(640 * GIB, 80 * GIB) == 1.0


def test_a_fleet_of_known_size_is_predicted_by_its_parameters(results: ResultsFolder) -> None:
    """With a network so large that all else is small: four copies of each parameter, 64·h + 2·h² + … floats."""
    h = 2048
    suite = load_suite_mapping(
        {
            "suite": "large",
            "datasets": ["digits/binary"],
            "seeds": 3,
            "defaults": {"latent": 2, "network": {"hidden": [h, h]}},
            "variants": ["vae"],
            "metrics": ["elbo"],
        }
    )
    (job,) = plan(suite, results).jobs
    parameters = (64 * h + h) + (h * h + h) + 2 * (h * 2 + 2) + (2 * h + h) + (h * h + h) + (h * 64 + 64)
    predicted = training_bytes(job, torch.device("cpu"))
    assert predicted == pytest.approx(3 * 4 * 4 * parameters, rel=0.15)
    assert all_needs([job], on_gpu=False)[job.fleet].memory == PROCESS + predicted


def test_what_is_only_scored_or_fitted_needs_a_process(results: ResultsFolder) -> None:
    suite = load_suite_mapping(
        {
            "suite": "fitted",
            "datasets": ["digits/grey"],
            "seeds": 1,
            "variants": ["ppca"],
            "metrics": ["log_likelihood"],
        }
    )
    (job,) = plan(suite, results).jobs
    assert all_needs([job], on_gpu=False)[job.fleet] == Needs()


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_a_fleet_whose_share_cannot_be_told_gets_a_whole_gpu(results: ResultsFolder) -> None:
    suite = load_suite_mapping(
        {"suite": "one", "datasets": ["digits/binary"], "seeds": 1, "variants": ["vae"], "metrics": ["elbo"]}
    )
    (job,) = plan(suite, results).jobs
    assert all_needs([job], on_gpu=True)[job.fleet] == Needs(GPU_PROCESS, 1.0)

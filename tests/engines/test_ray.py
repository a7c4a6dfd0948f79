"""The engine of a Ray cluster, on a real one: two nodes on this machine. Needs the extra `ray`; takes a minute."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.tiny import families, is_gone, perform_with, records, said_pids, states, tiny, wait_until
from tests.engines.trained import digits, numbers
from vaebench.engines.crew import EngineUnavailable, Outcome
from vaebench.engines.local import LocalEngine
from vaebench.engines.planning import Plan, Policy, plan
from vaebench.plugins.loading import load_plugins
from vaebench.store.folders import ResultsFolder

pytest.importorskip("ray", reason="ray is not installed: pip install 'vaebench[ray]'")

from ray.cluster_utils import Cluster

from vaebench.engines import ray_engine, ray_task
from vaebench.engines.ray_engine import RayEngine
from vaebench.engines.ray_shipping import CARGO
from vaebench.engines.ray_task import Order

ROOT = Path(__file__).resolve().parents[2]
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
LITTLE = perform_with("little_needed")
Run = Callable[..., tuple[Plan, Outcome]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes with one CPU each; what a worker has trained is on disk after every epoch."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(ROOT))
        patched.setenv("VAEBENCH_CHECKPOINT_SECONDS", "0")
        patched.setenv("OMP_NUM_THREADS", "1")
        made = Cluster(initialize_head=True, head_node_args=NODE)
        made.add_node(**NODE)
        yield made
        made.shutdown()


@pytest.fixture
def run(cluster: Cluster, results: ResultsFolder) -> Run:
    """Plans and performs the tiny suite with one of the performances, on the cluster."""

    def run_there(
        performance: str, events: list[dict[str, Any]] | None = None, made: Plan | None = None, **engine: Any
    ) -> tuple[Plan, Outcome]:
        made = made or plan(tiny(), results)
        settings = {"address": cluster.address, "perform": perform_with(performance), "measure": LITTLE, **engine}
        return made, RayEngine(**settings).run(made, results, (events if events is not None else []).append)

    return run_there


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """No node sees the driver's results folder."""
    monkeypatch.setattr(
        ray_engine, "Order", lambda job, results, *others: Order(job, f"/not/on/this/node{results}", *others)
    )


def test_a_fleet_goes_on_from_its_checkpoints_when_its_node_is_killed(
    cluster: Cluster, results: ResultsFolder, tmp_path: Path
) -> None:
    """Both nodes train when one is killed; the suite ends with the numbers of one that nobody disturbed."""
    doomed = cluster.add_node(**NODE)
    events: list[dict[str, Any]] = []
    reached: dict[str, int] = {}

    def listen(event: dict[str, Any]) -> None:
        events.append(event)
        if event["event"] == "epoch":
            reached[event["fleet"]] = event["epoch"]
        if len(reached) == 3 and min(reached.values()) >= 5 and doomed in cluster.list_all_nodes():
            cluster.remove_node(doomed, allow_graceful=False)  # with SIGKILL

    three = digits(epochs=150, variants=["vae", *({"extends": "vae", "name": f"v{n}", "latent": n} for n in (4, 5))])
    made = plan(three, results)
    outcome = RayEngine(cluster.address, measure=LITTLE).run(made, results, listen)
    assert (len(outcome.done), outcome.failed) == (6, ())
    (lost,) = [event for event in events if event["event"] == "restart"]
    assert "was lost with its node" in lost["why"]
    later = events[events.index(lost) :]
    first = next(event for event in later if event["event"] == "epoch" and event["fleet"] == lost["fleet"])
    assert first["epoch"] >= 5
    undisturbed = ResultsFolder(tmp_path / "undisturbed")
    LocalEngine().run(plan(three, undisturbed), undisturbed, lambda event: None)
    assert numbers(made, results) == numbers(made, undisturbed)


def test_a_dead_worker_is_replaced_and_goes_on_where_it_was(run: Run, results: ResultsFolder) -> None:
    events: list[dict[str, Any]] = []
    made, outcome = run("dying_once", events)
    assert (len(outcome.done), outcome.failed) == (6, ())
    (restart,) = [event for event in events if event["event"] == "restart"]
    assert "was killed by SIGKILL" in restart["why"]
    first, second = records(made, results)["odd"]
    assert first.environment["pid"] != second.environment["pid"]


def test_a_fleet_whose_workers_keep_dying_is_given_up_and_the_rest_goes_on(run: Run, results: ResultsFolder) -> None:
    made, outcome = run("killed")
    assert (len(outcome.done), len(outcome.failed)) == (4, 2)
    record = records(made, results)["odd"][0]
    assert record.failure.kind == "crash"
    assert "last lines: the last thing that it said" in record.failure.message
    assert results.cell(record.cell).log.read_text().count("the last thing that it said") == 3


def test_an_error_of_the_user_is_not_tried_again(run: Run, results: ResultsFolder) -> None:
    events: list[dict[str, Any]] = []
    made, outcome = run("raising", events)
    assert (len(outcome.done), len(outcome.failed)) == (4, 2)
    assert [record.failure.message for record in records(made, results)["odd"]] == ["ValueError: no such thing"] * 2
    odd = [event["event"] for event in events if event.get("fleet") == made.jobs[0].fleet]
    assert odd == ["start", "end"]


def test_a_fleet_that_runs_past_the_timeout_is_recorded_and_the_rest_goes_on(run: Run, results: ResultsFolder) -> None:
    made, outcome = run("hanging_at_once", timeout=2.0)
    assert (len(outcome.done), len(outcome.failed)) == (4, 2)
    assert {record.failure.kind for record in records(made, results)["odd"]} == {"timeout"}


def test_fail_fast_stops_at_the_first_failed_cell(run: Run) -> None:
    _, outcome = run("diverging", workers=1, fail_fast=True)
    assert (outcome.done, len(outcome.failed)) == ((), 2)


def test_the_listener_hears_what_it_hears_of_one_machine(run: Run, results: ResultsFolder, tmp_path: Path) -> None:
    def told(events: list[dict[str, Any]]) -> list[tuple]:
        kept = [event for event in events if event["event"] not in ("tick", "epoch", "scoring")]
        return sorted((event["fleet"], place, str(event)) for place, event in enumerate(kept))

    there: list[dict[str, Any]] = []
    here: list[dict[str, Any]] = []
    run("obedient", there, workers=1)
    other = ResultsFolder(tmp_path / "other")
    LocalEngine(perform=perform_with("obedient")).run(plan(tiny(), other), other, here.append)
    assert told(there) == told(here)
    assert {event["event"] for event in there} == {event["event"] for event in here}


def test_ctrl_c_stops_the_fleets_and_keeps_what_is_finished(run: Run, results: ResultsFolder) -> None:
    def interrupt() -> None:
        wait_until(lambda: len(said_pids(results)) == 2, 60)
        os.kill(os.getpid(), signal.SIGINT)

    asking = threading.Thread(target=interrupt)
    asking.start()
    _, outcome = run("patient")
    asking.join()
    assert outcome.interrupted
    assert len(outcome.done) == 2
    assert sorted(found for cells in states(plan(tiny(), results)).values() for found in cells) == [
        "cached",
        "cached",
        "train",
        "train",
        "train",
    ]
    assert not list((results.path / ".leases" / "cells").iterdir())
    wait_until(lambda: all(is_gone(pid) for pid in said_pids(results)), 10)


def test_records_come_back_where_no_node_sees_the_results_folder(
    run: Run, unseen: None, results: ResultsFolder
) -> None:
    made, outcome = run("obedient")
    assert (len(outcome.done), outcome.failed) == (6, ())
    assert {len(families(record)) for found in records(made, results).values() for record in found} == {3}
    assert all(results.cell(planned.cell.id).model.read_bytes() == b"a model" for planned in made.cells)


def test_what_is_only_to_be_scored_is_sent_to_a_node_that_does_not_see_it(
    run: Run, unseen: None, results: ResultsFolder
) -> None:
    run("obedient", made=plan(tiny(metrics=["elbo"]), results))
    before = records(plan(tiny(), results), results)
    made, outcome = run("obedient")
    assert not any(work.train for job in made.jobs for work in job.cells)
    assert (len(outcome.done), outcome.failed) == (6, ())
    for variant, found in records(made, results).items():
        assert [families(record) for record in found] == [["elbo", "kl", "probe_accuracy"]] * 2
        assert [record.environment for record in found] == [record.environment for record in before[variant]]


def test_a_training_that_is_interrupted_out_of_sight_goes_on_from_its_checkpoints(
    cluster: Cluster, unseen: None, results: ResultsFolder
) -> None:
    made = plan(digits(epochs=150, variants=["vae"]), results)
    events: list[dict[str, Any]] = []
    interrupted = threading.Event()

    def listen(event: dict[str, Any]) -> None:
        events.append(event)
        if event["event"] == "epoch" and event["epoch"] >= 5 and not interrupted.is_set():
            interrupted.set()
            os.kill(os.getpid(), signal.SIGINT)

    engine = RayEngine(cluster.address, measure=LITTLE)
    assert engine.run(made, results, listen).interrupted
    assert all(results.cell(planned.cell.id).checkpoint.exists() for planned in made.cells)
    before = len(events)
    outcome = engine.run(plan(digits(epochs=150, variants=["vae"]), results), results, listen)
    assert (len(outcome.done), outcome.failed) == (2, ())
    assert next(event["epoch"] for event in events[before:] if event["event"] == "epoch") >= 5
    assert not any(results.cell(planned.cell.id).checkpoint.exists() for planned in made.cells)


def test_plugins_that_are_files_are_shipped_with_what_they_import(
    run: Run, results: ResultsFolder, tmp_path: Path
) -> None:
    home = tmp_path / "mine"
    home.mkdir()
    (home / "beside_it.py").write_text("PROBABILITY = 0.5\n")
    plugin = home / "my_prior.py"
    plugin.write_text(PLUGIN)
    load_plugins(plugin)
    suite = tiny(variants=[{"name": "odd", "extends": "vae", "latent": 3, "prior": {"name": "shipped-normal"}}])
    made, outcome = run("with_plugins", made=plan(suite, results))
    assert (len(outcome.done), outcome.failed) == (2, ())
    log = results.cell(made.cells[0].cell.id).log.read_text()
    assert CARGO in log
    assert str(home) not in log


PLUGIN = """
import beside_it
import torch
import vaebench
from torch.distributions import Independent, Normal


@vaebench.prior("shipped-normal", title="N(0, I) from afar")
class Shipped(torch.nn.Module):
    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("zero", torch.zeros(latent))

    def forward(self):
        return Independent(Normal(self.zero, 2 * beside_it.PROBABILITY), 1)
"""


def test_small_fleets_share_a_gpu(cluster: Cluster, results: ResultsFolder) -> None:
    """The node only says that it has one: which fleet gets what is Ray's bookkeeping."""
    node = cluster.add_node(num_cpus=3, num_gpus=1, object_store_memory=NODE["object_store_memory"])
    made = plan(tiny(), results, device="cuda")
    engine = RayEngine(cluster.address, perform=perform_with("gpu_noted"), measure=LITTLE)
    try:
        outcome = engine.run(made, results, lambda event: None)
    finally:
        cluster.remove_node(node)
    assert (len(outcome.done), outcome.failed) == (6, ())
    lines = [line.split() for line in (results.path / "gpus.txt").read_text().splitlines()]
    assert {gpu for gpu, _, _ in lines} == {"0"}
    assert max(float(began) for _, began, _ in lines) < min(float(ended) for _, _, ended in lines)


def test_only_news_that_nothing_newer_makes_old_are_sent() -> None:
    epochs = [{"event": "epoch", "epoch": number, "epochs": 9} for number in range(5)]
    cell = {"event": "cell", "cell": "a", "status": "done"}
    assert ray_task._latest([*epochs[:3], cell, *epochs[3:]]) == [cell, epochs[-1]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"address": "ray://somewhere:10001"}, "Ray's client"),
        ({"address": "127.0.0.1:1"}, "--address 127.0.0.1:1: nothing answers there"),
    ],
)
def test_a_cluster_that_is_not_there_is_named(settings: dict, message: str, results: ResultsFolder) -> None:
    started = time.monotonic()
    with pytest.raises(EngineUnavailable) as found:
        RayEngine(**settings).run(plan(tiny(), results), results, lambda event: None)
    assert message in str(found.value)
    assert "\n" not in str(found.value)
    assert time.monotonic() - started < 20


def test_a_gpu_that_no_node_has_is_refused(cluster: Cluster, results: ResultsFolder) -> None:
    made = plan(tiny(), results, Policy(), device="cuda")
    with pytest.raises(EngineUnavailable, match="--device cuda: no node of the Ray cluster has a GPU"):
        RayEngine(cluster.address, measure=LITTLE).run(made, results, lambda event: None)

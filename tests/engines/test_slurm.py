"""The engine of a Slurm cluster, by submitit's executors that need none. Needs the extra `slurm`; takes a minute."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.engines.tiny import is_gone, perform_with, records, said_pids, states, tiny, wait_until
from tests.engines.trained import digits, numbers
from vaebench import project
from vaebench.engines.crew import EngineUnavailable
from vaebench.engines.local import LocalEngine
from vaebench.engines.planning import Plan, plan
from vaebench.store.files import write_json
from vaebench.store.folders import ResultsFolder

pytest.importorskip("submitit", reason="submitit is not installed: pip install 'vaebench[slurm]'")

from vaebench.engines import slurm_engine
from vaebench.engines.slurm_engine import SlurmEngine, Watch

ROOT = Path(__file__).resolve().parents[2]
Events = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs find the performances, and save what they have trained after every epoch."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("VAEBENCH_CHECKPOINT_SECONDS", "0")


def engine(performance: str | None = None, cluster: str = "local", **settings: Any) -> SlurmEngine:
    chosen = {"perform": perform_with(performance)} if performance else {}
    return SlurmEngine({"cluster": cluster, "time": 5}, **chosen, **settings)


@pytest.mark.parametrize("cluster", ["local", "debug"])
def test_a_suite_is_done_by_jobs_and_the_listener_hears_of_each_fleet(cluster: str, results: ResultsFolder) -> None:
    made, events = plan(tiny(), results), Events()
    outcome = engine("obedient", cluster).run(made, results, events.append)
    assert (len(outcome.done), outcome.failed, outcome.interrupted) == (6, (), False)
    assert all(record.status == "done" for found in records(made, results).values() for record in found)
    for job in made.jobs:
        own = [event["event"] for event in events if event.get("fleet") == job.fleet]
        assert (own[0], own[-1], own.count("cell")) == ("start", "end", 2)


def test_a_preempted_job_is_queued_again_and_goes_on_from_its_checkpoints(
    results: ResultsFolder, tmp_path: Path
) -> None:
    """The number is that of a training that nobody disturbed."""
    suite = digits(epochs=150, variants=["vae"])
    made, events = plan(suite, results), Events()
    submissions = engine().submit(made, results)
    interrupted: list[str] = []

    def listen(event: dict[str, Any]) -> None:
        events.append(event)
        if event["event"] == "epoch" and event["epoch"] >= 5 and not interrupted:
            interrupted.append(event["fleet"])
            submission = next(found for found in submissions if found.job.fleet == event["fleet"])
            _, *tasks = _processes(submission.handle._process.pid)
            for task in tasks:
                os.kill(task, signal.SIGUSR2)  # what Slurm sends when a job is preempted or its time is nearly over

    settled = Watch(submissions, results, listen, threading.Event(), False).run()
    assert sorted(cell for part in settled for cell in part.done) == sorted(planned.cell.id for planned in made.cells)
    own = [event for event in events if event.get("fleet") == interrupted[0]]
    assert [event["event"] for event in own].count("start") == 2
    second = own[[event["event"] for event in own].index("start", 1) :]
    assert next(event["epoch"] for event in second if event["event"] == "epoch") >= 5
    undisturbed = ResultsFolder(tmp_path / "undisturbed")
    LocalEngine().run(plan(suite, undisturbed), undisturbed, lambda event: None)
    assert numbers(made, results) == numbers(made, undisturbed)


def test_failures_of_a_fleet_are_its_own(results: ResultsFolder) -> None:
    made = plan(tiny(), results)
    outcome = engine("raising").run(made, results, lambda event: None)
    assert (len(outcome.done), len(outcome.failed)) == (4, 2)
    assert {record.failure.message for record in records(made, results)["odd"]} == {"ValueError: no such thing"}


def test_cells_of_a_job_that_is_killed_are_open_and_the_next_run_makes_them(results: ResultsFolder) -> None:
    made, events = plan(tiny(variants=["vae"]), results), Events()
    submissions = engine("patient").submit(made, results)
    killed: list[int] = []

    def listen(event: dict[str, Any]) -> None:
        events.append(event)
        if event["event"] == "epoch" and not killed:
            killed.extend(_processes(submissions[0].handle._process.pid))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    (settled,) = Watch(submissions, results, listen, threading.Event(), False).run()
    assert len(settled.done) == 1
    ((cell, why),) = settled.failed
    assert "without an answer" in why
    assert "its log: " in why
    assert results.cell(cell).read_record() is None
    wait_until(lambda: all(is_gone(pid) for pid in said_pids(results)), 10)
    outcome = engine("obedient").run(plan(tiny(variants=["vae"]), results), results, events.append)
    assert (outcome.done, outcome.failed) == ((cell,), ())


def _processes(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


def test_a_detached_suite_goes_on_alone_and_status_tells_how_far_it_is(results: ResultsFolder) -> None:
    made = plan(tiny(), results)
    write_json(results.suite("tiny").plan, made.to_json())
    started = time.monotonic()
    outcome = engine("patient", detach=True).run(made, results, lambda event: None)
    assert outcome.detached[0].startswith("3 fleets submitted: job ")
    assert (outcome.done, outcome.failed) == ((), ())
    assert time.monotonic() - started < 15
    folder = results.suite("tiny").path
    running = wait_until(lambda: len(found := project.status(folder).fleets) == 3 and found, 60)
    assert all(fleet.sentence().startswith("running: epoch") for fleet in running)
    for pid in wait_until(lambda: len(found := said_pids(results)) == 3 and found):
        os.kill(pid, signal.SIGKILL)  # patience ends: what is left is done by workers that come after
    (results.path / "impatient").touch()
    wait_until(lambda: project.status(folder).counts == {"done": 6, "failed": 0, "open": 0}, 60)
    wait_until(lambda: not project.status(folder).fleets)


def test_a_second_submission_of_the_same_suite_makes_nothing_twice(results: ResultsFolder) -> None:
    made = plan(tiny(), results)
    engine("noted", detach=True).run(made, results, lambda event: None)
    outcome = engine("noted").run(made, results, lambda event: None)
    assert (len(outcome.done), outcome.failed) == (6, ())
    assert len((results.path / "trained.txt").read_text().splitlines()) == 6


def test_submissions_of_one_moment_have_folders_of_their_own(
    results: ResultsFolder, queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_engine.time, "strftime", lambda form: "20261121-174424")
    for _ in range(2):
        submitted(plan(tiny(), results), results, queue)
    assert len(list((results.path / "tiny" / "slurm").iterdir())) == 2


def test_ctrl_c_cancels_the_jobs_and_keeps_what_is_finished(results: ResultsFolder) -> None:
    def interrupt() -> None:
        wait_until(lambda: len(said_pids(results)) == 3, 60)
        os.kill(os.getpid(), signal.SIGINT)

    asking = threading.Thread(target=interrupt)
    asking.start()
    events = Events()
    outcome = engine("patient").run(plan(tiny(), results), results, events.append)
    asking.join()
    assert outcome.interrupted
    assert len(outcome.done) == 3
    assert {"event": "stopping", "why": "interrupted"} in events
    assert states(plan(tiny(), results)) == {name: {"cached", "train"} for name in ("odd", "even", "late")}
    wait_until(lambda: all(is_gone(pid) for pid in said_pids(results)), 10)


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Slurm that takes jobs and never runs them; the folder of what it was given."""
    commands, taken = tmp_path / "bin", tmp_path / "taken"
    commands.mkdir()
    taken.mkdir()
    script = f"import shutil, sys, os; n = 100 + len(os.listdir({str(taken)!r})); "
    script += f"shutil.copy(sys.argv[-1], {str(taken)!r} + f'/{{n}}'); print(f'Submitted batch job {{n}}')"
    for name, content in {
        "sbatch": f'#!/bin/sh\nexec {sys.executable} -c "{script}" "$@"\n',
        "srun": "#!/bin/sh\n",
    }.items():
        (commands / name).write_text(content)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    return taken


def submitted(made: Plan, results: ResultsFolder, queue: Path, **settings: Any) -> list[set[str]]:
    """The #SBATCH lines of each submission."""
    parameters = {"partition": "gpu", "time": 90, **settings.pop("parameters", {})}
    SlurmEngine(parameters, detach=True, **settings).run(made, results, lambda event: None)
    lines = [path.read_text().splitlines() for path in sorted(queue.iterdir())]
    return [{line.removeprefix("#SBATCH --") for line in found if line.startswith("#SBATCH --")} for found in lines]


def test_fleets_of_like_needs_are_one_array(results: ResultsFolder, queue: Path) -> None:
    (lines,) = submitted(plan(tiny(), results), results, queue, workers=2)
    assert {"array=0-2%2", "partition=gpu", "time=90", "mem=4GB"} <= lines
    assert any(line.startswith("signal=USR2@") for line in lines)
    assert not any(line.startswith("gpus") for line in lines)


def test_more_fleets_than_slurm_takes_are_several_arrays(
    results: ResultsFolder, queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_engine, "ARRAY", 2)
    first, second = submitted(plan(tiny(), results), results, queue)
    assert [line for line in first | second if line.startswith("array=")] == ["array=0-1%2"]


def test_a_fleet_that_needs_more_memory_is_in_another_array(results: ResultsFolder, queue: Path) -> None:
    """Four layers of 4,096 units: 4 · (2 · 64 · 4096 + 6 · 4096²) floats for each of the two members are 3.0 GiB, and
    two for the process."""
    huge = {"name": "huge", "extends": "vae", "network": {"hidden": [4096, 4096, 4096, 4096]}}
    first, second = submitted(plan(tiny(variants=["vae", huge]), results), results, queue)
    assert {line for line in first | second if line.startswith("mem=")} == {"mem=4GB", "mem=8GB"}


def test_a_gpu_is_asked_for_where_the_device_is_one(results: ResultsFolder, queue: Path) -> None:
    (lines,) = submitted(plan(tiny(), results, device="cuda"), results, queue, parameters={"mem_gb": 24})
    assert {"gpus-per-node=1", "mem=24GB"} <= lines


def test_what_submitit_does_not_know_is_named(results: ResultsFolder, queue: Path) -> None:
    with pytest.raises(EngineUnavailable, match="--slurm: Unknown argument 'partitoin'") as found:
        submitted(plan(tiny(), results), results, queue, parameters={"partitoin": "gpu"})
    assert "\n" not in str(found.value)


def test_without_slurm_the_message_says_so(results: ResultsFolder) -> None:
    with pytest.raises(EngineUnavailable, match=r"--engine slurm: .*srun"):
        SlurmEngine().run(plan(tiny(), results), results, lambda event: None)
    assert not list((results.path / "tiny").rglob("*.events"))

"""Whatever goes wrong around a suite, no record is lost or wrong, the message says what to do, the next run ends it."""

import dataclasses
import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from vaebench.data import dataset as datasets
from vaebench.engines import planning, work
from vaebench.engines.local import LocalEngine
from vaebench.engines.planning import Plan, Policy
from vaebench.engines.settling import settle, stamps
from vaebench.engines.worker import answer
from vaebench.metrics import kl
from vaebench.metrics.answer import Answer
from vaebench.store import files
from vaebench.store.files import SCHEMA, StoreError, Unwritable, write_json
from vaebench.store.folders import ResultsFolder
from vaebench.store.record import Failure, MetricValue, Record
from vaebench.suite.loading import load_suite_mapping
from vaebench.training import fleet

SUITE = {
    "suite": "faulty",
    "datasets": ["digits/binary", "digits/grey"],
    "seeds": 2,
    "recipe": {"extends": "quick", "epochs": 1},
    "defaults": {"network": {"hidden": [8]}, "latent": 2},
    "variants": [{"extends": "vae", "on": ["digits/binary"]}, {"extends": "ppca", "on": ["digits/grey"]}],
    "metrics": ["elbo", "kl"],
}
TEXT = """
suite: faulty
datasets: [digits/binary, digits/grey]
seeds: 2
recipe: {extends: quick, epochs: 1}
defaults: {network: {hidden: [8]}, latent: 2}
variants: [{extends: vae, on: [digits/binary]}, {extends: ppca, on: [digits/grey]}]
metrics: [elbo, kl]
"""
Command = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def results(tmp_path: Path) -> ResultsFolder:
    return ResultsFolder(tmp_path / "runs")


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The command line in a process of its own; `{suite}` stands for the suite's file."""
    file = tmp_path / "faulty.yaml"
    file.write_text(TEXT)

    def run(*arguments: str, before: Callable[[], None] | None = None) -> subprocess.CompletedProcess:
        line = [sys.executable, "-m", "vaebench", *(word.format(suite=file) for word in arguments)]
        return subprocess.run(line, capture_output=True, text=True, timeout=300, check=False, preexec_fn=before)

    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("may not mount a disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def perform(results: ResultsFolder, suite=SUITE, policy: Policy | None = None):
    """Train and score in this process, without a report."""
    made = planning.plan(load_suite_mapping(suite), results, policy)
    return LocalEngine(debug=True).run(made, results, lambda event: None)


def answer_in_turn(made: Plan, results: ResultsFolder) -> None:
    """Every job, as a worker would answer for it, and as the driver would put it on record."""
    for job in made.jobs:
        before = stamps(job, results)
        event = answer(work.perform, job, results, lambda event: None, lambda: False)
        failure = Failure(event["kind"], event["message"]) if event["status"] == "failed" else None
        settle(job, results, before, failure)


def records(results: ResultsFolder) -> dict[str, Record]:
    """Cell → its record, of those that have one."""
    cells = sorted(path.parent.name for path in results.path.glob("cells/*/result.json"))
    found = {cell: results.cell(cell).read_record() for cell in cells}
    return {cell: record for cell, record in found.items() if record is not None}


def numbers(results: ResultsFolder) -> dict[str, dict[str, float | None]]:
    """Cell → what was found of it."""
    return {
        cell: {value.metric: value.value for value in record.metrics if value.status == "done"}
        for cell, record in records(results).items()
    }


def assert_is_a_message(finished: subprocess.CompletedProcess, *words: str) -> None:
    assert finished.returncode == 2, finished
    assert "Traceback" not in finished.stderr + finished.stdout
    assert "internal error" not in finished.stderr
    for word in words:
        assert word in finished.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_whichever_write_fails_nothing_is_lost_or_wrong_and_the_next_run_ends_the_suite(
    number: int, results: ResultsFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every single write of a run in turn."""
    undisturbed = ResultsFolder(results.path / "undisturbed")
    perform(undisturbed)
    expected = numbers(undisturbed)
    fsync, counts = os.fsync, {"left": 0}

    def failing(descriptor: int) -> None:
        counts["left"] -= 1
        if counts["left"] == 0:
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", failing)
    writes = 4 * 3 + 4 * 2  # spec, curves, model and record of each cell; its arrays, and its record with numbers
    for write in range(writes + 4):
        disturbed = ResultsFolder(results.path / f"disturbed-{write}")
        counts["left"] = 2 * write + 1  # each write syncs the file, then its folder
        with pytest.raises(Unwritable, match=f"{os.strerror(number)}.*run the same command again"):
            perform(disturbed)
        for cell, found in numbers(disturbed).items():
            assert found.items() <= expected[cell].items()
        assert not list(disturbed.path.rglob("*.tmp"))
        assert not perform(disturbed).failed
        assert numbers(disturbed) == expected
    counts["left"] = 2 * writes + 9
    perform(ResultsFolder(results.path / "after the last write"))
    assert 0 < counts["left"] <= 8


def test_a_full_disk_is_named_and_with_room_the_same_command_ends_the_suite(small_disk: Path, command: Command) -> None:
    run = ("run", "{suite}", "--results", str(small_disk / "runs"), "--workers", "1")
    filler = small_disk / "filler"
    with filler.open("wb") as stream:
        stream.write(bytes((1 << 20) - 30_000))
    full = command(*run)
    assert_is_a_message(full, "No space left on device", "free some space", str(small_disk))
    before = records(ResultsFolder(small_disk / "runs"))
    assert all(record.failure is None for record in before.values())
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
    again = command(*run)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "4 of 4 complete" in again.stdout
    now = records(ResultsFolder(small_disk / "runs"))
    assert all(value in now[cell].metrics for cell, record in before.items() for value in record.metrics)


def test_files_that_cannot_grow_are_no_fault_of_a_cell(command: Command, results: ResultsFolder) -> None:
    """The limit on the size of files holds for the workers too: a model does not fit, a record would."""
    limit = 4000
    run = ("run", "{suite}", "--results", str(results.path), "--workers", "1", "--only", "digits/binary/*")
    small = command(*run, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert_is_a_message(small, "File too large", "ulimit -f")
    assert records(results) == {}
    assert command(*run).returncode == 0


@pytest.mark.parametrize("finished", [False, True])
def test_results_that_may_not_be_written_are_read_all_the_same(
    finished: bool, small_disk: Path, command: Command
) -> None:
    folder = small_disk / "runs"
    results = ResultsFolder(folder)
    if finished:
        perform(results)
        write_json(
            results.suite("faulty").plan,
            {"cells": [], "fleets": [], "suite": "faulty", "keep_stale": False, "metric_fingerprints": {}},
        )
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    try:
        planned = command("plan", "{suite}", "--results", str(folder))
        assert planned.returncode == 0, planned.stderr
        assert ("4 cached" if finished else "4 to train") in planned.stdout
        run = command("run", "{suite}", "--results", str(folder))
        assert_is_a_message(run, "read-only file system", "make it writable, or name another folder", str(folder))
        if finished:
            status = command("status", str(folder / "faulty"))
            assert status.returncode == 0, status.stderr
    finally:
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)


def test_results_of_a_newer_vaebench_are_refused_by_every_verb_and_left_alone(
    command: Command, results: ResultsFolder
) -> None:
    perform(results)
    victim = results.cell(next(iter(records(results)))).result
    written = json.dumps({"schema": SCHEMA + 1, "shape": "of tomorrow"})
    victim.write_text(written)
    for verb in ("plan", "run"):
        refused = command(verb, "{suite}", "--results", str(results.path))
        assert_is_a_message(refused, str(victim), "newer than this vaebench reads", "upgrade it")
    assert victim.read_text() == written


def test_results_of_before_there_were_checksums_are_used(results: ResultsFolder) -> None:
    perform(results)
    expected = records(results)
    for path in results.path.glob("cells/*/*.json"):
        content = json.loads(path.read_text())
        del content["checksum"]
        path.write_text(json.dumps(content))
    assert records(results) == expected
    assert perform(results) == type(perform(results))()


def test_a_record_of_a_shape_that_is_no_longer_known_is_made_again(results: ResultsFolder) -> None:
    perform(results)
    expected = numbers(results)
    cell = next(iter(expected))
    write_json(results.cell(cell).result, {"cell": cell, "score": -23.0})
    outcome = perform(results)
    assert outcome.done == (cell,)
    assert numbers(results) == expected


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_data_that_are_not_finite_end_in_failed_cells_that_say_so(
    bad: float, results: ResultsFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = datasets.load_dataset

    def damaged(name: str, root: Path | None = None):
        found = load(name, root)
        content = found.splits["train"].content.clone()
        content[7, 3] = bad
        splits = {**found.splits, "train": datasets.Split(content, found.splits["train"].labels)}
        return dataclasses.replace(found, splits=splits)

    suite = {**SUITE, "datasets": ["linear-gaussian/real"], "variants": ["vae", "linear-vae", "ppca", "gmm"]}
    monkeypatch.setattr("vaebench.engines.work.load_dataset", damaged)
    made = planning.plan(load_suite_mapping(suite), results)
    answer_in_turn(made, results)
    for planned in made.cells:
        record = results.cell(planned.cell.id).read_record()
        assert record is not None
        assert record.failure is not None
        assert f"linear-gaussian: train image 7 has the value {bad} at pixel 3: not finite" in record.failure.message


def test_a_number_that_is_not_finite_is_a_failed_metric_and_the_others_stay(
    results: ResultsFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it only stands in the details of one that is."""
    ways = {
        "value": Answer(float("nan"), 0.1),
        "error": Answer(1.0, float("inf")),
        "details": Answer(1.0, 0.1, details={"per_latent": [1.0, float("nan")], "ess": float("-inf")}),
    }
    for name, way in ways.items():
        folder = ResultsFolder(results.path / name)
        monkeypatch.setattr(kl, "evaluate", lambda subject, protocol, way=way: [way])
        perform(folder)
        for record in records(folder).values():
            (found,) = [value for value in record.metrics if value.family == "kl"]
            assert found.status == ("failed" if name == "value" else "done")
            assert found.stderr is None or found.stderr == 0.1
            assert all(value.status == "done" for value in record.metrics if value.metric == "elbo")
        monkeypatch.undo()


def test_a_loss_that_is_not_finite_costs_its_member_only(results: ResultsFolder) -> None:
    wild = {"name": "wild", "extends": "beta-vae", "objective": {"beta": 1e39}, "on": ["digits/binary"]}
    tame = {"name": "tame", "extends": "beta-vae", "objective": {"beta": 2.0}, "on": ["digits/binary"]}
    suite = {**SUITE, "variants": [wild, tame], "recipe": {"extends": "quick", "epochs": 2, "learning_rate": 1e-3}}
    made = planning.plan(load_suite_mapping(suite), results)
    perform(results, suite)
    found = {planned.variant: results.cell(planned.cell.id).read_record() for planned in made.cells}
    assert found["wild"].failure.kind == "diverged"
    assert found["tame"].status == "done"


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
def test_a_fleet_that_runs_out_of_memory_in_mid_training_ends_in_parts_with_the_same_numbers(
    error: type[Exception], results: ResultsFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = ResultsFolder(results.path / "undisturbed")
    perform(undisturbed)
    save, crowds = fleet._advance, []

    def crowded(stepper, active, segment, source):
        if len(active) > 1:
            crowds.append(len(active))
            raise error("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes. Error code 12")
        return save(stepper, active, segment, source)

    monkeypatch.setattr(fleet, "_advance", crowded)
    assert not perform(results).failed
    assert crowds
    assert numbers(results) == numbers(undisturbed)


def test_a_worker_whose_address_space_is_too_small_leaves_a_record_that_says_so(
    command: Command, results: ResultsFolder
) -> None:
    """A member that does not fit even alone is recorded as out of memory, and with more memory it is made."""
    file = results.path.parent / "big.yaml"
    file.write_text(TEXT.replace("hidden: [8]", "hidden: [40000, 40000]"))
    limit = 6 << 30
    run = ("run", str(file), "--results", str(results.path), "--workers", "1", "--only", "digits/binary/*")
    finished = command(*run, before=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    assert finished.returncode == 3, finished.stdout + finished.stderr
    assert "Traceback" not in finished.stdout + finished.stderr
    kinds = {record.failure.kind for record in records(results).values()}
    assert kinds == {"oom"}


def test_a_damaged_lock_file_is_named_and_the_next_run_writes_it_anew(command: Command, results: ResultsFolder) -> None:
    run = ("run", "{suite}", "--results", str(results.path), "--workers", "1")
    assert command(*run).returncode == 0
    lock, plan = results.suite("faulty").lock, results.suite("faulty").plan
    for path, verb in ((lock, "report"), (plan, "status")):
        path.write_bytes(path.read_bytes()[:100])
        assert_is_a_message(command(verb, str(results.path / "faulty")), str(path), "damaged", "run the suite again")
    assert command(*run).returncode == 0
    assert command("report", str(results.path / "faulty")).returncode == 0
    assert command("status", str(results.path / "faulty")).returncode == 0


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_model_that_is_not_the_record_s_is_never_scored(damage: str, results: ResultsFolder) -> None:
    perform(results)
    expected = numbers(results)
    victim = next(iter(sorted(results.path.glob("cells/*/model.safetensors"))))
    content = bytearray(victim.read_bytes())
    content[-5] ^= 1
    victim.write_bytes(content if damage == "changed" else content[:-5])
    more = {**SUITE, "metrics": ["elbo", "kl", "reconstruction"]}
    outcome = perform(results, more)
    ((cell, message),) = outcome.failed
    assert cell == victim.parent.name
    assert "model.safetensors was damaged" in message
    assert "--retry-failed" in message
    assert not perform(results, more, Policy(retry_failed=True)).failed
    for cell, found in expected.items():
        assert found.items() <= numbers(results)[cell].items()


def test_a_file_where_a_folder_is_needed_is_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("not a folder")
    finished = command("run", "{suite}", "--results", str(tmp_path / "runs"))
    assert_is_a_message(finished, str(tmp_path / "runs"))


def test_a_folder_where_a_record_is_needed_is_named_and_without_it_the_same_command_ends_the_suite(
    command: Command, results: ResultsFolder
) -> None:
    run = ("run", "{suite}", "--results", str(results.path), "--workers", "1")
    assert command(*run).returncode == 0
    record = next(iter(sorted(results.path.glob("cells/*/result.json"))))
    record.unlink()
    record.mkdir()
    assert_is_a_message(command(*run), str(record), "a folder stands in its place; move it away")
    record.rmdir()
    assert command(*run).returncode == 0


def test_unwritable_is_an_error_for_the_user() -> None:
    assert issubclass(Unwritable, StoreError)
    value = MetricValue("kl", "kl", {}, "done", 1.0, details={"x": float("nan")})
    assert Record("0" * 16, "done", {}, [value]).to_json()["metrics"][0]["details"] == {"x": None}

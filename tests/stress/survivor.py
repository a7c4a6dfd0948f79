"""A small suite that is disturbed, and what an undisturbed run of it finds."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vaebench.store.folders import ResultsFolder
from vaebench.store.record import Record
from vaebench.suite.expansion import expand
from vaebench.suite.loading import load_suite

COST = ("train_seconds", "peak_memory")
SUITE = """
suite: survivor
datasets: [digits/binary, digits/grey]
seeds: 2
recipe: {extends: quick, epochs: 12, select: best-validation}
defaults: {network: {hidden: [32]}, latent: 2}
variants:
  - vae
  - {extends: beta-vae, on: [digits/binary]}
  - {extends: vmi-vae, on: [digits/binary]}
  - {extends: ppca, on: [digits/grey]}
metrics: [elbo, log_likelihood, kl, active_units]
"""
MORE = SUITE.replace("active_units]", "active_units, reconstruction]")
"""The same models, asked for one number more, so that each of them is read."""
INCOMPLETE = 3
"""Exit code of a run that leaves failed cells."""
LONGEST = 600.0
"""Seconds after which a run is taken to hang."""

Numbers = dict[str, Any]


def start(suite: Path, results: Path, *options: str) -> subprocess.Popen[str]:
    """A run with one worker that saves its checkpoints all the time."""
    command = [sys.executable, "-m", "vaebench", "run", str(suite), "--results", str(results), "--workers", "1"]
    environment = {**os.environ, "VAEBENCH_CHECKPOINT_SECONDS": "0.05"}
    return subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True
    )


def workers_of(driver: int) -> list[int]:
    children = Path(f"/proc/{driver}/task/{driver}/children")
    return [int(child) for child in children.read_text().split()] if children.exists() else []


@contextmanager
def ending(*drivers: subprocess.Popen[str]) -> Iterator[None]:
    """Whatever happens, no driver outlives the block."""
    try:
        yield
    finally:
        for driver in drivers:
            driver.kill()
            driver.communicate()


@dataclass(frozen=True)
class Survivor:
    """The suite's file, and what an undisturbed run of it takes and finds."""

    suite: Path
    more: Path
    seconds: float
    wanted: dict[str, set[str]]
    """Cell → what the suite asks of it."""
    expected: dict[str, Numbers]
    """Cell → its numbers, also those of the suite that asks for more."""

    @classmethod
    def undisturbed(cls, folder: Path) -> "Survivor":
        suite, more, results = folder / "survivor.yaml", folder / "more.yaml", ResultsFolder(folder / "undisturbed")
        suite.write_text(SUITE)
        more.write_text(MORE)
        cells = [planned.cell.id for planned in expand(load_suite(suite)).planned]
        begun = time.monotonic()
        _run(suite, results)
        seconds = time.monotonic() - begun
        wanted = {cell: set(numbers(results, cell)["answers"]) for cell in cells}
        _run(more, results)
        return cls(suite, more, seconds, wanted, {cell: numbers(results, cell) for cell in cells})

    def records(self, results: ResultsFolder) -> dict[str, Record]:
        """Of the cells that have one."""
        found = {cell: results.cell(cell).read_record() for cell in self.expected}
        return {cell: record for cell, record in found.items() if record is not None}

    def complete(self, results: ResultsFolder) -> dict[str, Record]:
        """Records that have every number."""
        return {
            cell: record
            for cell, record in self.records(results).items()
            if record.status == "done" and answers(record).keys() >= self.wanted[cell]
        }

    def wrong(self, results: ResultsFolder) -> list[str]:
        """Numbers on record that an undisturbed run does not find, and those of cells that are not the suite's."""
        found = []
        for cell, record in self.records(results).items():
            known = self.expected[cell]["answers"]
            found += [
                f"{cell} {key}: {answer} and not {known.get(key)}"
                for key, answer in answers(record).items()
                if answer != known.get(key)
            ]
        return found

    def differences(self, results: ResultsFolder) -> list[str]:
        """In what a complete folder differs from an undisturbed one, curves and models included."""
        found = []
        for cell, expected in self.expected.items():
            now = numbers(results, cell)
            found += [f"{cell}: other {what}" for what in ("curves", "model") if now[what] != expected[what]]
        return found


def _run(suite: Path, results: ResultsFolder) -> None:
    driver = start(suite, results.path)
    output, _ = driver.communicate(timeout=LONGEST)
    assert driver.returncode == 0, output


def answers(record: Record) -> dict[str, Any]:
    """Every number of a record that was found, all but what it cost."""
    return {
        f"{value.metric} {value.request.key}": (value.value, value.stderr, value.details)
        for value in record.metrics
        if value.family not in COST and value.status == "done"
    }


def numbers(results: ResultsFolder, cell: str) -> Numbers:
    """Everything that a run found of a cell."""
    folder = results.cell(cell)
    record = folder.read_record()
    assert record is not None, f"{cell}: no record"
    assert record.status == "done", asdict(record)["failure"]
    assert not folder.checkpoint.exists()
    return {"answers": answers(record), "curves": folder.curves.read_text(), "model": folder.model.read_bytes()}

"""suite.lock.json: the suite as it was understood, and the versions, machine and data it was run with."""

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vaebench.catalog.catalog import load_catalog
from vaebench.engines import plugged
from vaebench.engines.estimate import machine
from vaebench.engines.planning import Plan
from vaebench.project.settings import Settings
from vaebench.store.folders import ResultsFolder
from vaebench.suite import trainers
from vaebench.suite.comparability import SEEDS_FOR_VERDICT
from vaebench.suite.suite import Suite

PACKAGES = ("vaebench", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas")


def lock(made: Plan, settings: Settings, results: ResultsFolder) -> dict[str, Any]:
    """What a rerun needs to know: the suite as it was understood, versions, device, git state, data checksums."""
    return {
        "suite": made.suite.to_json(),
        "source": source_of(made.suite),
        "plugins": plugged.recorded(made.suite),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in (*PACKAGES, *_foreign_packages(made.suite))},
        "device": settings.device,
        "compiled": settings.compiled,
        "compiled_cells": _compiled(made, results),
        "machine": machine(),
        "git": git_state(Path(__file__)),
        "suite_git": git_state(made.suite.file) if made.suite.file else None,
        "data": _checksums(made, results),
    }


def _foreign_packages(suite: Suite) -> list[str]:
    """Of the libraries that train some of the suite's variants."""
    named = [trainers.library_of(variant.composition, load_catalog()) for variant in suite.variants]
    return list(dict.fromkeys(library.package for library in named if library))


def missing_libraries(suite: Suite) -> list[str]:
    """A line for each library that variants of the suite need and that is not installed."""
    return trainers.missing_libraries(suite.variants, load_catalog())


def too_few_seeds(suite: Suite) -> list[str]:
    """A line where the suite asks questions that its seeds cannot answer."""
    if not suite.contrasts or len(suite.seeds) >= SEEDS_FOR_VERDICT:
        return []
    return [f"contrasts: no verdict below {SEEDS_FOR_VERDICT} seeds, and the suite has {len(suite.seeds)}"]


def _checksums(made: Plan, results: ResultsFolder) -> dict[str, str]:
    """Data set → hash of its content, where a model of it has been trained."""
    found: dict[str, str] = {}
    for planned in made.cells:
        name = planned.cell.dataset
        if name not in found and (record := results.cell(planned.cell.id).read_record()):
            found |= {name: record.environment["data_checksum"]} if "data_checksum" in record.environment else {}
    return found


def _compiled(made: Plan, results: ResultsFolder) -> list[str]:
    """The cells that were trained by compiled steps."""
    records = {planned.cell.id: results.cell(planned.cell.id).read_record() for planned in made.cells}
    return [cell for cell, record in records.items() if record and record.training.get("compiled")]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def git_state(file: Path) -> dict[str, Any] | None:
    """Commit of the repository that keeps a file, and whether the work tree differs from it; None where none keeps it.

    A file that merely lies in one, as an installed package in a virtual environment, is not kept by it.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(file.resolve().parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", file.name)
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def commit_of(lock: Mapping[str, Any]) -> dict[str, str]:
    """The commits of a lock file by the names that reports give them."""
    names = {"git": "vaebench_commit", "suite_git": "suite_commit"}
    found = {name: lock[key] for key, name in names.items() if isinstance(lock.get(key), dict)}
    if found.get("suite_commit") == found.get("vaebench_commit"):
        found.pop("suite_commit", None)
    return {name: f"{git.get('commit')}{' with changes' if git.get('dirty') else ''}" for name, git in found.items()}


def source_of(suite: Suite) -> str:
    """What `vaebench run` is given for this suite: a shipped one has a name, a file below this folder a short path."""
    from vaebench.suite.loading import shipped

    if suite.file is None or shipped().get(suite.name) == suite.file:
        return suite.name
    file = suite.file.resolve()
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else suite.file)


def command_of(lock: Mapping[str, Any]) -> str:
    """What runs a suite again, from its lock file."""
    profile = lock["suite"].get("profile")
    chosen = f" --profile {profile}" if profile else ""
    return f"vaebench run {lock['source']}{chosen}{plugged.options(lock.get('plugins', []))}"

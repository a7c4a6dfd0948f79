"""A suite of three variants that plans in no time, and ways to run it without torch."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from vaebench.engines.crew import Outcome
from vaebench.engines.local import LocalEngine
from vaebench.engines.planning import Plan, plan
from vaebench.store.folders import ResultsFolder
from vaebench.store.record import Record
from vaebench.suite.loading import load_suite_mapping
from vaebench.suite.suite import Suite

TINY: dict[str, Any] = {
    "suite": "tiny",
    "datasets": ["digits/binary"],
    "seeds": 2,
    "profile": "cpu",
    "variants": [
        {"name": "odd", "extends": "vae", "latent": 3},
        {"name": "even", "extends": "vae", "latent": 4},
        {"name": "late", "extends": "vae", "latent": 5},
    ],
    "metrics": ["elbo", "kl", "probe_accuracy"],
    "rank_by": {"binary": "elbo"},
}


def families(record: Record) -> list[str]:
    """The metrics that a record answers."""
    return sorted({answer.family for answer in record.metrics})


def tiny(**changes: Any) -> Suite:
    return load_suite_mapping({**TINY, **changes})


def perform_with(name: str) -> str:
    """The reference of one of the performances."""
    return f"tests.engines.performances:{name}"


def run_tiny(
    results: ResultsFolder,
    performance: str = "obedient",
    suite: Suite | None = None,
    events: list[dict[str, Any]] | None = None,
    **engine: Any,
) -> tuple[Plan, Outcome]:
    """Plan and perform a suite with one of the performances."""
    made = plan(suite or tiny(), results)
    listener = (events if events is not None else []).append
    return made, LocalEngine(perform=perform_with(performance), **engine).run(made, results, listener)


def records(made: Plan, results: ResultsFolder) -> dict[str, list[Record | None]]:
    """Variant → the records of its seeds."""
    found: dict[str, list[Record | None]] = {}
    for planned in made.cells:
        found.setdefault(planned.variant, []).append(results.cell(planned.cell.id).read_record())
    return found


def states(made: Plan) -> dict[str, set[str]]:
    """Variant → the states of its cells."""
    found: dict[str, set[str]] = {}
    for planned in made.cells:
        found.setdefault(planned.variant, set()).add(planned.decision.state)
    return found


def wait_until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"still waiting after {seconds} s")


def said_pids(results: ResultsFolder) -> list[int]:
    """Processes that performances have named, see `performances._say_who`."""
    folder: Iterable[Path] = (results.path / "pids").glob("*[0-9]")
    return [int(pid) for path in folder for pid in path.read_text().split()]


def is_gone(pid: int) -> bool:
    """Whether a process has ended, be it collected by its parent or not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"

"""What a Slurm job runs: one fleet, by the engine of one machine, with leases and a heartbeat of its own. So it needs
nobody who waits for it, and finds out by itself if another has done its work meanwhile."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit.helpers import DelayedSubmission

from vaebench.engines.crew import Outcome
from vaebench.engines.local import LocalEngine
from vaebench.engines.planning import Plan
from vaebench.engines.progress import Progress, ProgressFiles
from vaebench.plugins.loading import load_as_planned
from vaebench.store.folders import ResultsFolder

NEWS = ("epoch", "scoring")
NEWS_SECONDS = 1.0
"""Of these events one in so many seconds is told: the file is on a disk that others share."""


@dataclass(frozen=True)
class FleetTask:
    """One fleet of a plan; submitit keeps it in a file and calls it on a node."""

    plan: Plan
    """Of this fleet alone."""
    results: Path
    events: Path
    """File to which the events are added, a line each, for whoever wants to follow."""
    engine: LocalEngine

    def __call__(self) -> Outcome:
        load_as_planned({plugin: sources for job in self.plan.jobs for plugin, sources in job.plugins.items()})
        results = ResultsFolder(self.results)
        progress = Progress(self.plan)
        files = ProgressFiles(results.suite(self.plan.suite.name), progress)
        told: dict[str, float] = {}
        with self.events.open("a", encoding="utf-8", buffering=1) as stream:

            def listen(event: dict[str, Any]) -> None:
                progress.apply(event)
                files.update(event)
                kind, now = event["event"], time.monotonic()
                if kind == "tick" or (kind in NEWS and now - told.get(kind, -NEWS_SECONDS) < NEWS_SECONDS):
                    return
                told[kind] = now
                stream.write(json.dumps(event) + "\n")

            return self.engine.run(self.plan, results, listen)

    def checkpoint(self) -> DelayedSubmission:
        """submitit asks this when the job is preempted or its time is over, and queues it again. Its worker is ended;
        the next one goes on from the checkpoints, which are seconds old."""
        return DelayedSubmission(self)

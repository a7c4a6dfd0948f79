"""About how long a plan will take, judged by what was trained before."""

from collections.abc import Iterable, Sequence
from statistics import median

from vaebench.engines.job import Job
from vaebench.store.record import Record


def estimate_seconds(jobs: Sequence[Job], records: Iterable[Record]) -> float | None:
    """Model-epochs that remain × the median seconds that one took in `records`; None without such records."""
    remaining = sum(work.cell.recipe["epochs"] for job in jobs for work in job.cells if work.train)
    if not remaining:
        return 0.0
    paces = [pace for record in records if (pace := seconds_per_model_epoch(record)) is not None]
    return remaining * median(paces) if paces else None


def seconds_per_model_epoch(record: Record) -> float | None:
    """A model's share of its fleet's seconds / its epochs, where the record says both."""
    seconds, epochs = record.training.get("seconds"), record.training.get("epochs")
    return seconds / epochs if seconds and epochs else None

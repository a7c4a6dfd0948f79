"""After a job, however it ended: every one of its cells has a record, and what failed says why."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from vaebench.catalog.catalog import load_catalog
from vaebench.engines.job import CellWork, Job
from vaebench.engines.planning import metric_problems
from vaebench.store.folders import CellFolder, ResultsFolder, Stamp
from vaebench.store.record import Failure, MetricRequest, MetricValue, Record

NO_ANSWER = Failure("error", "the worker ended its job without saying anything about this")


@dataclass(frozen=True)
class Settled:
    """What a job's cells came to."""

    done: tuple[str, ...] = ()
    """Ids of cells that were trained and scored as asked."""
    failed: tuple[tuple[str, str], ...] = ()
    """Ids of the others, with what happened."""

    @classmethod
    def total(cls, parts: Iterable["Settled"]) -> "Settled":
        parts = tuple(parts)
        return cls(
            done=tuple(cell for part in parts for cell in part.done),
            failed=tuple(cell for part in parts for cell in part.failed),
        )


def stamps(job: Job, results: ResultsFolder) -> dict[str, Stamp]:
    """Which records stand before a job, to be compared when it has ended."""
    return {work.cell.id: results.cell(work.cell.id).stamp for work in job.cells}


def settle(job: Job, results: ResultsFolder, before: dict[str, Stamp], failure: Failure | None) -> Settled:
    """Record `failure` wherever the job left no new record or no answer; None: the job ended as it should."""
    return Settled.total(
        _settle_cell(job, work, results.cell(work.cell.id), before[work.cell.id], failure or NO_ANSWER)
        for work in job.cells
    )


def finished(job: Job, results: ResultsFolder, before: dict[str, Stamp]) -> Settled:
    """What a job that was stopped had finished; its other cells are left as they are, for the next run."""
    return Settled.total(
        _outcome(work, record)
        for work in job.cells
        if (record := results.cell(work.cell.id).read_record())
        and results.cell(work.cell.id).stamp != before[work.cell.id]
        and (record.status == "failed" or not _unanswered(record, work, job))
    )


def remaining(job: Job, results: ResultsFolder, before: dict[str, Stamp]) -> Job | None:
    """The part of a job that is still undone, be it that its worker died or that another driver did some of it; what
    was trained meanwhile is only to be scored."""
    works = []
    for work in job.cells:
        folder = results.cell(work.cell.id)
        record = folder.read_record()
        is_other = record is not None and work.train and record.fingerprints != work.fingerprints
        if record is None or is_other or folder.stamp == before[work.cell.id]:
            works.append(work)
        elif record.status == "done" and (unanswered := _unanswered(record, work, job)):
            works.append(replace(work, train=False, requests=tuple(unanswered)))
    return replace(job, cells=tuple(works)) if works else None


def failed_answers(request: MetricRequest, note: str, fingerprint: str) -> list[MetricValue]:
    """The answers, one for each column of the metric, that say why there is no number."""
    return [
        MetricValue(column, request.metric, request.protocol, "failed", note=note, fingerprint=fingerprint)
        for column in load_catalog().metric_of(request.metric).columns
    ]


def _settle_cell(job: Job, work: CellWork, folder: CellFolder, before: Stamp, failure: Failure) -> Settled:
    record = folder.read_record()
    if record is None or (work.train and folder.stamp == before):
        made = Record(work.cell.id, "failed", work.fingerprints, failure=failure)
        if record is not None and record.status == "done":
            # what befell a second training says nothing against the numbers of the first
            return _outcome(work, made)
        folder.write_cell(work.cell)
        folder.write_record(made)
        record = made
    elif record.status == "done" and (unanswered := _unanswered(record, work, job)):
        answers = [
            answer
            for request in unanswered
            for answer in failed_answers(request, failure.message, job.metric_fingerprints[request.metric])
        ]
        record = record.with_answers(answers)
        folder.write_record(record)
    return _outcome(work, record)


def _unanswered(record: Record, work: CellWork, job: Job) -> list[MetricRequest]:
    """Requests without an answer by the present evaluator."""

    def answered(request: MetricRequest) -> bool:
        answers = record.answers(request)
        return bool(answers) and all(a.fingerprint == job.metric_fingerprints[request.metric] for a in answers)

    return [request for request in work.requests if not answered(request)]


def _outcome(work: CellWork, record: Record) -> Settled:
    failure = record.failure
    problem = f"{failure.kind}: {failure.message}" if failure else metric_problems(record, work.requests)
    return Settled(failed=((work.cell.id, problem),)) if problem else Settled(done=(work.cell.id,))

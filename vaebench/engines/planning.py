"""What a run has to do: the state of every planned cell, and the jobs that remain."""

import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from vaebench.catalog.catalog import KINDS, load_catalog
from vaebench.engines.compiling import Wanted, compiled_where_it_pays
from vaebench.engines.estimate import estimate_seconds, standing
from vaebench.engines.gpus import gpus
from vaebench.engines.job import CellWork, Job
from vaebench.engines.plugged import plugins_of_cells
from vaebench.plugins.fingerprints import fingerprint
from vaebench.store.cell import Cell, digest
from vaebench.store.fingerprints import MODEL_ROOMS
from vaebench.store.folders import ResultsFolder, Stamp
from vaebench.store.record import MetricRequest, Record
from vaebench.suite.expansion import Impossible, expand, requests
from vaebench.suite.fleets import group
from vaebench.suite.selection import Patterns, is_selected
from vaebench.suite.suite import Suite
from vaebench.suite.trainers import library_of

State = Literal["cached", "train", "stale", "failed", "score"]
LEAST_FIRST: tuple[State, ...] = ("cached", "score", "failed", "stale", "train")
"""By how much there is to do."""
TRAINER = "vaebench.training.fitting"
UNTRAINED = "never trained"


@dataclass(frozen=True)
class Policy:
    """Which cells a run takes up, beyond those that were never trained."""

    force: bool = False
    """Train every selected cell again."""
    retry_failed: bool = False
    """Take up cells and metrics whose record says that they failed."""
    keep_stale: bool = False
    """Reuse what older sources made instead of making it again."""
    only: Patterns = None
    """A pattern on `dataset/view/variant`, or several; other cells are planned but not taken up."""

    def selects(self, source: str, variant: str) -> bool:
        """Whether the run takes up this row."""
        return is_selected(source, variant, self.only)


@dataclass(frozen=True)
class Decision:
    """What a cell's record means for this run."""

    state: State
    why: str = ""
    train: bool = False
    requests: tuple[MetricRequest, ...] = ()
    """The metrics that this run has to score."""

    @property
    def has_work(self) -> bool:
        return self.train or bool(self.requests)


@dataclass(frozen=True)
class PlannedCell:
    """One variant with one seed on one data set view."""

    variant: str
    cell: Cell
    wanted: tuple[MetricRequest, ...]
    """Every metric that the suite asks of it."""
    fingerprints: dict[str, str]
    """Of the sources as they are now."""
    decision: Decision
    selected: bool = True

    def to_json(self) -> dict[str, Any]:
        return {
            "variant": self.variant,
            "dataset": self.cell.dataset,
            "view": self.cell.view,
            "seed": self.cell.seed,
            "cell": self.cell.id,
            "state": self.decision.state,
            "why": self.decision.why,
            "wanted": [request.key for request in self.wanted],
            "fingerprints": self.fingerprints,
        }


def distinct(cells: Iterable[PlannedCell]) -> list[PlannedCell]:
    """Each cell once: of the rows that share it, such as those that differ in how they are sampled, the one with the
    most to do."""
    found: dict[str, PlannedCell] = {}
    for planned in cells:
        other = found.setdefault(planned.cell.id, planned)
        found[planned.cell.id] = max(other, planned, key=lambda each: LEAST_FIRST.index(each.decision.state))
    return list(found.values())


@dataclass(frozen=True)
class Plan:
    """Everything that a run will do; `plan.json`."""

    suite: Suite
    cells: tuple[PlannedCell, ...]
    impossible: tuple[Impossible, ...]
    jobs: tuple[Job, ...]
    seconds: float | None
    """About how long it will take; None where nothing like it was done before."""
    metric_fingerprints: dict[str, str]
    """Metric family → hash of its evaluator's sources as they are now."""
    policy: Policy
    stamps: Mapping[str, Stamp] = field(default_factory=dict)
    """Cell → the record that the plan was made by: one that changes before its turn comes is another driver's work."""
    begun: frozenset[str] = frozenset()
    """Cells whose training goes on from a checkpoint."""

    @property
    def counts(self) -> dict[str, int]:
        """State → number of planned cells."""
        return dict(Counter(planned.decision.state for planned in distinct(self.cells)))

    @property
    def selected(self) -> tuple[PlannedCell, ...]:
        return tuple(planned for planned in self.cells if planned.selected)

    def variants(self, job: Job) -> tuple[str, ...]:
        """Names of the variants whose cells a job makes, in the order of the suite."""
        places = sorted(place for work in job.cells for place in self._places[work.cell.id])
        return tuple(dict.fromkeys(self.cells[place].variant for place in places))

    @functools.cached_property
    def _places(self) -> dict[str, list[int]]:
        """Cell → its places among the planned ones."""
        found: dict[str, list[int]] = {}
        for place, planned in enumerate(self.cells):
            found.setdefault(planned.cell.id, []).append(place)
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "suite": self.suite.name,
            "counts": self.counts,
            "cells": [planned.to_json() for planned in self.cells],
            "impossible": [
                {"variant": pair.variant, "source": pair.source, "reason": pair.reason} for pair in self.impossible
            ],
            "fleets": [
                {
                    "fleet": job.fleet,
                    "source": job.cells[0].cell.source,
                    "variants": list(self.variants(job)),
                    "cells": [work.cell.id for work in job.cells],
                    "train": sum(work.train for work in job.cells),
                    "epochs": job.epochs,
                    "compiled": job.compiled,
                }
                for job in self.jobs
            ],
            "seconds": self.seconds,
            "metric_fingerprints": self.metric_fingerprints,
            "keep_stale": self.policy.keep_stale,
        }


def plan(
    suite: Suite,
    results: ResultsFolder,
    policy: Policy | None = None,
    device: str = "auto",
    data_root: str | None = None,
    workers: int = 1,
    compiled: Wanted | Collection[str] = "auto",
) -> Plan:
    """Compare what `suite` asks for with the records in `results`; reads only."""
    policy = policy or Policy()
    sources = Sources()
    expansion = expand(suite)
    cells = []
    records: dict[str, Record | None] = {}
    stamps: dict[str, Stamp] = {}
    begun: set[str] = set()
    for planned in expansion.planned:
        cell = planned.cell
        folder = results.cell(cell.id)
        if cell.id not in records:
            stamps[cell.id] = folder.stamp
            records[cell.id] = folder.read_record()
        wanted = tuple(requests(suite, planned))
        fingerprints = sources.model(cell)
        decision = decide(records[cell.id], wanted, fingerprints, sources.metric, folder.model.exists(), policy)
        if decision.why == UNTRAINED and (stopped := standing(cell, fingerprints, results)):
            begun.add(cell.id)
            decision = replace(decision, why=f"stopped after {stopped.epochs:.0f} of {cell.recipe['epochs']} epochs")
        selected = policy.selects(cell.source, planned.variant)
        cells.append(PlannedCell(planned.variant, cell, wanted, fingerprints, decision, selected))
    on_gpu = device.startswith("cuda") or bool(gpus(device))
    jobs = compiled_where_it_pays(_jobs(cells, sources, device, data_root), results, compiled, on_gpu)
    seconds = estimate_seconds(jobs, results, workers)
    metrics = {family: sources.metric(family) for family in suite.families}
    return Plan(
        suite, tuple(cells), tuple(expansion.impossible), jobs, seconds, metrics, policy, stamps, frozenset(begun)
    )


def decide(
    record: Record | None,
    wanted: tuple[MetricRequest, ...],
    fingerprints: dict[str, str],
    metric_fingerprint: Callable[[str], str],
    has_model: bool,
    policy: Policy,
) -> Decision:
    """What is to be done for a cell with this record, under the sources' present fingerprints."""
    if policy.force:
        return Decision("train", "forced", True, wanted)
    if record is None:
        return Decision("train", UNTRAINED, True, wanted)
    if record.failure and record.failure.kind == "damaged":
        return Decision("train", "its record is damaged", True, wanted)
    changed = changed_rooms(record.fingerprints, fingerprints)
    if changed and not policy.keep_stale:
        return Decision("stale", f"changed since it was trained: {', '.join(changed)}", True, wanted)
    if record.failure and policy.retry_failed:
        return Decision("train", f"retried after {record.failure.kind}", True, wanted)
    if record.failure:
        return Decision("failed", f"{record.failure.kind}: {record.failure.message}")
    reasons = _open_requests(record, wanted, metric_fingerprint, policy)
    asked = tuple(request for found in reasons.values() for request in found)
    why = "; ".join(f"{', '.join(request.metric for request in found)} {word}" for word, found in reasons.items())
    if asked and not has_model:
        return Decision("train", f"{why}, and the model's file is gone", True, wanted)
    if changed:
        return Decision("stale", f"kept although changed since it was trained: {', '.join(changed)}", requests=asked)
    if asked:
        return Decision("score", why, requests=asked)
    if problem := metric_problems(record, wanted):
        return Decision("failed", problem)
    return Decision("cached")


def metric_problems(record: Record, requests: Iterable[MetricRequest]) -> str:
    """Which of the requested metrics failed, and why; empty where none did."""
    failed = [answer for request in requests for answer in record.answers(request) if answer.status == "failed"]
    return "; ".join(dict.fromkeys(f"{answer.family}: {answer.note}" for answer in failed))


def _open_requests(
    record: Record, wanted: Iterable[MetricRequest], metric_fingerprint: Callable[[str], str], policy: Policy
) -> dict[str, list[MetricRequest]]:
    """What is wrong with the answers → the requests that are to be asked (again)."""
    found: dict[str, list[MetricRequest]] = {}
    for request in wanted:
        answers = record.answers(request)
        if not answers:
            other = any(value.family == request.metric for value in record.metrics)
            found.setdefault("not scored under this protocol" if other else "never scored", []).append(request)
        elif not policy.keep_stale and any(a.fingerprint != metric_fingerprint(request.metric) for a in answers):
            found.setdefault("changed since", []).append(request)
        elif policy.retry_failed and any(answer.status == "failed" for answer in answers):
            found.setdefault("retried", []).append(request)
    return found


def _jobs(cells: Iterable[PlannedCell], sources: "Sources", device: str, data_root: str | None) -> tuple[Job, ...]:
    """One job a fleet, over the selected cells that have work."""
    work = _work([planned for planned in cells if planned.selected])
    return tuple(
        Job(
            fleet=fleet.key,
            cells=tuple(work[cell.id] for cell in fleet.cells),
            metric_fingerprints={
                name: sources.metric(name)
                for name in sorted({request.metric for cell in fleet.cells for request in work[cell.id].requests})
            },
            device=device,
            data_root=data_root,
            plugins=plugins_of_cells(work[cell.id] for cell in fleet.cells),
        )
        for fleet in group([item.cell for item in work.values()])
    )


def _work(cells: list[PlannedCell]) -> dict[str, CellWork]:
    """Cell → what is to be done; a cell that two variants share is made once and answers both."""
    trained = {planned.cell.id for planned in cells if planned.decision.train}
    asked: dict[str, dict[str, MetricRequest]] = {}
    for planned in cells:
        cell = planned.cell.id
        requests = planned.wanted if cell in trained else planned.decision.requests
        asked.setdefault(cell, {}).update({request.key: request for request in requests})
    return {
        planned.cell.id: CellWork(
            cell=planned.cell,
            train=planned.cell.id in trained,
            requests=tuple(asked[planned.cell.id].values()),
            fingerprints=planned.fingerprints,
        )
        for planned in cells
        if planned.cell.id in trained or asked[planned.cell.id]
    }


def changed_rooms(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """The rooms whose sources are no longer those of a record."""
    return [room for room in sorted({*before, *now}) if before.get(room) != now.get(room)]


def model_modules(cell: Cell) -> frozenset[str]:
    """The modules that a model is made with, as the catalog names them; what they import follows from their source."""
    catalog = load_catalog()
    parts = (catalog.parts[kind][cell.composition[kind]["name"]] for kind in KINDS)
    implementations = [part.implementation for part in parts] + [catalog.datasets[cell.dataset].implementation]
    library = library_of(cell.composition, catalog)
    trainer = TRAINER if library is None else _module(library.trains)
    return frozenset([trainer, *(_module(text) for text in implementations if text)])


def model_fingerprints(cell: Cell) -> dict[str, str]:
    """Room → hash of the sources that make a cell's model now."""
    return fingerprint(model_modules(cell), MODEL_ROOMS)


def metric_fingerprint(name: str) -> str:
    """Hash of the sources that score a metric now; `name` is a family or a part."""
    implementation = load_catalog().metric_of(name).implementation
    return digest(fingerprint([_module(implementation)], ("metrics", "data")))


def _module(implementation: str) -> str:
    return implementation.partition(":")[0]


class Sources:
    """The present fingerprints, each worked out once: cells of one plan share most of their modules."""

    def __init__(self) -> None:
        self._models: dict[frozenset[str], dict[str, str]] = {}
        self._metrics: dict[str, str] = {}

    def model(self, cell: Cell) -> dict[str, str]:
        modules = model_modules(cell)
        if modules not in self._models:
            self._models[modules] = model_fingerprints(cell)
        return self._models[modules]

    def metric(self, name: str) -> str:
        if name not in self._metrics:
            self._metrics[name] = metric_fingerprint(name)
        return self._metrics[name]

"""runs.csv: one row per planned cell and metric, with the number or the reason why there is none."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from vaebench.catalog.catalog import load_catalog
from vaebench.engines.planning import Sources, changed_rooms
from vaebench.reporting import dictionary
from vaebench.reporting.tables import each_row
from vaebench.reporting.text import note
from vaebench.store.folders import ResultsFolder
from vaebench.store.record import AT_CAP, Failure, MetricRequest, MetricValue, Record
from vaebench.suite.expansion import Planned, expand, not_applicable, requests
from vaebench.suite.suite import Suite, Variant

COLUMNS = (
    "suite",
    "dataset",
    "view",
    "variant",
    "seed",
    "cell",
    "status",
    "metric",
    "value",
    "stderr",
    "protocol",
    "note",
)
DONE, STALE, FAILED, MISSING, NOT_APPLICABLE = "done", "stale", "failed", "missing", "n/a"
THEN = "; "
"""Between why a value is stale and what its evaluator has noted of it."""

RowKey = tuple[str, str, str]
"""Data set, view, variant: one row of a leaderboard."""
MetricKey = tuple[str, str, str, str]
"""Data set, view, variant, metric: one number of it."""

FAR = 1e4
SEEDS_TO_EXPLODE = 3
"""With fewer it cannot be said which of them is the odd one."""


@dataclass(frozen=True)
class Answer:
    """What there is to say about one metric of one cell."""

    status: str
    note: str = ""
    value: float = math.nan
    stderr: float = math.nan


def runs_table(suite: Suite, results: ResultsFolder) -> pd.DataFrame:
    """Every planned cell × wanted metric, in the order of the suite; no number is an empty cell."""
    sources = Sources()
    columns = wanted_columns(suite)
    variants = {variant.name: variant for variant in suite.variants}
    records: dict[str, Record | None] = {}
    found = []
    for planned in expand(suite).planned:
        cell = planned.cell
        if cell.id not in records:
            records[cell.id] = results.cell(cell.id).read_record()
        asked = {request.metric: request for request in requests(suite, planned)}
        state = _State.of(planned, records[cell.id], variants[planned.variant], sources)
        for column in columns:
            request = asked.get(_family(column))
            answer = state.answer(column, request)
            found.append(
                {
                    "suite": suite.name,
                    "dataset": cell.dataset,
                    "view": cell.view,
                    "variant": planned.variant,
                    "seed": cell.seed,
                    "cell": cell.id,
                    "status": answer.status,
                    "metric": column,
                    "value": answer.value,
                    "stderr": answer.stderr,
                    "protocol": protocol_text(request) if request else "",
                    "note": note(answer.note),
                }
            )
    return pd.DataFrame(found, columns=list(COLUMNS)).astype({"value": "float64", "stderr": "float64"})


def read_runs(path: Path) -> pd.DataFrame:
    """A table that `runs_table` made and `write_table` wrote."""
    return dictionary.read(path, "runs")


def wanted_columns(suite: Suite) -> tuple[str, ...]:
    """The columns that a suite asks for: a family stands for its head and all its parts, a part for itself."""
    catalog = load_catalog()
    expanded = (catalog.metrics[name].columns if name in catalog.metrics else (name,) for name in suite.metrics)
    return tuple(dict.fromkeys(column for columns in expanded for column in columns))


def protocol_text(request: MetricRequest) -> str:
    """`samples=100 images=1000 split=test seed=0`: the metric's parameters in the catalog's order, then the rest."""
    order = dict.fromkeys([*load_catalog().metrics[request.metric].parameters, "split", "seed"])
    known = [name for name in order if name in request.protocol]
    return " ".join(
        f"{name}={_word(request.protocol[name])}" for name in [*known, *sorted({*request.protocol} - {*known})]
    )


def values_by_seed(
    runs: pd.DataFrame, statuses: Iterable[str] = (DONE,), capped: bool = True
) -> dict[RowKey, dict[str, dict[int, float]]]:
    """Row → metric → seed → value, of the runs with one of `statuses`; every planned row is there, if only empty.

    Values at the cap of their evaluator are left out unless `capped`: they are shown and compared with nothing.
    """
    kept = set(statuses)
    found: dict[RowKey, dict[str, dict[int, float]]] = {}
    for run in each_row(runs):
        row = found.setdefault((run.dataset, run.view, run.variant), {})
        if run.status in kept and not math.isnan(run.value) and (capped or not at_cap(run)):
            row.setdefault(run.metric, {})[run.seed] = run.value
    return found


def compared_values(runs: pd.DataFrame) -> dict[RowKey, dict[str, dict[int, float]]]:
    """Those of `values_by_seed` that are held against others: none at the cap of its evaluator, and of no model that
    exploded."""
    values = values_by_seed(runs, capped=False)
    return {row: {metric: _sound(of_seeds) for metric, of_seeds in metrics.items()} for row, metrics in values.items()}


def _sound(of_seeds: dict[int, float]) -> dict[int, float]:
    odd = exploded(of_seeds)
    return {seed: value for seed, value in of_seeds.items() if seed not in odd}


def exploded(of_seeds: Mapping[int, float]) -> set[int]:
    """The seeds that lie FAR times as far from the median of all as half of them do, as it lies from 0, and as 1.

    Such a number is finite by chance. It says that training failed, as one that is not finite does, and no mean over
    seeds, interval or test means anything beside it.
    """
    if len(of_seeds) < SEEDS_TO_EXPLODE:
        return set()
    middle = statistics.median(of_seeds.values())
    distances = {seed: abs(value - middle) for seed, value in of_seeds.items()}
    scale = max(statistics.median(distances.values()), abs(middle), 1.0)
    return {seed for seed, distance in distances.items() if distance > FAR * scale}


def unfinished(runs: pd.DataFrame) -> dict[str, Any]:
    """Cell → the first of its rows that has no number and should, or not the present one."""
    cells: dict[str, Any] = {}
    for run in each_row(runs):
        if run.status not in (DONE, NOT_APPLICABLE):
            cells.setdefault(run.cell, run)
    return cells


def counts_text(cells: Mapping[str, Any]) -> str:
    """`3 cells are not complete (1 failed, 2 missing)`, of the rows of each."""
    statuses = Counter(run.status for run in cells.values())
    counts = ", ".join(f"{count} {status}" for status, count in statuses.items())
    which = "1 cell is" if len(cells) == 1 else f"{len(cells)} cells are"
    return f"{which} not complete ({counts})"


def stale_reason(note: str) -> str:
    """Why a stale value is stale, without what its evaluator has noted."""
    return note.partition(THEN)[0]


def at_cap(run: Any) -> bool:
    """Whether a run's value shows the limit of its evaluator."""
    return run.status in (DONE, STALE) and AT_CAP in run.note


@dataclass(frozen=True)
class _State:
    """One planned cell, its record, and what changed since the record was made."""

    planned: Planned
    record: Record | None
    variant: Variant
    changed: tuple[str, ...]
    sources: Sources

    @classmethod
    def of(cls, planned: Planned, record: Record | None, variant: Variant, sources: Sources) -> "_State":
        changed = changed_rooms(record.fingerprints, sources.model(planned.cell)) if record else []
        return cls(planned, record, variant, tuple(changed), sources)

    def answer(self, column: str, request: MetricRequest | None) -> Answer:
        if request is None:
            return Answer(NOT_APPLICABLE, not_applicable(column, self.variant, self.planned.cell.source) or "")
        if self.record is None:
            return Answer(MISSING, "not trained yet")
        if self.record.status == "failed":
            return Answer(FAILED, _failure_text(self.record.failure))
        given = _given(self.record, column, request)
        if given is None:
            return Answer(MISSING, _missing_text(self.record, request))
        if given.status != "done" or given.value is None:
            return Answer(given.status if given.status != "done" else FAILED, given.note or "gave no number")
        stderr = math.nan if given.stderr is None else given.stderr
        stale = self._stale_text(given)
        if stale:
            return Answer(STALE, THEN.join(filter(None, (stale, given.note))), given.value, stderr)
        return Answer(DONE, given.note, given.value, stderr)

    def _stale_text(self, given: MetricValue) -> str:
        if self.changed:
            return f"changed since it was trained: {', '.join(self.changed)}"
        return "" if given.fingerprint == self.sources.metric(given.family) else "changed since it was scored: metrics"


def _given(record: Record, column: str, request: MetricRequest) -> MetricValue | None:
    """The record's answer for `column`; an evaluator that failed as a whole answers for all its columns."""
    answers = record.answers(request)
    exact = next((answer for answer in answers if answer.metric == column), None)
    whole = next((answer for answer in answers if answer.metric == request.metric and answer.status != "done"), None)
    return exact or whole


def _failure_text(failure: Failure | None) -> str:
    if failure is None:
        return "failed"
    if failure.message.startswith(failure.kind):
        return failure.message
    step = "" if failure.step is None else f" at step {failure.step}"
    return f"{failure.kind}{step}: {failure.message}"


def _missing_text(record: Record, request: MetricRequest) -> str:
    other = any(value.family == request.metric for value in record.metrics)
    return "not scored under this protocol yet" if other else "not scored yet"


def _family(column: str) -> str:
    return column.partition(".")[0]


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "-".join(_word(entry) for entry in value)
    return "none" if value is None else str(value)

"""The numbers of a suite that was run again, beside those that it had: the same, within Monte Carlo error, or not."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from vaebench.catalog.catalog import load_catalog
from vaebench.reporting.runs import DONE, RowKey, values_by_seed
from vaebench.reporting.tables import each_row
from vaebench.reporting.text import counted, number

STANDARD_ERRORS = 3.0
"""Of the difference of two estimates, within which they are not told apart."""
IDENTICAL, WITHIN_ERROR, DIFFERENT, GONE = "identical", "within Monte Carlo error", "different", "no number now"
SHOWN = 40
"""Numbers that are listed one by one."""


@dataclass(frozen=True)
class Repeated:
    """One number, then and now."""

    source: str
    variant: str
    seed: int
    metric: str
    before: float
    now: float | None
    outcome: str
    errors: float | None = None
    """The difference in standard errors of the difference; None where the metric has no Monte Carlo error."""
    deviations: float | None = None
    """The difference in standard deviations of the metric over the seeds as they were; None where it had no spread."""
    note: str = ""
    """Why there is no number now."""

    @property
    def line(self) -> str:
        where = f"{self.source} {self.variant}, seed {self.seed}, {self.metric}"
        if self.now is None:
            return f"{where}: {number(self.before, 6)} then, no number now: {self.note}"
        told = [f"{self.errors:.1f} standard errors"] if self.errors is not None else []
        told += [f"{self.deviations:.2g} seed deviations"] if self.deviations is not None else []
        apart = f" ({', '.join(told)})" if told else ""
        return f"{where}: {number(self.before, 6)} then, {number(self.now, 6)} now{apart}: {self.outcome}"


@dataclass(frozen=True)
class Rerun:
    """Every number that the lock's run had, costs aside, and in what the two runs differ beside their time."""

    numbers: tuple[Repeated, ...]
    differs: dict[str, tuple[str, str]] = field(default_factory=dict)
    """What is not as it was → then and now."""
    unknown: int = 0
    """Numbers that the table of then does not have."""
    reused: int = 0
    """Models that were in the folder already, and were not made again now."""

    @property
    def counts(self) -> dict[str, int]:
        """Outcome → in how many numbers."""
        found = Counter(repeated.outcome for repeated in self.numbers)
        return {outcome: found[outcome] for outcome in (IDENTICAL, WITHIN_ERROR, DIFFERENT, GONE)}

    @property
    def is_complete(self) -> bool:
        return not self.counts[GONE] and not self.unknown

    @property
    def is_the_same(self) -> bool:
        """Whether no number is told apart from what it was."""
        return not self.counts[DIFFERENT]

    @property
    def lines(self) -> list[str]:
        lines = [f"{what}: {before} then, {now} now" for what, (before, now) in self.differs.items()]
        apart = [repeated for repeated in self.numbers if repeated.outcome in (DIFFERENT, GONE)]
        apart.sort(key=lambda repeated: -(repeated.deviations or math.inf))
        lines += [repeated.line for repeated in apart[:SHOWN]]
        if len(apart) > SHOWN:
            lines.append(f"… and {len(apart) - SHOWN:,} more; --json has all")
        counts = ", ".join(f"{count:,} {outcome}" for outcome, count in self.counts.items())
        lines.append(f"{counted(len(self.numbers), 'number')}: {counts}")
        if self.unknown:
            lines.append(f"{counted(self.unknown, 'number')} more, which the runs.csv of then does not have")
        if self.reused:
            lines.append(f"models that were there already, and were not made again now: {self.reused}")
        drift = [repeated.deviations for repeated in self.numbers if repeated.deviations is not None]
        if drift and max(drift) > 0:
            lines.append(f"largest difference: {max(drift):.2g} standard deviations over seeds")
        return lines

    def to_json(self) -> dict[str, Any]:
        return {
            "counts": self.counts,
            "differs": {what: list(values) for what, values in self.differs.items()},
            "unknown": self.unknown,
            "reused": self.reused,
            "numbers": [asdict(repeated) for repeated in self.numbers],
        }


def repeated(before: pd.DataFrame, now: pd.DataFrame) -> tuple[Repeated, ...]:
    """Every number of `before` (runs.csv) and what has become of it in `now`, in the order of `before`."""
    again = {_key(run): run for run in each_row(now)}
    spread = _spreads(before)
    return tuple(
        _repeated(run, again.get(_key(run)), spread.get((_row(run), run.metric)))
        for run in each_row(before)
        if run.status == DONE and not math.isnan(run.value) and not _is_cost(run.metric)
    )


def unknown(before: pd.DataFrame, now: pd.DataFrame) -> int:
    """How many numbers there are now of which `before` has no row."""
    known = {_key(run) for run in each_row(before)}
    return sum(run.status == DONE and not _is_cost(run.metric) and _key(run) not in known for run in each_row(now))


def _repeated(before: Any, now: Any, spread: float | None) -> Repeated:
    place = (f"{before.dataset}/{before.view}", before.variant, int(before.seed), before.metric, float(before.value))
    if now is None or now.status != DONE or math.isnan(now.value):
        note = "it was not planned" if now is None else now.note or now.status
        return Repeated(*place, now=None, outcome=GONE, note=note)
    if now.protocol != before.protocol:
        return Repeated(*place, now=None, outcome=GONE, note=f"it is asked otherwise ({now.protocol})")
    value, difference = float(now.value), abs(float(now.value) - float(before.value))
    error = math.hypot(before.stderr, now.stderr)
    errors = difference / error if error > 0 else None
    outcome = DIFFERENT
    if difference == 0:
        outcome = IDENTICAL
    elif errors is not None and errors <= STANDARD_ERRORS:
        outcome = WITHIN_ERROR
    return Repeated(*place, value, outcome, errors, difference / spread if spread else None)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """In what two runs differ by what their lock files say: versions, machine, device, sources, data."""
    then, today = dict(_told(before)), dict(_told(now))
    return {
        what: (then.get(what, "unknown"), today.get(what, "unknown"))
        for what in (*then, *(name for name in today if name not in then))
        if then.get(what) != today.get(what)
    }


def _told(lock: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for group in ("versions", "machine"):
        for name, value in (lock.get(group) or {}).items():
            yield name, str(value)
    for name in ("python", "device", "compiled"):
        if lock.get(name) is not None:
            yield name, str(lock[name])
    if lock.get("compiled_cells") is not None:
        yield "compiled models", str(len(lock["compiled_cells"]))
    if git := lock.get("git"):
        yield "commit", f"{str(git.get('commit'))[:12]}{' with changes' if git.get('dirty') else ''}"
    for name, checksum in (lock.get("data") or {}).items():
        yield f"content of {name}", str(checksum)[:12]


def _spreads(runs: pd.DataFrame) -> dict[tuple[RowKey, str], float]:
    """Row and metric → standard deviation over seeds, where there are two at least that differ."""
    found = {}
    for row, metrics in values_by_seed(runs).items():
        for metric, by_seed in metrics.items():
            values = list(by_seed.values())
            mean = math.fsum(values) / len(values)
            if len(values) > 1 and (squares := math.fsum((value - mean) ** 2 for value in values)) > 0:
                found[row, metric] = math.sqrt(squares / (len(values) - 1))
    return found


def _row(run: Any) -> RowKey:
    return run.dataset, run.view, run.variant


def _key(run: Any) -> tuple[Any, ...]:
    return run.dataset, run.view, run.variant, int(run.seed), run.metric


def _is_cost(metric: str) -> bool:
    catalog = load_catalog()
    return metric in catalog.columns and catalog.metric_of(metric).cost

"""Two leaderboards against each other: the same suite at two times, or two suites that share variants.

Rows are matched by data set, view, measure, what the models are given, and variant. A metric's difference is paired by
seed where runs.csv has the seeds of both, else it is that of two means, and says so. Numbers that were taken under
different protocols are different quantities and are not subtracted.
"""

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from scipy import special

from vaebench.catalog.catalog import load_catalog
from vaebench.engines.lockfile import read_lock
from vaebench.reporting import statistics
from vaebench.reporting.contrasts import differing_parts
from vaebench.reporting.leaderboard import Leaderboard
from vaebench.reporting.runs import RowKey, read_runs, values_by_seed
from vaebench.reporting.tables import each_row
from vaebench.reporting.text import absent
from vaebench.store.files import StoreError
from vaebench.store.folders import SuiteFolder
from vaebench.suite.comparability import SEEDS_FOR_VERDICT
from vaebench.suite.selection import Patterns, is_selected
from vaebench.suite.suite import Suite

VERDICTS = {
    statistics.PRACTICE_BETTER: "B better",
    statistics.THEORY_BETTER: "A better",
    statistics.PRACTICE_HIGHER: "B higher",
    statistics.PRACTICE_LOWER: "B lower",
    statistics.NOT_DISTINGUISHABLE: statistics.NOT_DISTINGUISHABLE,
    statistics.NOT_COMPARABLE: statistics.NOT_COMPARABLE,
}
"""Words of a contrast → words of a comparison: A stands where the theory stands, B where the practice stands."""


class Key(NamedTuple):
    """What makes two rows the same."""

    dataset: str
    view: str
    measure: str
    given: str
    variant: str

    @property
    def source(self) -> str:
        return f"{self.dataset}/{self.view}"

    @property
    def runs(self) -> RowKey:
        """Where runs.csv keeps the row's numbers."""
        return self.dataset, self.view, self.variant

    @property
    def title(self) -> str:
        """`digits/grey/vae-mse (density)`"""
        return f"{self.source}/{self.variant} ({', '.join(filter(None, (self.measure, self.given)))})"


@dataclass(frozen=True)
class Side:
    """One of the two: a leaderboard, and what lies beside it."""

    name: str
    board: Leaderboard
    runs: pd.DataFrame | None = None
    """None where only the leaderboard is known."""
    suite: Suite | None = None

    @cached_property
    def rows(self) -> dict[Key, dict[str, Any]]:
        found: dict[Key, dict[str, Any]] = {}
        for row in self.board.table.to_dict("records"):
            key = Key(**{name: row[name] for name in Key._fields})
            if key in found:
                raise StoreError(f"{self.name}: has two rows for {key.title}")
            found[key] = {str(name): value for name, value in row.items()}
        return found

    @cached_property
    def values(self) -> dict[RowKey, dict[str, dict[int, float]]]:
        return {} if self.runs is None else values_by_seed(self.runs)

    @cached_property
    def protocols(self) -> dict[tuple[RowKey, str], set[str]]:
        """Row and metric → the protocols under which it was asked; empty where no runs are known."""
        found: dict[tuple[RowKey, str], set[str]] = {}
        for run in each_row(self.runs) if self.runs is not None else ():
            found.setdefault(((run.dataset, run.view, run.variant), run.metric), set()).add(run.protocol)
        return found

    @cached_property
    def cells(self) -> dict[RowKey, dict[int, str]]:
        """Row → seed → the model."""
        found: dict[RowKey, dict[int, str]] = {}
        for run in each_row(self.runs) if self.runs is not None else ():
            found.setdefault((run.dataset, run.view, run.variant), {})[run.seed] = run.cell
        return found


@dataclass(frozen=True)
class Difference:
    """One metric of one row: B − A."""

    key: Key
    metric: str
    first: float | None
    """Mean of A, over the seeds that are paired where they are."""
    second: float | None
    difference: float | None = None
    low: float | None = None
    """Lower end of the 95 % interval of the difference; None below three seeds."""
    high: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    """After Holm's correction over the rows that are compared in this metric; the verdict rests on it."""
    seeds: int = 0
    """Pairs of seeds; without pairs, the seeds of the side that has fewer."""
    paired: bool = False
    verdict: str = statistics.NOT_COMPARABLE
    note: str = ""
    """Why there is no verdict, or what must be known to read it."""

    @property
    def is_judged(self) -> bool:
        return self.seeds >= SEEDS_FOR_VERDICT and not _is_cost(self.metric)


@dataclass(frozen=True)
class Compared:
    """Everything that two leaderboards say about each other."""

    first: str
    second: str
    differences: list[Difference]
    differs_in: dict[Key, tuple[str, ...] | None]
    """Matched row → what its models differ in: nothing where they are the same, None where that is not known."""
    only_first: list[Key]
    only_second: list[Key]

    @property
    def counts(self) -> dict[str, int]:
        """Verdict → how often it was reached."""
        return dict(Counter(difference.verdict for difference in self.differences))

    def to_json(self) -> dict[str, Any]:
        rows = [
            {**key._asdict(), "differs_in": None if parts is None else list(parts), "metrics": self._metrics(key)}
            for key, parts in self.differs_in.items()
        ]
        alone = {"only_first": self.only_first, "only_second": self.only_second}
        keys = {name: [key._asdict() for key in found] for name, found in alone.items()}
        return {"first": self.first, "second": self.second, "rows": rows, **keys, "counts": self.counts}

    def _metrics(self, key: Key) -> list[dict[str, Any]]:
        mine = (difference for difference in self.differences if difference.key == key)
        return [{name: value for name, value in asdict(found).items() if name != "key"} for found in mine]


def read_side(path: Path) -> Side:
    """A suite's folder, or a file like its leaderboard.csv.

    The runs are read from a folder, or from beside a file that is called leaderboard.csv; any other file stands alone.
    """
    folder = SuiteFolder(path if path.is_dir() else path.parent)
    file = folder.leaderboard if path.is_dir() else path
    if not file.is_file():
        raise StoreError(f"{path}: no folder of a suite and no leaderboard ({file.name} is missing)")
    beside = file.name == folder.leaderboard.name
    return Side(
        str(path),
        Leaderboard.read(file),
        read_runs(folder.runs) if beside and folder.runs.exists() else None,
        read_lock(folder.lock).suite if beside and folder.lock.exists() else None,
    )


def compare(first: Side, second: Side, only: Patterns = None, metrics: Collection[str] | None = None) -> Compared:
    """Every metric that both sides have of every row that both have; `only` is patterns of dataset/view/variant."""
    wanted = [metric for metric in first.board.metrics if metric in second.board.metrics]
    wanted = [metric for metric in wanted if metrics is None or metric in metrics]
    left, right = ([key for key in side.rows if is_selected(key.source, key.variant, only)] for side in (first, second))
    shared = [key for key in left if key in second.rows]
    differences = [
        found for key in shared for metric in wanted if (found := _difference(first, second, key, metric)) is not None
    ]
    return Compared(
        first.name,
        second.name,
        _judged(first, second, differences),
        {key: _differs_in(first, second, key) for key in shared},
        [key for key in left if key not in second.rows],
        [key for key in right if key not in first.rows],
    )


def compare_means(first: statistics.Estimate, second: statistics.Estimate) -> statistics.Comparison:
    """Second minus first where no seeds are paired: Welch's t test, from means and their Student-t intervals.

    A half-width h of n values means a standard error s = h / t_{n−1}(0.975). t = d / √(s₁² + s₂²) with
    (s₁² + s₂²)² / (s₁⁴/(n₁ − 1) + s₂⁴/(n₂ − 1)) degrees of freedom. Both sides need an interval.
    """
    difference, fewest = second.mean - first.mean, min(first.seeds, second.seeds)
    variances = [_standard_error(side) ** 2 for side in (first, second)]
    total = math.fsum(variances)
    if total == 0:
        p_value = 1.0 if difference == 0 else 0.0
        return statistics.Comparison(difference, difference, difference, p_value, 0.0, fewest)
    parts = zip(variances, (first.seeds, second.seeds), strict=True)
    freedom = total**2 / math.fsum(variance**2 / (seeds - 1) for variance, seeds in parts)
    error = math.sqrt(total)
    half = float(special.stdtrit(freedom, 1 - statistics.LEVEL / 2)) * error
    p_value = float(2 * special.stdtr(freedom, -abs(difference) / error))
    return statistics.Comparison(difference, difference - half, difference + half, p_value, None, fewest)


def _standard_error(side: statistics.Estimate) -> float:
    assert side.low is not None
    assert side.high is not None
    return (side.high - side.low) / 2 / float(special.stdtrit(side.seeds - 1, 1 - statistics.LEVEL / 2))


def _difference(first: Side, second: Side, key: Key, metric: str) -> Difference | None:
    """Without a verdict yet; None where neither side has a number."""
    before, after = first.rows[key], second.rows[key]
    left, right = (None if absent(row[metric]) else float(row[metric]) for row in (before, after))
    if left is None and right is None:
        return None
    empty = Difference(key, metric, left, right)
    missing = "A has no number" if left is None else "B has no number" if right is None else ""
    refusal = missing or _other_protocol(first, second, key, metric)
    if refusal:
        return replace(empty, note=refusal)
    pairs = _pairs(first, second, key, metric)
    return _from_pairs(empty, pairs) if pairs else _from_means(first, second, empty, before, after)


def _from_pairs(empty: Difference, pairs: list[tuple[float, float]]) -> Difference:
    """The means are those of the paired seeds."""
    before, after = zip(*pairs, strict=True)
    means = statistics.estimate(before).mean, statistics.estimate(after).mean
    paired = replace(empty, first=means[0], second=means[1], paired=True)
    return _with_numbers(paired, statistics.compare(before, after))


def _from_means(
    first: Side, second: Side, empty: Difference, before: dict[str, Any], after: dict[str, Any]
) -> Difference:
    why = _why_not_paired(first, second)
    for name, row in (("A", before), ("B", after)):
        if row["failed"]:
            return replace(
                empty, note=f"{name} is incomplete in {row['failed']} of {row['seeds'] + row['failed']} cells"
            )
    sides = [_estimate(row, empty.metric) for row in (before, after)]
    if any(side.low is None or side.high is None for side in sides):
        difference = sides[1].mean - sides[0].mean
        return replace(empty, difference=difference, seeds=min(side.seeds for side in sides), note=why)
    return replace(_with_numbers(empty, compare_means(*sides)), note=why)


def _estimate(row: dict[str, Any], metric: str) -> statistics.Estimate:
    low, high = (None if absent(row[f"{metric}{end}"]) else float(row[f"{metric}{end}"]) for end in ("_low", "_high"))
    return statistics.Estimate(float(row[metric]), low, high, int(row["seeds"]))


def _with_numbers(empty: Difference, compared: statistics.Comparison) -> Difference:
    return replace(
        empty,
        difference=compared.difference,
        low=compared.low,
        high=compared.high,
        p_value=compared.p_value,
        seeds=compared.seeds,
    )


def _pairs(first: Side, second: Side, key: Key, metric: str) -> list[tuple[float, float]]:
    """(A, B) at every seed that both have."""
    before, after = (side.values.get(key.runs, {}).get(metric, {}) for side in (first, second))
    return [(before[seed], after[seed]) for seed in sorted({*before} & {*after})]


def _why_not_paired(first: Side, second: Side) -> str:
    unknown = [name for name, side in (("A", first), ("B", second)) if side.runs is None]
    if unknown:
        return f"means only, protocol unknown: no runs.csv of {' and '.join(unknown)}"
    return "means only: no seed has a number on both sides"


def _other_protocol(first: Side, second: Side, key: Key, metric: str) -> str:
    """In what the protocols differ; empty where they agree or are not known."""
    sides = [side.protocols.get((key.runs, metric), set()) for side in (first, second)]
    if not all(sides) or sides[0] == sides[1]:
        return ""
    words = [sorted(word for protocol in side for word in protocol.split()) for side in sides]
    only = [" ".join(word for word in these if word not in those) for these, those in (words, words[::-1])]
    return f"other protocol: {only[0] or 'without'} in A, {only[1] or 'without'} in B"


def _judged(first: Side, second: Side, differences: list[Difference]) -> list[Difference]:
    """With Holm's correction over the rows of each metric, and verdicts."""
    by_metric: dict[str, list[int]] = {}
    for place, found in enumerate(differences):
        if found.p_value is not None and found.is_judged:
            by_metric.setdefault(found.metric, []).append(place)
    judged = {}
    for places in by_metric.values():
        p_values = [p_value for place in places if (p_value := differences[place].p_value) is not None]
        corrected = zip(places, statistics.holm(p_values), statistics.holm_levels(p_values), strict=True)
        for place, p_holm, level in corrected:
            found = replace(differences[place], p_holm=p_holm)
            judged[place] = replace(found, verdict=VERDICTS[_verdict(first, second, found, level)], note=_note(found))
    return [judged.get(place) or _not_judged(found) for place, found in enumerate(differences)]


def _not_judged(found: Difference) -> Difference:
    if found.difference is None:
        return found
    if _is_cost(found.metric):
        return replace(found, note="a cost, not judged")
    few = f"{found.seeds} seeds, {SEEDS_FOR_VERDICT} are needed"
    return replace(found, note="; ".join(filter(None, (found.note, few))))


def _note(found: Difference) -> str:
    return "the same numbers" if found.paired and found.low == found.high == 0 else found.note


def _verdict(first: Side, second: Side, found: Difference, level: float) -> str:
    better = _better(found.metric)
    if found.paired:
        before, after = zip(*_pairs(first, second, found.key, found.metric), strict=True)
        return statistics.verdict(before, after, better, level)
    assert found.p_value is not None
    assert found.difference is not None
    if found.p_value >= level:
        return statistics.NOT_DISTINGUISHABLE
    if better not in ("higher", "lower"):
        return statistics.PRACTICE_HIGHER if found.difference > 0 else statistics.PRACTICE_LOWER
    improved = (found.difference > 0) == (better == "higher")
    return statistics.PRACTICE_BETTER if improved else statistics.THEORY_BETTER


def _better(metric: str) -> str:
    """The direction of a metric; of one that the catalog does not know, none."""
    catalog = load_catalog()
    return catalog.column(metric).better if metric in catalog.columns else "none"


def _is_cost(metric: str) -> bool:
    """Costs depend on the machine and its load as well, so nobody wins by them."""
    catalog = load_catalog()
    return metric in catalog.columns and catalog.metric_of(metric).cost


def _differs_in(first: Side, second: Side, key: Key) -> tuple[str, ...] | None:
    """The choices in which the two rows' models differ; none where they are the same models, None if not known."""
    before, after = (side.cells.get(key.runs, {}) for side in (first, second))
    seeds = {*before} & {*after}
    if seeds and all(before[seed] == after[seed] for seed in seeds):
        return ()
    if not _knows(first, key.variant) or not _knows(second, key.variant):
        return None
    assert first.suite
    assert second.suite
    parts = differing_parts(first.suite.variant(key.variant), second.suite.variant(key.variant), key.source)
    recipe = ("recipe",) if first.suite.recipe != second.suite.recipe else ()
    return (*parts, *recipe) or None


def _knows(side: Side, variant: str) -> bool:
    """Whether the suite behind a side is known and has this variant."""
    return side.suite is not None and variant in {known.name for known in side.suite.variants}

"""Regression gates: is anything worse than it was in a baseline, by more than the seeds explain?

A number has moved where two things hold. Its difference is real: p < 0.05 after Holm over every number that is not the
same to the last digit. And it matters: it is larger than the user's minimum effect, and than what float32 rounds away.
So the tolerance is the larger of the minimum effect and the seed noise, the latter being the largest difference that
Holm still calls chance. Where the runs of the baseline are known the test is paired by seed, else it is Welch's.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from vaebench.catalog.catalog import MetricPart, load_catalog
from vaebench.reporting import statistics
from vaebench.reporting.compare import Key, Side, compare_means
from vaebench.reporting.published import judged as judged_expectations
from vaebench.reporting.runs import DONE, NOT_APPLICABLE, STALE, RowKey, exploded, stale_reason
from vaebench.reporting.tables import each_row
from vaebench.reporting.text import absent, counted, half_width, number, to_the_place_of
from vaebench.store.files import StoreError
from vaebench.suite.mistakes import enumerated
from vaebench.suite.suite import split_side

ROUNDING = 1e-6
"""Share of a number that float32 may round away: a smaller difference does not matter, however sure it is."""
SAME_MEAN = 1e-9
"""Two means are one where they differ by less than this share, which is what summing in another order leaves."""
SPEECHLESS = ("share", "ratio")
"""Units that a sentence leaves out."""

WORSE, BETTER, CHANGED = "worse", "better", "changed"
WITHIN, EQUAL, UNTESTED = "within tolerance", "equal", "not tested"

REGRESSION, EXPLOSION, PROTOCOL = "regression", "exploded", "changed protocol"
STALE_CELLS, NOTHING = "stale cells", "nothing tested"
EXPECTATION = "not as expected"
VANISHED_ROW, VANISHED_COLUMN, VANISHED_SEEDS = "vanished row", "vanished column", "vanished seeds"
IMPROVEMENT, CHANGE, NEW, NOTE = "too good?", "changed", "new", "note"
DOUBT = "when a number looks too good, it is a bug until shown otherwise"


@dataclass(frozen=True)
class MinimumEffects:
    """Differences up to here do not matter, in each metric's own unit."""

    everywhere: float = 0.0
    by_metric: Mapping[str, float] = field(default_factory=dict)
    """Of a column, or of a family for all its parts."""

    def of(self, metric: str) -> float:
        return self.by_metric.get(metric, self.by_metric.get(_family(metric), self.everywhere))


@dataclass(frozen=True)
class Tested:
    """One metric of one row: now minus baseline."""

    key: Key
    metric: str
    compared: statistics.Comparison
    """Of the values, or of their distances from 1 where the metric is best there."""
    paired: bool
    least: float = 0.0
    """The difference that has to be exceeded, whatever the seeds say."""
    p_holm: float | None = None
    verdict: str = UNTESTED

    def to_json(self) -> dict[str, Any]:
        own = {"least": self.least, "p_holm": self.p_holm, "paired": self.paired, "verdict": self.verdict}
        return {**self.key._asdict(), "metric": self.metric, **asdict(self.compared), **own}


@dataclass(frozen=True)
class Finding:
    """One thing that a gate has to say, in a line."""

    kind: str
    text: str


@dataclass(frozen=True)
class Gate:
    """A suite's present numbers beside a baseline."""

    suite: str
    baseline: str
    paired: bool
    """Whether the runs of the baseline are known."""
    tests: list[Tested]
    problems: list[Finding]
    """Any of them, and the gate is shut."""
    reports: list[Finding]
    """What should be known and fails nothing: improvements, changes without a direction, what is new."""

    @property
    def passed(self) -> bool:
        return not self.problems

    @property
    def summary(self) -> str:
        """`mine: 2 problems; 12 numbers tested against baseline.csv, paired by seed; 28 the same to the last digit`"""
        counts = {verdict: sum(test.verdict == verdict for test in self.tests) for verdict in (EQUAL, UNTESTED)}
        tested = len(self.tests) - sum(counts.values())
        how = "paired by seed" if self.paired else "by Welch's test of the means, since no runs.csv stands beside it"
        parts = [counted(len(self.problems), "problem") if self.problems else "no problem"]
        parts += [f"{counted(tested, 'number')} tested against {self.baseline}, {how}"]
        parts += [f"{counts[EQUAL]} the same to the last digit"] if counts[EQUAL] else []
        parts += [f"{counts[UNTESTED]} not tested, for want of seeds"] if counts[UNTESTED] else []
        return f"{self.suite}: {'; '.join(parts)}"

    @property
    def lines(self) -> list[str]:
        """A line for each problem, then for each report, then the summary."""
        doubt = [f"{NOTE}: {DOUBT}"] if any(finding.kind == IMPROVEMENT for finding in self.reports) else []
        reports = [f"{finding.kind}: {finding.text}" for finding in self.reports]
        return [*(finding.text for finding in self.problems), *reports, *doubt, self.summary]

    def to_json(self) -> dict[str, Any]:
        return {
            "suite": self.suite,
            "baseline": self.baseline,
            "paired": self.paired,
            "passed": self.passed,
            "problems": [asdict(finding) for finding in self.problems],
            "reports": [asdict(finding) for finding in self.reports],
            "tests": [test.to_json() for test in self.tests],
        }


def gate(
    baseline: Side, now: Side, least: MinimumEffects | None = None, metrics: Collection[str] | None = None
) -> Gate:
    """What the present side, whose runs are known, has lost or gained since the baseline.

    `metrics`, columns or families, are what is looked at; without them it is everything but the costs.
    """
    pair = _Pair(baseline, now, least or MinimumEffects(), metrics)
    pair.check()
    tests = judged(pair.tests())
    problems = [
        *_moved(tests, WORSE, REGRESSION),
        *pair.vanished_rows(),
        *pair.vanished_columns(),
        *pair.vanished_seeds(),
        *pair.explosions(),
        *pair.changed_protocols(),
        *pair.stale_cells(),
        *pair.expectations(exact=True),
    ]
    found = {test.verdict for test in tests}
    if not problems and (not found or (UNTESTED in found and found <= {UNTESTED, EQUAL})):
        needed = f"a test needs {statistics.SEEDS_FOR_INTERVAL} seeds on either side"
        problems = [Finding(NOTHING, f"nothing could be tested: {needed}")]
    improved, changed = _moved(tests, BETTER, IMPROVEMENT), _moved(tests, CHANGED, CHANGE)
    reports = [*improved, *changed, *pair.news(), *pair.notes(), *pair.expectations(exact=False)]
    suite = str(now.board.table["suite"].iloc[0])
    return Gate(suite, baseline.name, baseline.runs is not None, tests, problems, reports)


def judged(tests: Sequence[Tested]) -> list[Tested]:
    """With Holm's p over all that moved at all, and verdicts.

    What is the same to the last digit at every seed is no test: it cannot be found worse, so it costs the others
    nothing. A metric without a direction can only change.
    """
    p_values = {place: p for place, test in enumerate(tests) if (p := _p_value(test)) is not None}
    adjusted = dict(zip(p_values, statistics.holm(list(p_values.values())), strict=True))
    return [
        replace(test, p_holm=adjusted.get(place), verdict=_verdict(test, adjusted.get(place)))
        for place, test in enumerate(tests)
    ]


def sentence(test: Tested) -> str:
    """`digits/grey vae elbo: 0.84 nats lower than the baseline (95 % 0.3 … 1.4, p 0.004 after Holm, 5 seeds paired)`"""
    compared, column = test.compared, _column(test.metric)
    half = half_width(compared.low, compared.high)
    sign = -1 if compared.difference < 0 else 1
    ways = {"one": ("nearer to 1", "further from 1")}.get(column.better, ("lower", "higher"))
    unit = "" if column.unit in SPEECHLESS else column.unit
    amount = " ".join(filter(None, (to_the_place_of(half, abs(compared.difference)), unit, ways[sign > 0])))
    ends = sorted(sign * end for end in (compared.low, compared.high) if end is not None)
    spread = f"95 % {' … '.join(to_the_place_of(half, end) for end in ends)}" if half else "the same at every seed"
    seeds = f"{counted(compared.seeds, 'seed')} {'paired' if test.paired else 'a side, not paired'}"
    certainty = f"{_p_text(test.p_holm)} after Holm"
    return f"{_place(test.key)} {test.metric}: {amount} than the baseline ({spread}, {certainty}, {seeds})"


@dataclass(frozen=True)
class _Pair:
    """A baseline, the present numbers, and what is looked at in them."""

    baseline: Side
    now: Side
    least: MinimumEffects
    metrics: Collection[str] | None

    def check(self) -> None:
        """Refuse a baseline of something else."""
        if not self.baseline.rows:
            raise StoreError(f"{self.baseline.name}: has no rows")
        theirs, ours = (sorted(set(side.board.table["suite"])) for side in (self.baseline, self.now))
        if theirs != ours:
            raise StoreError(
                f"{self.baseline.name}: is a baseline of the suite {enumerated(theirs)}, not of {enumerated(ours)}"
            )
        if not self.keys:
            there, here = (enumerated({key.source: None for key in side.rows}) for side in (self.baseline, self.now))
            raise StoreError(f"{self.baseline.name}: no row of it is in the suite: {there} there, {here} here")

    @cached_property
    def keys(self) -> list[Key]:
        """The rows that both have."""
        return [key for key in self.baseline.rows if key in self.now.rows]

    @cached_property
    def expected(self) -> list[str]:
        """The metrics of the baseline that are looked at."""
        return [metric for metric in self.baseline.board.metrics if _is_gated(metric, self.metrics)]

    @cached_property
    def columns(self) -> list[str]:
        """Those that both have."""
        here = set(self.now.board.metrics)
        return [metric for metric in self.expected if metric in here]

    @cached_property
    def rescored(self) -> dict[tuple[Key, str], tuple[str, str]]:
        """Row and metric → what was in the protocol, and what is: their numbers are different quantities."""
        found = {}
        for key in self.keys:
            for metric in self.columns:
                before, now = (
                    side.protocols.get((key.runs, metric), set()) - {""} for side in (self.baseline, self.now)
                )
                if before and now and before != now:
                    found[key, metric] = _changed_words(before, now)
        return found

    @cached_property
    def absences(self) -> dict[tuple[RowKey, str, int], tuple[str, str]]:
        """Row, metric, seed → status and reason, where the present side has no fresh number."""
        assert self.now.runs is not None
        return {
            ((run.dataset, run.view, run.variant), run.metric, run.seed): (run.status, run.note)
            for run in each_row(self.now.runs[self.now.runs["status"] != DONE])
        }

    def tests(self) -> list[Tested]:
        """Every number that both have under one protocol, without verdicts yet."""
        pairs = ((key, metric) for key in self.keys for metric in self.columns if (key, metric) not in self.rescored)
        return [test for key, metric in pairs if (test := self._test(key, metric)) is not None]

    def _test(self, key: Key, metric: str) -> Tested | None:
        after = _scores(self.now, key, metric)
        least = max(self.least.of(metric), ROUNDING * _size((self.baseline, self.now), key, metric))
        if self.baseline.runs is None:
            old = _recovered(self.baseline.rows[key], metric)
            new = _towards_one(_raw_estimate(self.now, key, metric), metric) if after else None
        else:
            before = _scores(self.baseline, key, metric)
            shared = sorted({*before} & {*after})
            if len(shared) >= statistics.SEEDS_FOR_INTERVAL or (shared and len(shared) == len(before)):
                compared = statistics.compare([before[seed] for seed in shared], [after[seed] for seed in shared])
                return Tested(key, metric, compared, True, least)
            old, new = (statistics.estimate(list(side.values())) if side else None for side in (before, after))
        if old is None or new is None:
            return None
        return Tested(key, metric, _compared_means(old, new), False, least)

    def vanished_rows(self) -> Iterator[Finding]:
        for key in self.baseline.rows:
            if key not in self.now.rows:
                yield Finding(VANISHED_ROW, f"{_full_place(key)}: the row has vanished")

    def vanished_columns(self) -> Iterator[Finding]:
        for metric in self.expected:
            if metric not in self.columns and any(not absent(self.baseline.rows[key][metric]) for key in self.keys):
                yield Finding(VANISHED_COLUMN, f"{metric}: the column has vanished")

    def vanished_seeds(self) -> Iterator[Finding]:
        """Numbers that were and are no more; those of a row with the same seeds and the same reason on one line."""
        for key in self.keys:
            expected = {metric: seeds for metric in self.columns if (seeds := self._expected_seeds(key, metric))}
            lost: dict[tuple[tuple[int, ...], str], list[str]] = {}
            for metric, seeds in expected.items():
                for why, gone in self._lost(key, metric, seeds).items():
                    lost.setdefault((tuple(gone), why), []).append(metric)
            for (seeds_lost, why), metrics in lost.items():
                what = "" if len(metrics) == len(expected) else f" {enumerated(metrics, 4)}"
                yield Finding(VANISHED_SEEDS, f"{_place(key)}{what}: {_seeds(seeds_lost)} vanished ({why})")
            yield from self._fewer_seeds(key)

    def _expected_seeds(self, key: Key, metric: str) -> list[int]:
        """Seeds at which the baseline has a number.

        Without its runs: every seed that is planned now, where it has a number and the present side has none at all.
        """
        if self.baseline.runs is not None:
            return list(self.baseline.values.get(key.runs, {}).get(metric, {}))
        if absent(self.baseline.rows[key][metric]) or self.now.values.get(key.runs, {}).get(metric):
            return []
        return list(self.now.cells.get(key.runs, {}))

    def _lost(self, key: Key, metric: str, seeds: Iterable[int]) -> dict[str, list[int]]:
        """Reason → those of `seeds` that have no number any more; stale ones are told elsewhere."""
        found: dict[str, list[int]] = {}
        here = self.now.values.get(key.runs, {}).get(metric, {})
        for seed in seeds:
            status, why = self.absences.get((key.runs, metric, seed), ("", "not planned any more"))
            if seed not in here and status != STALE:
                found.setdefault(f"n/a: {why}" if status == NOT_APPLICABLE else why, []).append(seed)
        return found

    def _fewer_seeds(self, key: Key) -> Iterator[Finding]:
        """Where the seeds of the baseline have no names, their number is all that can be held against it."""
        before, here = (int(side.rows[key]["seeds"]) for side in (self.baseline, self.now))
        is_stale = any(row == key.runs and status == STALE for (row, _, _), (status, _) in self.absences.items())
        if self.baseline.runs is None and here < before and not is_stale:
            yield Finding(VANISHED_SEEDS, f"{_place(key)}: {counted(here, 'complete seed')}, {before} in the baseline")

    def explosions(self) -> Iterator[Finding]:
        """Numbers that are finite by chance, and were not so before; no test of means would notice them."""
        for key in self.keys:
            old, here = (side.values.get(key.runs, {}) for side in (self.baseline, self.now))
            for metric in self.columns:
                values = here.get(metric, {})
                for seed in sorted(exploded(values) - exploded(old.get(metric, {}))):
                    yield Finding(
                        EXPLOSION, f"{_place(key)} {metric}: exploded at seed {seed} ({number(values[seed])})"
                    )

    def changed_protocols(self) -> Iterator[Finding]:
        """One line for each change of a metric's protocol, however many rows it meets."""
        rows: dict[tuple[str, tuple[str, str]], set[Key]] = {}
        for (key, metric), words in self.rescored.items():
            rows.setdefault((_family(metric), words), set()).add(key)
        for (family, (before, now)), keys in rows.items():
            where = _place(next(iter(keys))) if len(keys) == 1 else counted(len(keys), "row")
            text = f"{family}: another protocol in {where}, {before or 'nothing'} → {now or 'nothing'}; not compared"
            yield Finding(PROTOCOL, text)

    def stale_cells(self) -> Iterator[Finding]:
        known = {key.runs: key for key in self.keys}
        found: dict[tuple[RowKey, str], set[int]] = {}
        for (row, metric, seed), (status, why) in self.absences.items():
            if status == STALE and row in known and metric in self.columns:
                found.setdefault((row, stale_reason(why)), set()).add(seed)
        for (row, why), seeds in found.items():
            text = f"{_place(known[row])}: {_seeds(sorted(seeds))} stale ({why}); run the suite again"
            yield Finding(STALE_CELLS, text)

    def expectations(self, exact: bool) -> Iterator[Finding]:
        """What the suite expects and its numbers do not show: exact truths, or else what others have published."""
        suite, runs = self.now.suite, self.now.runs
        for one in judged_expectations(suite, runs) if suite is not None and runs is not None else ():
            looked_at = all(_is_gated(split_side(side)[1] or "", self.metrics) for side in one.expectation.sides)
            if one.failed and looked_at and (one.expectation.kind == "exact") == exact:
                yield Finding(EXPECTATION, one.sentence)

    def news(self) -> Iterator[Finding]:
        for key in self.now.rows:
            if key not in self.baseline.rows:
                yield Finding(NEW, f"{_full_place(key)}: a new row")
        known = set(self.baseline.board.metrics)
        for metric in self.now.board.metrics:
            if metric not in known and _is_gated(metric, self.metrics):
                yield Finding(NEW, f"{metric}: a new column")
        before, now = ({seed for row in side.cells.values() for seed in row} for side in (self.baseline, self.now))
        if before and now - before:
            yield Finding(NEW, f"{_seeds(sorted(now - before))} new")

    def notes(self) -> Iterator[Finding]:
        others = [_place(key) for key in self.keys if self._is_another_model(key)]
        if others:
            text = f"{enumerated(others, 6)}: composed or trained in another way than in the baseline"
            yield Finding(NOTE, text)
        for key in self.keys:
            row = self.baseline.rows[key]
            if row["failed"]:
                planned = int(row["seeds"] + row["failed"])
                yield Finding(NOTE, f"{_place(key)}: incomplete in the baseline, {row['seeds']} of {planned} seeds")

    def _is_another_model(self, key: Key) -> bool:
        before, now = (side.cells.get(key.runs, {}) for side in (self.baseline, self.now))
        return any(before[seed] != now[seed] for seed in {*before} & {*now})


def _is_gated(metric: str, wanted: Collection[str] | None) -> bool:
    """Costs never are: they depend on the machine and its load."""
    family = load_catalog().metrics.get(_family(metric))
    if family is not None and family.cost:
        return False
    return wanted is None or metric in wanted or _family(metric) in wanted


def _family(metric: str) -> str:
    return metric.partition(".")[0]


def _column(metric: str) -> MetricPart:
    """Unit and direction; a column that the catalog does not know has none."""
    try:
        return load_catalog().column(metric)
    except KeyError:
        return MetricPart(metric, "", "none")


def _changed_words(before: Iterable[str], now: Iterable[str]) -> tuple[str, str]:
    """What is only in the first protocol, and what is only in the second."""
    sides = [sorted(word for protocol in side for word in protocol.split()) for side in (before, now)]
    first, second = (" ".join(word for word in these if word not in those) for these, those in (sides, sides[::-1]))
    return first, second


def _scores(side: Side, key: Key, metric: str) -> dict[int, float]:
    """Seed → value, or its distance from 1 where that is what counts."""
    values = side.values.get(key.runs, {}).get(metric, {})
    if _column(metric).better != "one":
        return values
    return dict(zip(values, statistics.distances_from_one(list(values.values())), strict=True))


def _recovered(row: Mapping[str, Any], metric: str) -> statistics.Estimate | None:
    """Mean and interval from a leaderboard alone; nobody knows of how many seeds those of an incomplete row are."""
    if absent(row[metric]) or row["failed"]:
        return None
    low, high = (None if absent(row[f"{metric}{end}"]) else float(row[f"{metric}{end}"]) for end in ("_low", "_high"))
    return _towards_one(statistics.Estimate(float(row[metric]), low, high, int(row["seeds"])), metric)


def _raw_estimate(side: Side, key: Key, metric: str) -> statistics.Estimate:
    return statistics.estimate(list(side.values[key.runs][metric].values()))


def _towards_one(estimate: statistics.Estimate, metric: str) -> statistics.Estimate:
    """Of a metric that is best at 1, the mean's distance from it, with the mean's own error."""
    if _column(metric).better != "one":
        return estimate
    distance, half = abs(estimate.mean - 1), half_width(estimate.low, estimate.high)
    low, high = (None, None) if half is None else (distance - half, distance + half)
    return statistics.Estimate(distance, low, high, estimate.seeds)


def _compared_means(old: statistics.Estimate, new: statistics.Estimate) -> statistics.Comparison:
    """Welch's test, where there is anything to test and there are intervals to test it by."""
    same = math.isclose(old.mean, new.mean, rel_tol=SAME_MEAN)
    if same or old.low is None or new.low is None:
        difference = 0.0 if same else new.mean - old.mean
        return statistics.Comparison(difference, None, None, None, None, min(old.seeds, new.seeds))
    return compare_means(old, new)


def _size(sides: Iterable[Side], key: Key, metric: str) -> float:
    """The larger of the means, without its sign: what rounding is a share of."""
    means = (side.rows[key][metric] for side in sides)
    return max((abs(float(mean)) for mean in means if not absent(mean)), default=0.0)


def _is_equal(compared: statistics.Comparison) -> bool:
    """The same to the last digit at every seed or, where only means are known, in the mean."""
    return compared.difference == 0 and not compared.deviation


def _p_value(test: Tested) -> float | None:
    return None if _is_equal(test.compared) else test.compared.p_value


def _verdict(test: Tested, p_holm: float | None) -> str:
    if p_holm is None:
        return EQUAL if _is_equal(test.compared) else UNTESTED
    difference, better = test.compared.difference, _column(test.metric).better
    if p_holm >= statistics.LEVEL or abs(difference) <= test.least:
        return WITHIN
    if better == "none":
        return CHANGED
    return BETTER if (difference > 0) == (better == "higher") else WORSE


def _moved(tests: Iterable[Tested], verdict: str, kind: str) -> list[Finding]:
    return [Finding(kind, sentence(test)) for test in tests if test.verdict == verdict]


def _p_text(p_value: float | None) -> str:
    assert p_value is not None
    return "p < 0.0001" if p_value < 1e-4 else f"p {number(p_value, 2)}"


def _place(key: Key) -> str:
    return f"{key.source} {key.variant}"


def _full_place(key: Key) -> str:
    """With what two rows of one name can differ in."""
    return f"{_place(key)} ({key.measure}{', given ' + key.given if key.given else ''})"


def _seeds(seeds: Sequence[int]) -> str:
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"

"""Published against measured: what a suite's `expected` says, held against its numbers."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from vaebench.catalog.catalog import load_catalog
from vaebench.reporting import statistics
from vaebench.reporting.content import Cell, Code, Column, Phrase, Row, Table, Text, badge, plain, separated
from vaebench.reporting.runs import RowKey, compared_values
from vaebench.reporting.text import ABSENT, counted, number, to_the_place_of, with_error
from vaebench.suite.suite import Expectation, Suite, split_side

WITHIN, OUTSIDE = "within the band", "outside the band"
HOLDS, BROKEN, UNDECIDED = "order holds", "order does not hold", "order undecided"
NOT_MEASURED, NOT_JUDGED = "not measured", "not judged"
OURS = ("our", "ours")
"""What the source of an expectation begins with that nobody has published."""

Values = Mapping[RowKey, Mapping[str, Mapping[int, float]]]
"""Row → metric → seed → value."""


@dataclass(frozen=True)
class Judged:
    """One expectation, and what the suite's numbers say of it."""

    expectation: Expectation
    verdict: str
    measured: tuple[statistics.Estimate, ...]
    """Of each side, over the seeds that all sides have; empty where there are none."""
    difference: statistics.Estimate | None = None
    """Measured less expected; None for an order."""
    agreeing: int = 0
    """Seeds at which the order holds by itself."""
    lacking: int = 0
    """Seeds that one side of an order has and another has not: they diverged, exploded or have not been run."""

    @property
    def failed(self) -> bool:
        return self.verdict in (OUTSIDE, BROKEN)

    @property
    def excess(self) -> float:
        """By how much a number lies outside its band; 0 within it."""
        if self.difference is None or self.expectation.band is None:
            return 0.0
        return max(0.0, abs(self.difference.mean) - self.expectation.band)

    @property
    def remark(self) -> str:
        """What must be known beside the verdict."""
        profile = self.expectation.profile
        asked = f"judged under profile {profile} alone"
        return "; ".join(filter(None, (asked if self.verdict == NOT_JUDGED else "", self.expectation.note)))

    @property
    def sentence(self) -> str:
        """`mnist/binary vae:log_likelihood: −87.4, expected −86.76 ± 0.3 (Burda et al. 2016): outside by 0.34 nats`"""
        expected, sides = self.expectation, self.expectation.sides
        where = f"{expected.on} {' < '.join(expected.order) or sides[0]}"
        found = " < ".join(number(estimate.mean) for estimate in self.measured[: 1 if expected.of else None])
        wanted = "" if expected.of is None else f", expected {_wanted(expected)}"
        return f"{where}: {found or ABSENT}{wanted} ({expected.source}): {_told(self)}"


def judged(suite: Suite, runs: pd.DataFrame) -> list[Judged]:
    """Every expectation of the suite, in its order."""
    values = compared_values(runs)
    return [judge(expectation, suite.profile, values) for expectation in suite.expected]


def judge(expectation: Expectation, profile: str | None, values: Values) -> Judged:
    """A number is within its band where |mean − value| ≤ band; an order holds where each step surely rises, and is
    undecided where a side lacks a seed that another has: those that are left may be the ones that went well."""
    sides = [_of(side, expectation.on, values) for side in expectation.sides]
    seeds = sorted(set.intersection(*map(set, sides)))
    if not seeds:
        return Judged(expectation, NOT_MEASURED, ())
    columns = [[side[seed] for seed in seeds] for side in sides]
    measured = tuple(map(statistics.estimate, columns))
    is_foreign = expectation.profile is not None and expectation.profile != profile
    if expectation.order:
        agreeing = sum(_rises(row) for row in zip(*columns, strict=True))
        lacking = len(set.union(*map(set, sides)) - set(seeds))
        verdict = NOT_JUDGED if is_foreign else UNDECIDED if lacking else _order(columns)
        return Judged(expectation, verdict, measured, agreeing=agreeing, lacking=lacking)
    value, band = expectation.value, expectation.band or 0.0
    wanted = columns[1] if isinstance(value, str) else [float(value or 0.0)] * len(seeds)
    difference = statistics.estimate([own - other for own, other in zip(columns[0], wanted, strict=True)])
    verdict = WITHIN if abs(difference.mean) <= band else OUTSIDE
    return Judged(expectation, NOT_JUDGED if is_foreign else verdict, measured, difference)


def published(found: Sequence[Judged]) -> Table:
    """Every expectation with its verdict, a line each."""
    columns = (
        Column("number", names_row=True),
        Column("published", numeric=True),
        Column("measured", numeric=True),
        Column("verdict"),
        Column("kind"),
        Column("source, and what must be known"),
    )
    return Table(Phrase("Published against measured"), columns, tuple(_row(one) for one in found))


def in_words(one: Judged) -> Phrase:
    """`vae:kl < beta-vae:kl: 3.2 < 4.1 (at 5 of 5 seeds), order holds`"""
    expected = one.expectation
    wanted = Phrase("") if expected.of is None else Phrase(", expected ", _wanted_phrase(expected))
    return Phrase(_sides(expected), wanted, f": {_measured(one)}, {_told(one)}")


def summary(found: Sequence[Judged]) -> str:
    """`5 expectations, 2 of them ours: 3 agree, 1 does not, 1 not measured`"""
    agree, fail = sum(one.verdict in (WITHIN, HOLDS) for one in found), sum(one.failed for one in found)
    parts = [f"{agree} {'agrees' if agree == 1 else 'agree'}"] if agree else []
    parts += [f"{fail} {'does' if fail == 1 else 'do'} not"] if fail else []
    others = {UNDECIDED: "undecided", NOT_JUDGED: NOT_JUDGED, NOT_MEASURED: NOT_MEASURED}
    counts = {word: sum(one.verdict == verdict for one in found) for verdict, word in others.items()}
    parts += [f"{count} {word}" for word, count in counts.items() if count]
    own = sum(one.expectation.source.split()[0].rstrip(":,;").lower() in OURS for one in found)
    whose = f", {own} of them ours" if own else ""
    return f"{counted(len(found), 'expectation')}{whose}: {', '.join(parts)}"


def _of(side: str, on: str, values: Values) -> Mapping[int, float]:
    """Seed → value."""
    dataset, _, view = on.partition("/")
    variant, metric = split_side(side)
    return values.get((dataset, view, variant), {}).get(metric or "", {})


def _order(columns: Sequence[Sequence[float]]) -> str:
    """What paired seeds say of a sequence that should rise; nothing below three seeds, which have no interval."""
    pairs = itertools.pairwise(columns)
    steps = [statistics.estimate([b - a for a, b in zip(*pair, strict=True)]) for pair in pairs]
    if all(step.low is not None and step.low > 0 for step in steps):
        return HOLDS
    return BROKEN if any(step.high is not None and step.high <= 0 for step in steps) else UNDECIDED


def _rises(values: Sequence[float]) -> bool:
    return all(before < after for before, after in itertools.pairwise(values))


def _row(one: Judged) -> Row:
    expected = one.expectation
    name = Phrase(_sides(expected), " on ", Code(expected.on))
    wanted: Text = Phrase("in this order") if expected.of is None else _wanted_phrase(expected)
    verdict = badge(one.verdict)
    if one.verdict == OUTSIDE:
        verdict = Cell(Phrase(verdict.content, f" by {_excess(one)}"), one.verdict)
    key = expected.value if isinstance(expected.value, float) else None
    first = one.measured[0].mean if one.measured else None
    cells = (Cell(name, str(name)), Cell(wanted, key), Cell(_measured(one), first), verdict, plain(expected.kind))
    return Row((*cells, plain("; ".join(filter(None, (expected.source, one.remark))))))


def _sides(expected: Expectation) -> Phrase:
    """Names of what is ordered, or of the number"""
    where: list[Text] = [Code(side) for side in expected.order] or [Code(expected.sides[0])]
    return separated(where, " < ")


def _measured(one: Judged) -> str:
    if not one.measured:
        return ABSENT
    if one.expectation.order:
        means = " < ".join(number(estimate.mean) for estimate in one.measured)
        if not _rises([estimate.mean for estimate in one.measured]):
            means = ", ".join(number(estimate.mean) for estimate in one.measured)
        gone = f"; {counted(one.lacking, 'seed')} without a number on one side" if one.lacking else ""
        return f"{means} (at {one.agreeing} of {counted(one.measured[0].seeds, 'seed')}{gone})"
    shown = " against ".join(with_error(estimate.mean, estimate.low, estimate.high) for estimate in one.measured)
    return f"{shown} ({counted(one.measured[0].seeds, 'seed')})"


def _told(one: Judged) -> str:
    return f"outside by {_excess(one)}" if one.verdict == OUTSIDE else one.verdict


def _excess(one: Judged) -> str:
    """With its unit, where that is one that a sentence has."""
    assert one.difference is not None
    unit = load_catalog().column(split_side(one.expectation.sides[0])[1] or "").unit
    amount = to_the_place_of(one.expectation.band or None, one.excess)
    return f"{amount} {unit}" if unit not in ("share", "ratio") else amount


def _wanted(expected: Expectation) -> str:
    value = expected.value if isinstance(expected.value, str) else f"{expected.value:g}"
    return f"{value} ± {expected.band:g}"


def _wanted_phrase(expected: Expectation) -> Phrase:
    if isinstance(expected.value, str):
        return Phrase(Code(expected.value), f" ± {expected.band:g}")
    return Phrase(_wanted(expected))

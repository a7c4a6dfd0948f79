"""The questions of a suite and their answers, in the words and digits of the report."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vaebench.catalog.catalog import load_catalog
from vaebench.reporting import statistics
from vaebench.reporting.collapse import collapsed
from vaebench.reporting.content import (
    Badge,
    Cell,
    Code,
    Column,
    Phrase,
    Row,
    Table,
    badge,
    listed,
    named,
    plain,
    separated,
)
from vaebench.reporting.contrasts import PairedTest, contrast_tests, differing_parts
from vaebench.reporting.incidents import explosions, failures
from vaebench.reporting.runs import NOT_APPLICABLE, MetricKey, RowKey, at_cap
from vaebench.reporting.tables import each_row
from vaebench.reporting.text import (
    ABSENT,
    absent,
    beside,
    half_width,
    is_constant,
    number,
    probability,
    setting,
    to_the_place_of,
)
from vaebench.suite.comparability import SEEDS_FOR_VERDICT
from vaebench.suite.suite import Contrast, Suite

UNITLESS = ("ratio", "share")
MANY_DEVIATIONS = 1000.0
"""More than this and it does not matter how many."""


@dataclass(frozen=True)
class Answer:
    """What one primary test says."""

    source: str
    metric: str
    """Empty where the two sides name different ones."""
    unit: str
    """Empty for shares and ratios."""
    verdict: Badge
    direction: str
    """`worse`, `better`, `higher` or `lower`: where the practice stands."""
    amount: str
    """Size of the difference; signed where the verdict names no direction."""
    low: str
    high: str
    """Ends of the 95 % interval of the amount; empty without one."""
    constant: bool
    """Whether every seed has the same difference, as two closed forms do: then there is nothing to test."""
    theory: str
    practice: str
    p_value: str
    """Such as `= 0.012`, after Holm where the verdict rests on that."""
    adjusted: bool
    alone: str
    """p before Holm's correction, where that alone leaves the two not distinguishable; else empty."""
    sign_flip: str
    """Of the permutation test; empty below six seeds."""
    effect: str
    """In seed standard deviations; empty where no seed moves either side."""
    deviations: float | None
    """The same as a number."""
    detectable: str
    """Empty where no difference varies, so that any would have been seen."""
    seeds: int
    reason: Phrase
    """Why the two are not comparable; empty where they are."""
    collapsed: Phrase
    """The sides whose posteriors have no active unit, and at which seeds; empty where there is none."""

    @property
    def size(self) -> str:
        """`0.6 nats worse`, or the signed difference where no direction is told; a dash where there is none."""
        return " ".join(filter(None, (self.amount, self.unit, self.direction))) if self.amount else ABSENT


@dataclass(frozen=True)
class Question:
    """One contrast."""

    text: str
    theory: str
    practice: str
    differences: list[Phrase]
    """In which choices the two differ: one sentence, or one a data set view where the views make them differ."""
    differs_in: dict[str, Phrase]
    """Data set view → names of those choices."""
    answers: list[Answer]
    exploratory: Table
    """The other metrics; empty where there are none."""


def questions(suite: Suite, runs: pd.DataFrame, contrasts: pd.DataFrame) -> list[Question]:
    """The contrasts of a suite in its order, with their rows of contrasts.csv put into words."""
    tests = contrast_tests(suite, runs)
    pairs = list(zip(tests, each_row(contrasts), strict=True))
    facts = _Facts(_incomparable_reasons(runs), collapsed(runs), failures(runs), explosions(runs))
    found = []
    for contrast in suite.contrasts:
        mine = [(test, row) for test, row in pairs if test.contrast is contrast]
        others = [row for test, row in mine if not test.primary]
        sources = dict.fromkeys(f"{test.dataset}/{test.view}" for test, _ in mine)
        parts = {source: _differing_parts(suite, contrast, source) for source in sources}
        found.append(
            Question(
                text=contrast.question,
                theory=contrast.theory,
                practice=contrast.practice,
                differences=_differences(parts),
                differs_in={source: listed([Code(part) for part in found]) for source, found in parts.items()},
                answers=[_answer(test, row, facts) for test, row in mine if test.primary],
                exploratory=_exploratory(contrast.question, others),
            )
        )
    return found


def verdicts(asked: Iterable[Question]) -> Table:
    """Every answer of a suite in one line each."""
    asked = list(asked)
    alone = any(answer.alone for question in asked for answer in question.answers)
    columns = (
        Column("question", names_row=True),
        Column("verdict"),
        Column("on"),
        Column("practice against theory"),
        Column("seed standard deviations", numeric=True, about="the difference, in standard deviations over seeds"),
        Column(
            f"p after Holm{' (alone)' if alone else ''}",
            numeric=True,
            about=f"corrected for the other questions{' (and not, where that decides)' if alone else ''}",
        ),
        Column("differ in"),
    )
    rows = [
        Row(
            (
                Cell(question.text, question.text, about=f"question-{place}"),
                badge(answer.verdict),
                named(answer.source),
                plain(answer.size),
                Cell(answer.effect or ABSENT, answer.deviations),
                _p_cell(answer),
                plain(question.differs_in[answer.source] or "nothing but the metric"),
            )
        )
        for place, question in enumerate(asked, start=1)
        for answer in question.answers
    ]
    return Table(Phrase("The questions and their verdicts"), columns, tuple(rows))


def _p_cell(answer: Answer) -> Cell:
    """`0.0012`, or `0.24 (0.017)` where the correction decides; a dash where nothing is tested."""
    if answer.verdict == statistics.NOT_COMPARABLE:
        return plain(ABSENT)
    value, alone = (text.removeprefix("= ") for text in (answer.p_value, answer.alone))
    text = f"{value} ({alone})" if alone else value
    return Cell(text or ABSENT, float(value.removeprefix("< ")) if value else None)


@dataclass(frozen=True)
class _Facts:
    """What the runs say that contrasts.csv does not."""

    incomparable: dict[MetricKey, str]
    """Why there is no number, or none that is compared."""
    collapsed: dict[RowKey, str]
    failed: dict[MetricKey, str]
    """Of how many models the number failed, and what they said."""
    exploded: dict[MetricKey, str]
    """At which seeds the number exploded."""


def _answer(test: PairedTest, row: Any, facts: _Facts) -> Answer:
    half = half_width(row.low, row.high)
    directed = row.verdict not in (statistics.NOT_DISTINGUISHABLE, statistics.NOT_COMPARABLE)
    sign = -1 if directed and row.difference < 0 else 1
    ends = sorted(sign * end for end in (row.low, row.high)) if half is not None else []
    low, high = (to_the_place_of(half, end) for end in ends) if ends else ("", "")
    differences = statistics.paired_differences(test.theory, test.practice)
    sign_flip = statistics.sign_flip_p_value(differences)
    adjusted = not absent(row.p_holm)
    p_value = row.p_holm if adjusted else row.p_value
    constant = is_constant(half, row.difference)
    return Answer(
        source=f"{row.dataset}/{row.view}",
        metric=row.metric if test.theory_metric == test.practice_metric else "",
        unit=_unit(row.metric),
        verdict=Badge(row.verdict),
        direction=_direction(row.verdict),
        amount=_to_place(half, sign * row.difference),
        low=low,
        high=high,
        constant=constant,
        theory=_side(half, row.theory_mean),
        practice=_side(half, row.practice_mean),
        p_value="" if constant or absent(p_value) else probability(p_value),
        adjusted=adjusted and row.p_holm != row.p_value,
        alone=probability(row.p_value) if not directed and adjusted and row.p_value < statistics.LEVEL else "",
        sign_flip="" if sign_flip is None else probability(sign_flip),
        effect="" if absent(row.effect_sd) else _deviations(abs(row.effect_sd)),
        deviations=None if absent(row.effect_sd) else abs(row.effect_sd),
        detectable="" if absent(row.detectable) or row.detectable == 0 else number(row.detectable, 2),
        seeds=row.seeds,
        reason=_reason(test, row, facts),
        collapsed=_collapsed_sides(test, facts.collapsed),
    )


def _deviations(effect: float) -> str:
    return f"over {MANY_DEVIATIONS:,.0f}" if effect > MANY_DEVIATIONS else number(effect, 2)


def _collapsed_sides(test: PairedTest, found: dict[RowKey, str]) -> Phrase:
    variants = dict.fromkeys((test.contrast.theory_side[0], test.contrast.practice_side[0]))
    rows = ((variant, found.get((test.dataset, test.view, variant))) for variant in variants)
    return separated([Phrase(Code(variant), f" ({where})") for variant, where in rows if where])


DIRECTIONS = {
    statistics.PRACTICE_BETTER: "better",
    statistics.THEORY_BETTER: "worse",
    statistics.PRACTICE_HIGHER: "higher",
    statistics.PRACTICE_LOWER: "lower",
}


def _direction(verdict: str) -> str:
    return DIRECTIONS.get(verdict, "")


def _reason(test: PairedTest, row: Any, facts: _Facts) -> Phrase:
    if row.verdict != statistics.NOT_COMPARABLE:
        return Phrase()
    sides = ((test.contrast.theory_side[0], test.theory_metric), (test.contrast.practice_side[0], test.practice_metric))
    keys = [(row.dataset, row.view, variant, metric) for variant, metric in sides]
    for key in keys:
        if key in facts.incomparable:
            return Phrase(facts.incomparable[key])
    count = "no seed has" if row.seeds == 0 else "1 seed has" if row.seeds == 1 else f"{row.seeds} seeds have"
    why = [Phrase(Code(key[2]), f": {facts.failed[key]}") for key in keys if key in facts.failed]
    why += [Phrase(Code(key[2]), f" {facts.exploded[key]}") for key in keys if key in facts.exploded]
    return Phrase(
        f"{count} a number on both sides, {SEEDS_FOR_VERDICT} are needed",
        *(Phrase("; ", one) for one in dict.fromkeys(why)),
    )


def _incomparable_reasons(runs: pd.DataFrame) -> dict[MetricKey, str]:
    rows = (row for row in each_row(runs) if row.status == NOT_APPLICABLE or at_cap(row))
    return {(row.dataset, row.view, row.variant, row.metric): row.note for row in rows}


def _differing_parts(suite: Suite, contrast: Contrast, source: str) -> dict[str, tuple[Any, Any]]:
    theory, practice = suite.variant(contrast.theory_side[0]), suite.variant(contrast.practice_side[0])
    return differing_parts(theory, practice, source)


def _differences(parts: dict[str, dict[str, tuple[Any, Any]]]) -> list[Phrase]:
    by_source = {source: _sentence(found) for source, found in parts.items()}
    if len(set(by_source.values())) <= 1:
        return list(by_source.values())[:1]
    return [Phrase("On ", Code(source), ": ", sentence) for source, sentence in by_source.items()]


def _sentence(parts: dict[str, tuple[Any, Any]]) -> Phrase:
    if not parts:
        return Phrase("Both sides are the same models.")
    only = "only " if len(parts) == 1 else ""
    details = [Phrase(Code(first), " against ", Code(second)) for first, second in map(_choices, parts.values())]
    names = listed([Code(part) for part in parts])
    return Phrase(f"The two differ {only}in ", names, ": ", separated(details, "; "), ".")


def _choices(pair: tuple[Any, Any]) -> tuple[str, str]:
    """Both choices of a part; of the same part, only the parameters that differ."""
    first, second = pair
    if isinstance(first, dict) and isinstance(second, dict) and first.get("name") == second.get("name"):
        shared = {key for key in first if key != "name" and first[key] == second.get(key)}
        return tuple(setting({k: v for k, v in side.items() if k not in shared}) for side in pair)  # type: ignore[return-value]
    return setting(first), setting(second)


def _exploratory(question: str, rows: list[Any]) -> Table:
    columns = (
        Column("view"),
        Column("metric", names_row=True),
        Column("reading"),
        Column("practice − theory", numeric=True),
        Column("95 %", numeric=True),
        Column("p", numeric=True),
        Column("theory", numeric=True),
        Column("practice", numeric=True),
    )
    return Table(Phrase("Other metrics: ", question), columns, tuple(_exploratory_row(row) for row in rows))


def _exploratory_row(row: Any) -> Row:
    half = half_width(row.low, row.high)
    interval = ABSENT if half is None else f"{_to_place(half, row.low)} … {_to_place(half, row.high)}"
    says_p = row.seeds >= SEEDS_FOR_VERDICT and not absent(row.p_value) and not is_constant(half, row.difference)
    p_value = Cell(probability(row.p_value).removeprefix("= "), row.p_value) if says_p else Cell(ABSENT)
    difference = Cell(_to_place(half, row.difference), row.difference)
    theory, practice = (Cell(_side(half, value), value) for value in (row.theory_mean, row.practice_mean))
    source, metric = named(f"{row.dataset}/{row.view}"), named(row.metric)
    ends = Cell(interval, None if half is None else row.low)
    return Row((source, metric, badge(row.verdict), difference, ends, p_value, theory, practice))


def _to_place(half: float | None, value: float) -> str:
    return "" if math.isnan(value) else to_the_place_of(half, value)


def _side(half: float | None, value: float) -> str:
    return "" if math.isnan(value) else beside(half, value)


def _unit(metric: str) -> str:
    unit = load_catalog().column(metric).unit
    return "" if unit in UNITLESS else unit

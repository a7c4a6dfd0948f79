"""The questions of a suite and their answers, in the words and digits of the report."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vaebench.catalog.catalog import load_catalog
from vaebench.reporting import statistics
from vaebench.reporting.contrasts import PairedTest, contrast_tests, differing_parts
from vaebench.reporting.runs import NOT_APPLICABLE
from vaebench.reporting.tables import each_row
from vaebench.reporting.text import (
    ABSENT,
    Markdown,
    absent,
    code,
    code_cell,
    half_width,
    listed,
    markdown_table,
    number,
    probability,
    setting,
    to_the_place_of,
)
from vaebench.suite.suite import Contrast, Suite

UNITLESS = ("ratio", "share")


@dataclass(frozen=True)
class Answer:
    """What one primary test says."""

    source: str
    metric: str
    """Empty where the two sides name different ones."""
    unit: str
    """Empty for shares and ratios."""
    verdict: str
    direction: str
    """`worse`, `better`, `higher` or `lower`: where the practice stands."""
    amount: str
    """Size of the difference; signed where the verdict names no direction."""
    low: str
    high: str
    """Ends of the 95 % interval of the amount; empty without one."""
    theory: str
    practice: str
    p_value: str
    """Such as `= 0.012`, after Holm where the verdict rests on that."""
    adjusted: bool
    sign_flip: str
    """Of the permutation test; empty below six seeds."""
    effect: str
    """In seed standard deviations; empty where no seed moves either side."""
    detectable: str
    """Empty where no difference varies, so that any would have been seen."""
    seeds: int
    reason: str
    """Why the two are not comparable; empty where they are."""


@dataclass(frozen=True)
class Question:
    """One contrast."""

    text: str
    theory: str
    practice: str
    differences: list[Markdown]
    """In which choices the two differ: one sentence, or one a data set view where the views make them differ."""
    answers: list[Answer]
    exploratory: Markdown
    """Table of the other metrics; empty where there are none."""


def questions(suite: Suite, runs: pd.DataFrame, contrasts: pd.DataFrame) -> list[Question]:
    """The contrasts of a suite in its order, with their rows of contrasts.csv put into words."""
    tests = contrast_tests(suite, runs)
    pairs = list(zip(tests, each_row(contrasts), strict=True))
    reasons = _not_applicable_reasons(runs)
    found = []
    for contrast in suite.contrasts:
        mine = [(test, row) for test, row in pairs if test.contrast is contrast]
        answers = [_answer(test, row, reasons) for test, row in mine if test.primary]
        others = [row for test, row in mine if not test.primary]
        sources = dict.fromkeys(f"{test.dataset}/{test.view}" for test, _ in mine)
        differences = _differences(suite, contrast, sources)
        found.append(
            Question(contrast.question, contrast.theory, contrast.practice, differences, answers, _exploratory(others))
        )
    return found


def _answer(test: PairedTest, row: Any, reasons: dict[tuple[str, str, str, str], str]) -> Answer:
    half = half_width(row.low, row.high)
    directed = row.verdict not in (statistics.NOT_DISTINGUISHABLE, statistics.NOT_COMPARABLE)
    sign = -1 if directed and row.difference < 0 else 1
    ends = sorted(sign * end for end in (row.low, row.high)) if half is not None else []
    low, high = (to_the_place_of(half, end) for end in ends) if ends else ("", "")
    differences = statistics.paired_differences(test.theory, test.practice)
    sign_flip = statistics.sign_flip_p_value(differences)
    adjusted = not absent(row.p_holm)
    p_value = row.p_holm if adjusted else row.p_value
    return Answer(
        source=f"{row.dataset}/{row.view}",
        metric=row.metric if test.theory_metric == test.practice_metric else "",
        unit=_unit(row.metric),
        verdict=row.verdict,
        direction=_direction(row.verdict),
        amount=_to_place(half, sign * row.difference),
        low=low,
        high=high,
        theory=_to_place(half, row.theory_mean),
        practice=_to_place(half, row.practice_mean),
        p_value="" if absent(p_value) else probability(p_value),
        adjusted=adjusted and row.p_holm != row.p_value,
        sign_flip="" if sign_flip is None else probability(sign_flip),
        effect="" if absent(row.effect_sd) else number(abs(row.effect_sd), 2),
        detectable="" if absent(row.detectable) or row.detectable == 0 else number(row.detectable, 2),
        seeds=row.seeds,
        reason=_reason(test, row, reasons),
    )


DIRECTIONS = {
    statistics.PRACTICE_BETTER: "better",
    statistics.THEORY_BETTER: "worse",
    statistics.PRACTICE_HIGHER: "higher",
    statistics.PRACTICE_LOWER: "lower",
}


def _direction(verdict: str) -> str:
    return DIRECTIONS.get(verdict, "")


def _reason(test: PairedTest, row: Any, reasons: dict[tuple[str, str, str, str], str]) -> str:
    if row.verdict != statistics.NOT_COMPARABLE:
        return ""
    sides = ((test.contrast.theory_side[0], test.theory_metric), (test.contrast.practice_side[0], test.practice_metric))
    for variant, metric in sides:
        reason = reasons.get((row.dataset, row.view, variant, metric))
        if reason:
            return reason
    count = "no seed has" if row.seeds == 0 else "1 seed has" if row.seeds == 1 else f"{row.seeds} seeds have"
    return f"{count} a number on both sides, {statistics.SEEDS_FOR_VERDICT} are needed"


def _not_applicable_reasons(runs: pd.DataFrame) -> dict[tuple[str, str, str, str], str]:
    rows = (row for row in each_row(runs) if row.status == NOT_APPLICABLE)
    return {(row.dataset, row.view, row.variant, row.metric): row.note for row in rows}


def _differences(suite: Suite, contrast: Contrast, sources: Iterable[str]) -> list[Markdown]:
    theory, practice = suite.variant(contrast.theory_side[0]), suite.variant(contrast.practice_side[0])
    by_source = {source: _sentence(differing_parts(theory, practice, source)) for source in sources}
    if len(set(by_source.values())) <= 1:
        return list(by_source.values())[:1]
    return [Markdown(f"On {code(source)}: {sentence}") for source, sentence in by_source.items()]


def _sentence(parts: dict[str, tuple[Any, Any]]) -> Markdown:
    if not parts:
        return Markdown("Both sides are the same models.")
    only = "only " if len(parts) == 1 else ""
    details = (f"{code(first)} against {code(second)}" for first, second in map(_choices, parts.values()))
    return Markdown(f"The two differ {only}in {listed([code(part) for part in parts])}: {'; '.join(details)}.")


def _choices(pair: tuple[Any, Any]) -> tuple[str, str]:
    """Both choices of a part; of the same part, only the parameters that differ."""
    first, second = pair
    if isinstance(first, dict) and isinstance(second, dict) and first.get("name") == second.get("name"):
        shared = {key for key in first if key != "name" and first[key] == second.get(key)}
        return tuple(setting({k: v for k, v in side.items() if k not in shared}) for side in pair)  # type: ignore[return-value]
    return setting(first), setting(second)


def _exploratory(rows: list[Any]) -> Markdown:
    if not rows:
        return Markdown("")
    columns = ["view", "metric", "theory", "practice", "practice − theory", "95 %", "p", "reading"]
    return markdown_table(columns, [_exploratory_row(row) for row in rows], right=(2, 3, 4, 6))


def _exploratory_row(row: Any) -> list[str]:
    half = half_width(row.low, row.high)
    interval = ABSENT if half is None else f"{_to_place(half, row.low)} … {_to_place(half, row.high)}"
    p_value = ABSENT if absent(row.p_value) else probability(row.p_value).removeprefix("= ")
    means = (_to_place(half, value) for value in (row.theory_mean, row.practice_mean, row.difference))
    source, metric = code_cell(f"{row.dataset}/{row.view}"), code_cell(row.metric)
    return [source, metric, *means, interval, p_value, row.verdict]


def _to_place(half: float | None, value: float) -> str:
    return "" if math.isnan(value) else to_the_place_of(half, value)


def _unit(metric: str) -> str:
    unit = load_catalog().column(metric).unit
    return "" if unit in UNITLESS else unit

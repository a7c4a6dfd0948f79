"""contrasts.csv: what each question of a suite comes to, paired by seed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vaebench.catalog.catalog import load_catalog
from vaebench.reporting import statistics
from vaebench.reporting.runs import RowKey, compared_values, wanted_columns
from vaebench.reporting.text import note
from vaebench.suite.comparability import SEEDS_FOR_VERDICT, incomparable
from vaebench.suite.expansion import Impossible, compose
from vaebench.suite.suite import Contrast, Suite, Variant

COLUMNS = (
    "question",
    "theory",
    "practice",
    "dataset",
    "view",
    "metric",
    "theory_mean",
    "practice_mean",
    "difference",
    "low",
    "high",
    "p_value",
    "seeds",
    "verdict",
    "differs_in",
    "primary",
    "p_holm",
    "effect_sd",
    "detectable",
)

Values = dict[RowKey, dict[str, dict[int, float]]]


@dataclass(frozen=True)
class PairedTest:
    """One metric of one contrast on one data set view, with the numbers of both sides at the seeds that they share."""

    contrast: Contrast
    dataset: str
    view: str
    metric: str
    """The column compared; where the sides name different ones, the primary metric or else the theory's."""
    theory_metric: str
    practice_metric: str
    better: str
    seeds: tuple[int, ...]
    theory: tuple[float, ...]
    practice: tuple[float, ...]
    differs_in: tuple[str, ...]
    primary: bool

    @property
    def comparable(self) -> bool:
        return len(self.seeds) >= SEEDS_FOR_VERDICT


def contrasts_table(suite: Suite, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per contrast, data set view where both sides run, and metric; the primary metric first."""
    tests = contrast_tests(suite, runs)
    judged = [test for test in tests if test.primary and test.comparable]
    p_values = [_p_value(test) for test in judged]
    adjusted = dict(zip(map(id, judged), statistics.holm(p_values), strict=True))
    levels = dict(zip(map(id, judged), statistics.holm_levels(p_values), strict=True))
    rows = [_row(test, adjusted.get(id(test)), levels.get(id(test), statistics.LEVEL)) for test in tests]
    numbers = (
        "theory_mean",
        "practice_mean",
        "difference",
        "low",
        "high",
        "p_value",
        "p_holm",
        "effect_sd",
        "detectable",
    )
    types = {**dict.fromkeys(numbers, "float64"), "seeds": "Int64", "primary": "bool"}
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(types)


def contrast_tests(suite: Suite, runs: pd.DataFrame) -> list[PairedTest]:
    """Every comparison of a suite, in the order of its contrasts, data sets and metrics."""
    values = compared_values(runs)
    return [
        test
        for contrast in suite.contrasts
        for source in suite.datasets
        for test in _tests_on(suite, contrast, source, values)
    ]


def differing_parts(theory: Variant, practice: Variant, source: str) -> dict[str, tuple[Any, Any]]:
    """Part → both choices, where two variants differ on a data set view.

    A likelihood left to the view is looked up there. The recipe is the suite's and therefore shared.
    """
    first, second = _choices(theory, source), _choices(practice, source)
    parts = dict.fromkeys((*first, *second))
    return {part: (first.get(part), second.get(part)) for part in parts if first.get(part) != second.get(part)}


def _choices(variant: Variant, source: str) -> dict[str, Any]:
    composition = compose(variant, source, load_catalog())
    parts = variant.composition if isinstance(composition, Impossible) else composition
    return {**parts, "generation": variant.generation}


def _tests_on(suite: Suite, contrast: Contrast, source: str, values: Values) -> Iterator[PairedTest]:
    dataset, _, view = source.partition("/")
    (theory, theory_metric), (practice, practice_metric) = contrast.theory_side, contrast.practice_side
    theory_values, practice_values = values.get((dataset, view, theory)), values.get((dataset, view, practice))
    if theory_values is None or practice_values is None:
        return
    differs_in = tuple(differing_parts(suite.variant(theory), suite.variant(practice), source))
    for metric, left, right, primary in _columns(suite, contrast, view, theory_metric, practice_metric):
        before, after = theory_values.get(left, {}), practice_values.get(right, {})
        seeds = tuple(sorted({*before} & {*after}))
        answers_another = incomparable(suite.variant(theory), left, suite.variant(practice), right, view)
        if not primary and (not seeds or answers_another):
            continue
        yield PairedTest(
            contrast,
            dataset,
            view,
            metric,
            left,
            right,
            _direction(left, right, view),
            seeds,
            tuple(before[seed] for seed in seeds),
            tuple(after[seed] for seed in seeds),
            differs_in,
            primary,
        )


def _columns(
    suite: Suite, contrast: Contrast, view: str, theory: str | None, practice: str | None
) -> list[tuple[str, str, str, bool]]:
    """(name, column of the theory, column of the practice, primary) of every comparison that a contrast makes.

    Where a side names its metric, that is the one comparison; the other side then takes the primary metric, or else
    the same one. Otherwise the primary metric comes first, and every other that says something about a model's worth
    (so none of its cost) follows as exploratory.
    """
    primary = contrast.primary or suite.rank_by.get(view)
    if theory or practice:
        left = theory or contrast.primary or practice
        right = practice or contrast.primary or theory
        assert left is not None
        assert right is not None
        return [(contrast.primary or left, left, right, True)]
    catalog = load_catalog()
    others = [name for name in wanted_columns(suite) if name != primary and not catalog.metric_of(name).cost]
    return [(name, name, name, name == primary) for name in ([primary] if primary else []) + others]


def _direction(theory: str, practice: str, view: str) -> str:
    """In which direction the comparison is better: numbers that answer different questions are only higher or lower.

    So are those of draws and of means where pixels are binary: draws are held against binary images, means against
    grey ones.
    """
    catalog = load_catalog()
    same_question = catalog.metric_of(theory) is catalog.metric_of(practice)
    if catalog.views[view].measure == "counting":
        same_question &= _is_of_draws(theory) == _is_of_draws(practice)
    directions = {catalog.column(theory).better, catalog.column(practice).better}
    return directions.pop() if same_question and len(directions) == 1 else "none"


def _is_of_draws(column: str) -> bool:
    return column.partition(".")[2].startswith("ancestral")


def _row(test: PairedTest, p_holm: float | None, level: float) -> dict[str, Any]:
    row = {
        "question": note(test.contrast.question),
        "theory": test.contrast.theory,
        "practice": test.contrast.practice,
        "dataset": test.dataset,
        "view": test.view,
        "metric": test.metric,
        "seeds": len(test.seeds),
        "verdict": statistics.verdict(test.theory, test.practice, test.better, level),
        "differs_in": ",".join(test.differs_in),
        "primary": test.primary,
        "p_holm": p_holm,
    }
    if not test.seeds:
        return row
    comparison = statistics.compare(test.theory, test.practice)
    deviation = math.nan if comparison.deviation is None else comparison.deviation
    return row | {
        "theory_mean": statistics.estimate(test.theory).mean,
        "practice_mean": statistics.estimate(test.practice).mean,
        "difference": comparison.difference,
        "low": comparison.low,
        "high": comparison.high,
        "p_value": comparison.p_value,
        "effect_sd": statistics.effect_in_deviations(test.theory, test.practice),
        "detectable": statistics.detectable_difference(deviation, len(test.seeds), level),
    }


def _p_value(test: PairedTest) -> float:
    p_value = statistics.compare(test.theory, test.practice).p_value
    assert p_value is not None
    return p_value

"""What the seeds can say: intervals, paired tests, many tests at once, power, verdicts.

Every function is pure. A list of values has one entry a seed; paired lists have the same seeds in the same order.
"""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from vaebench.suite.comparability import SEEDS_FOR_VERDICT

LEVEL = 0.05
POWER = 0.80
SEEDS_FOR_INTERVAL = 3
SEEDS_FOR_PERMUTATION = 6
EXACT_PERMUTATION = 20
SAMPLED_SIGNS = 100_000
ROUNDING = 1e-12
"""Differences below this share of the values compared are rounding, not effects."""

PRACTICE_BETTER = "practice better"
THEORY_BETTER = "theory better"
PRACTICE_HIGHER = "practice higher"
PRACTICE_LOWER = "practice lower"
NOT_DISTINGUISHABLE = "not distinguishable"
NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds."""

    mean: float
    low: float | None
    """Lower end of the 95 % interval; None below three seeds."""
    high: float | None
    seeds: int


@dataclass(frozen=True)
class Comparison:
    """Second minus first, paired by seed."""

    difference: float
    low: float | None
    """Lower end of the 95 % interval of the mean difference; None below three seeds."""
    high: float | None
    p_value: float | None
    """Of the paired t test, two-sided; None below three seeds."""
    deviation: float | None
    """Standard deviation of the differences over seeds; None for a single seed."""
    seeds: int


def estimate(values: Sequence[float]) -> Estimate:
    """Mean with its Student-t interval: x̄ ± t_{n−1}(0.975) s / √n, s² = Σ (x_i − x̄)² / (n − 1).

    There is no interval below n = 3: t_1(0.975) = 12.7 makes it useless at n = 2, and a bootstrap of so few
    values covers far less than it claims.
    """
    n = len(values)
    mean = _mean(values)
    if n < SEEDS_FOR_INTERVAL:
        return Estimate(mean, None, None, n)
    half = _t_quantile(1 - LEVEL / 2, n) * _deviation(values) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def compare(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """Paired t test of d_i = second_i − first_i: t = d̄ √n / s_d with n − 1 degrees of freedom.

    The test assumes that the d_i are draws from one normal law. Where they do not vary at all there is no law to
    estimate: all 0 is equality (p = 1), a constant other than 0 is a certain difference (p = 0).
    """
    differences = paired_differences(first, second)
    n = len(differences)
    interval = estimate(differences)
    deviation = _deviation(differences) if n > 1 else None
    p_value = _t_test(interval.mean, deviation, n) if deviation is not None and n >= SEEDS_FOR_INTERVAL else None
    return Comparison(interval.mean, interval.low, interval.high, p_value, deviation, n)


def paired_differences(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """second_i − first_i, with 0 for what is only rounding of the two."""
    return [
        0.0 if abs(after - before) <= ROUNDING * max(abs(after), abs(before)) else after - before
        for before, after in zip(first, second, strict=True)
    ]


def sign_flip_p_value(differences: Sequence[float]) -> float | None:
    """Two-sided permutation test: if neither side were favoured, every d_i could as well have had the other sign.

    p = share of the 2^n sign patterns with |Σ ±d_i| ≥ |Σ d_i|. It assumes no law, only symmetry. All patterns are
    counted up to n = 20; beyond, 100,000 are drawn with a fixed seed and p = (1 + hits) / (1 + drawn).
    None below n = 6, where even the most extreme pattern has p > 0.05.
    """
    n = len(differences)
    if n < SEEDS_FOR_PERMUTATION:
        return None
    sizes = np.asarray(differences, dtype=np.float64)
    threshold = abs(sizes.sum()) - 1e-9 * np.abs(sizes).sum()
    if n <= EXACT_PERMUTATION:
        sums = sizes[:1]
        for size in sizes[1:]:
            sums = np.concatenate([sums + size, sums - size])
        return float(np.mean(np.abs(sums) >= threshold))
    generator = np.random.default_rng(0)
    signs = generator.integers(0, 2, size=(SAMPLED_SIGNS, n), dtype=np.int8) * 2 - 1
    hits = int(np.sum(np.abs(signs @ sizes) >= threshold))
    return (1 + hits) / (1 + SAMPLED_SIGNS)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given.

    With p_(1) ≤ … ≤ p_(m): p̃_(i) = max_{j ≤ i} min(1, (m − j + 1) p_(j)). Calling those below 0.05 real is wrong
    about any of them with probability at most 0.05, however the tests depend on each other.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    factors = range(len(p_values), 0, -1)
    raised = itertools.accumulate((factor * p_values[i] for i, factor in zip(order, factors, strict=True)), max)
    adjusted = dict(zip(order, raised, strict=True))
    return [min(1.0, adjusted[i]) for i in range(len(p_values))]


def holm_levels(p_values: Sequence[float]) -> list[float]:
    """The level that each p value had to beat under Holm, given the others: p_i < level_i exactly if p̃_i < 0.05.

    level_i = 0.05 / (m − r_i), where r_i of the others are found real even if p_i = 1. In ascending order, those are
    found real that come before the first k with (m − k + 1) p_(k) ≥ 0.05. Without p_i, who comes after it moves up one
    place, to the factor m − k + 2.
    """
    count = len(p_values)
    order = sorted(range(count), key=p_values.__getitem__)
    first = next((k for k, i in enumerate(order) if (count - k) * p_values[i] >= LEVEL), count)
    levels = [LEVEL / (count - min(first, count - 1))] * count
    after = count
    for k in range(count - 1, -1, -1):
        if k <= first:
            levels[order[k]] = LEVEL / (count - (after - 1))
        if (count - k + 1) * p_values[order[k]] >= LEVEL:
            after = k
    return levels


def paired_p_values(rows: np.ndarray) -> Iterator[np.ndarray]:
    """For each row of (row, seed) the p values of `compare` with every row below it; NaN stands for no value.

    Differences that do not vary are told by their extremes, as `compare` does, so that rounding makes none real.
    """
    for place in range(len(rows) - 1):
        first, below = rows[place], rows[place + 1 :]
        differences = below - first
        largest = np.maximum(np.abs(below), np.abs(first))
        differences = np.where(np.abs(differences) <= ROUNDING * largest, 0.0, differences)
        seeds = np.count_nonzero(~np.isnan(differences), axis=1)
        least, most = np.nanmin(differences, axis=1), np.nanmax(differences, axis=1)
        mean = np.where(least == most, least, np.nansum(differences, axis=1) / seeds)
        squares = np.nansum((differences - mean[:, None]) ** 2, axis=1)
        deviation = np.where(least == most, 0.0, np.sqrt(squares / np.maximum(seeds - 1, 1)))
        with np.errstate(divide="ignore", invalid="ignore"):
            p_values = 2 * special.stdtr(seeds - 1, -np.abs(mean) * np.sqrt(seeds) / deviation)
        yield np.where(deviation == 0, np.where(mean == 0, 1.0, 0.0), p_values)


def power(difference: float, deviation: float, seeds: int, level: float = LEVEL) -> float:
    """Probability that the paired t test at `level` notices a true mean `difference`.

    T follows a noncentral t law with n − 1 degrees of freedom and noncentrality δ √n / σ_d; the power is
    P(|T| > t_{n−1}(1 − level/2)), the lower tail as the upper one of −T (where scipy's lower tail may be NaN).
    """
    from scipy.stats import nct  # takes a second, and few reports need it

    critical = _t_quantile(1 - level / 2, seeds)
    shift = difference * math.sqrt(seeds) / deviation
    return float(sum(nct.sf(critical, seeds - 1, side) for side in (shift, -shift)))


def detectable_difference(deviation: float, seeds: int, level: float = LEVEL) -> float | None:
    """The smallest true difference that these seeds would have shown with 80 % power, if σ_d is `deviation`.

    None below three seeds.
    """
    if seeds < SEEDS_FOR_INTERVAL:
        return None
    return deviation * _detectable_effect(seeds, level)


@functools.lru_cache(maxsize=1024)
def _detectable_effect(seeds: int, level: float) -> float:
    """`detectable_difference` for σ_d = 1."""
    from scipy.optimize import brentq

    upper = 1.0
    while power(upper, 1.0, seeds, level) < POWER:
        upper *= 2
    return float(brentq(lambda size: power(size, 1.0, seeds, level) - POWER, 0.0, upper))


def effect_in_deviations(first: Sequence[float], second: Sequence[float]) -> float | None:
    """The mean difference in seed standard deviations: d̄ / √((s_first² + s_second²) / 2).

    It says whether a reader who trains once would notice. None below three seeds, or where no seed moves either side.
    """
    if len(first) < SEEDS_FOR_INTERVAL:
        return None
    pooled = math.sqrt((_deviation(first) ** 2 + _deviation(second) ** 2) / 2)
    return None if pooled == 0 else _mean(paired_differences(first, second)) / pooled


def verdict(theory: Sequence[float], practice: Sequence[float], better: str, level: float = LEVEL) -> str:
    """What the paired seeds say, in words.

    `better` is the metric's direction: higher, lower, one (the ratio nearest 1) or none; `level` is the level that
    the test has to beat (Holm's for a primary test, 0.05 for an exploratory one). With fewer than five seeds the
    answer is "not comparable". For a ratio, "better" is said only where the distances |value − 1| differ as well:
    0.9 and 1.1 are two values but equally good.
    """
    if len(theory) < SEEDS_FOR_VERDICT:
        return NOT_COMPARABLE
    comparison = compare(theory, practice)
    if not _below(comparison, level):
        return NOT_DISTINGUISHABLE
    if better == "one":
        distances = compare(distances_from_one(theory), distances_from_one(practice))
        if _below(distances, level):
            comparison, better = distances, "lower"
    if better not in ("higher", "lower"):
        return PRACTICE_HIGHER if comparison.difference > 0 else PRACTICE_LOWER
    return PRACTICE_BETTER if (comparison.difference > 0) == (better == "higher") else THEORY_BETTER


def distances_from_one(values: Sequence[float]) -> list[float]:
    return [abs(value - 1) for value in values]


def _below(comparison: Comparison, level: float) -> bool:
    return comparison.p_value is not None and comparison.p_value < level


def _t_test(mean: float, deviation: float, n: int) -> float:
    if deviation == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * special.stdtr(n - 1, -abs(mean) * math.sqrt(n) / deviation))


def _t_quantile(share: float, n: int) -> float:
    return float(special.stdtrit(n - 1, share))


def _mean(values: Sequence[float]) -> float:
    """Exactly rounded, so that equal rows tie whatever the order of their seeds."""
    return values[0] if min(values) == max(values) else math.fsum(values) / len(values)


def _deviation(values: Sequence[float]) -> float:
    if min(values) == max(values):
        return 0.0
    mean = _mean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))

"""Who stands before whom, and whom the seeds cannot tell apart."""

import itertools

import numpy as np

from vaebench.reporting import statistics
from vaebench.suite.comparability import SEEDS_FOR_VERDICT


def scores(values: dict[int, float], better: str) -> dict[int, float]:
    """Seed → a number that is lower where the metric is better: the value, its negative, or |value − 1|."""
    transform = {"lower": lambda x: x, "higher": lambda x: -x, "one": lambda x: abs(x - 1)}[better]
    return {seed: transform(value) for seed, value in values.items()}


def groups(ranked: list[dict[int, float]]) -> list[int | None]:
    """Which of the ranked rows (seed → score, best first) the seeds cannot tell apart: a group number for each.

    The first row leads group 1. Walking down, a row joins while its paired t test against the leader has p ≥ 0.05
    after Holm over all pairs of this ranking; else it leads the next group. None throughout where two rows share
    fewer than five seeds. Being in one group is no evidence of equality.
    """
    seeds = sorted({seed for row in ranked for seed in row})
    rows = np.array([[row.get(seed, np.nan) for seed in seeds] for row in ranked]).reshape(len(ranked), len(seeds))
    there = ~np.isnan(rows)
    shared = there.astype(np.int64) @ there.T
    if shared.min(initial=SEEDS_FOR_VERDICT) < SEEDS_FOR_VERDICT:
        return [None] * len(ranked)
    pairs = itertools.combinations(range(len(ranked)), 2)
    raw = [p_value for below in statistics.paired_p_values(rows) for p_value in below.tolist()]
    adjusted = dict(zip(pairs, statistics.holm(raw), strict=True))
    found: list[int | None] = []
    leader, group = 0, 1
    for place in range(len(ranked)):
        if place > 0 and adjusted[leader, place] < statistics.LEVEL:
            leader, group = place, group + 1
        found.append(group)
    return found

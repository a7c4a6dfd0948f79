"""How often a gate is shut for nothing, and how often it sees a shift: reruns of made-up suites by the thousand.

OMP_NUM_THREADS=1 python -m tests.reporting.gate_simulation

prints the tables of docs/gates.md.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from vaebench.reporting import statistics
from vaebench.reporting.compare import Side
from vaebench.reporting.gate import REGRESSION, Gate, gate
from vaebench.reporting.leaderboard import Leaderboard

CENTRES = {
    "elbo": -100.0,
    "log_likelihood": -95.0,
    "reconstruction.squared_error": 8.0,
    "probe_accuracy.knn": 0.9,
    "sharpness.mean_ratio": 0.98,
    "kl": 20.0,
}
"""Metric → a mean; all four directions are there."""
SPREAD = 0.01
"""Standard deviation over seeds, as a share of the mean."""
COMMON = 0.8
"""Correlation of the metrics of one model, through what they have in common."""
SEEDS = 5
ROWS = 6
SHIFT = 1.5
"""Of every power below, in standard deviations over seeds."""


@dataclass(frozen=True)
class Design:
    """A suite: so many variants and metrics, each at five seeds."""

    rows: int = ROWS
    metrics: tuple[str, ...] = tuple(CENTRES)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(row, metric, seed)"""
        return self.rows, len(self.metrics), SEEDS

    def noise(self, generator: np.random.Generator) -> np.ndarray:
        """Standard normal deviations of fresh seeds, shaped (row, metric, seed)."""
        rows, metrics, seeds = self.shape
        shared = generator.standard_normal((rows, 1, seeds))
        own = generator.standard_normal((rows, metrics, seeds))
        return np.sqrt(COMMON) * shared + np.sqrt(1 - COMMON) * own

    def values(self, deviations: np.ndarray) -> np.ndarray:
        """Numbers of the suite, shaped (row, metric, seed)."""
        centres = np.array([CENTRES[metric] for metric in self.metrics])[None, :, None]
        return centres + SPREAD * np.abs(centres) * deviations

    def side(self, values: np.ndarray, first_seed: int = 0, keep_runs: bool = True) -> Side:
        places = [(row, metric) for row in range(self.rows) for metric in range(len(self.metrics))]
        board = pd.DataFrame([self._row(row, values[row]) for row in range(self.rows)])
        runs = pd.DataFrame(
            [
                {**_place(row), "metric": self.metrics[metric], "seed": first_seed + seed, "value": value}
                for row, metric in places
                for seed, value in enumerate(values[row, metric])
            ]
        ).assign(status="done", protocol="seed=0", cell="", note="")
        return Side("simulated", Leaderboard(board), runs if keep_runs else None)

    def _row(self, row: int, values: np.ndarray) -> dict[str, object]:
        fixed = {**_place(row), "suite": "simulated", "measure": "counting", "given": "", "seeds": SEEDS, "failed": 0}
        estimates = {
            name: statistics.estimate(list(numbers)) for name, numbers in zip(self.metrics, values, strict=True)
        }
        ends = {name: (one.mean, one.low, one.high) for name, one in estimates.items()}
        numbers = {
            f"{name}{end}": value
            for name, found in ends.items()
            for end, value in zip(("", "_low", "_high"), found, strict=True)
        }
        return {**fixed, **numbers}


def _place(row: int) -> dict[str, object]:
    return {"dataset": "digits", "view": "binary", "variant": f"variant{row}"}


@dataclass(frozen=True)
class Repetition:
    """How a suite is run again although nothing about it has changed."""

    name: str
    fresh: bool = True
    """Whether the numbers are drawn anew; else they are the same to the last digit."""
    other_seeds: bool = False
    keep_runs: bool = True
    """Whether the runs of the baseline are known."""


REPETITIONS = (
    Repetition("same code, shared seeds", fresh=False),
    Repetition("other numerics without effect, shared seeds: every number is drawn anew"),
    Repetition("same code, other seeds", other_seeds=True),
    Repetition("same code, and only the leaderboard was kept", keep_runs=False),
)


def gates(repetition: Repetition, reruns: int, design: Design, seed: int) -> Iterator[Gate]:
    """Each run is held against the one before it."""
    generator = np.random.default_rng(seed)
    deviations = design.noise(generator)
    baseline = design.side(design.values(deviations))
    for rerun in range(reruns):
        deviations = design.noise(generator) if repetition.fresh else deviations
        first_seed = SEEDS * (rerun % 2 == 0) if repetition.other_seeds else 0
        now = design.side(design.values(deviations), first_seed)
        yield gate(baseline if repetition.keep_runs else replace(baseline, runs=None), now)
        baseline = now


def shifted(design: Design, generator: np.random.Generator, correlation: float, everywhere: bool, keep: bool) -> Gate:
    """A code that makes the first metric worse by SHIFT, of one row or of all; the others get fresh noise only.

    `correlation` is that of a seed's deviation before the change with the one after it.
    """
    before, fresh = design.noise(generator), design.noise(generator)
    after = correlation * before + np.sqrt(1 - correlation**2) * fresh
    after[: None if everywhere else 1, 0] -= SHIFT
    return gate(design.side(design.values(before), keep_runs=keep), design.side(design.values(after)))


def false_alarms(repetition: Repetition, reruns: int, design: Design | None = None, seed: int = 0) -> float:
    """Share of reruns with a regression, the whole suite together."""
    found = gates(repetition, reruns, design or Design(), seed)
    return _share(any(problem.kind == REGRESSION for problem in one.problems) for one in found)


def power(
    correlation: float,
    reruns: int,
    design: Design | None = None,
    everywhere: bool = False,
    keep: bool = True,
    seed: int = 0,
) -> float:
    """Share of reruns in which the shifted metric is called a regression (of all rows: in any of them)."""
    generator, design = np.random.default_rng(seed), design or Design()
    found = (shifted(design, generator, correlation, everywhere, keep) for _ in range(reruns))
    return _share(any(f" {design.metrics[0]}: " in problem.text for problem in one.problems) for one in found)


def _share(events: Iterable[bool]) -> float:
    return float(np.mean(list(events)))


def main(reruns: int = 1000) -> None:
    print(f"{reruns:,} reruns of {ROWS} variants × {len(CENTRES)} metrics × {SEEDS} seeds\n")
    print("| what is run again | reruns with any regression |\n|---|---|")
    for repetition in REPETITIONS:
        print(f"| {repetition.name} | {100 * false_alarms(repetition, reruns):.1f} % |")
    one, several, all_metrics = Design(1, ("elbo",)), Design(ROWS, ("elbo",)), Design()
    cases = (
        ("1", one, False),
        ("6", several, False),
        ("36", all_metrics, False),
        ("36, six of them shifted", all_metrics, True),
    )
    correlations = (1.0, 0.99, 0.95, 0.9, 0.5, 0.0)
    print(f"\n{SHIFT} standard deviations worse at {SEEDS} seeds, {reruns:,} reruns\n")
    print(f"| numbers tested | {' | '.join(f'ρ = {one:g}' for one in correlations)} | not paired |")
    print("|---" * (len(correlations) + 2) + "|")
    for name, design, everywhere in cases:
        found = [power(correlation, reruns, design, everywhere) for correlation in correlations]
        found.append(power(0.0, reruns, design, everywhere, keep=False))
        print(f"| {name} | {' | '.join(f'{100 * share:.0f} %' for share in found)} |", flush=True)


if __name__ == "__main__":
    main()

"""Timing that a noisy machine does not mislead: all sides in turn, round after round, judged within a round."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from scipy.stats import binom

Side = Callable[[], float | None]
"""Does its work; the seconds that count, or None where all of them do."""
FEWEST = 6
"""Rounds below which no order statistics enclose a median with 95 %: of five it lies outside all in one case of 16."""


@dataclass(frozen=True)
class Ratio:
    """One side's seconds over another's: the median over the rounds, and its 95 % interval."""

    median: float
    low: float | None
    """None, as `high`: there were too few rounds for an interval."""
    high: float | None

    @property
    def below(self) -> bool:
        """Whether the whole interval lies below 1."""
        return self.high is not None and self.high < 1

    @property
    def above(self) -> bool:
        """Whether the whole interval lies above 1."""
        return self.low is not None and self.low > 1

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.median:.3g} (–)"
        return f"{self.median:.3g} ({self.low:.3g} … {self.high:.3g})"


def judged(ratios: Sequence[float]) -> Ratio:
    """The median of the rounds' ratios, between the order statistics that lie beyond it with 2.5 % each at most, by
    the binomial law of how many fall below a median. Any distribution will do; the rounds are taken as independent."""
    if len(ratios) < FEWEST:
        return Ratio(median(ratios), None, None)
    place = int(binom.ppf(0.025, len(ratios), 0.5)) - 1
    ordered = sorted(ratios)
    return Ratio(median(ratios), ordered[place], ordered[-1 - place])


@dataclass(frozen=True)
class Rounds:
    """Side → its seconds, round by round."""

    seconds: Mapping[str, list[float]]

    def best(self, side: str) -> float:
        return min(self.seconds[side])

    def median(self, side: str) -> float:
        return median(self.seconds[side])

    def compared(self, side: str, to: str) -> Ratio:
        """One side's seconds over another's within each round: what slows a whole round down cancels."""
        return judged([one / other for one, other in zip(self.seconds[side], self.seconds[to], strict=True)])

    def ratio(self, side: str, to: str) -> float:
        return self.compared(side, to).median


def alternate(sides: Mapping[str, Side], rounds: int, warmup: int = 1) -> Rounds:
    """Every side once a round. The rounds before the first that counts warm caches and compilers up."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(-warmup, rounds):
        for name, run in sides.items():
            begun = time.perf_counter()
            counted = run()
            taken = time.perf_counter() - begun
            if number >= 0:
                seconds[name].append(taken if counted is None else counted)
    return Rounds(seconds)


def steps_lasting(seconds: float, run: Callable[[int], object]) -> int:
    """How many steps take about so long; what the first ones trace, compile and allocate does not count."""
    run(2)
    steps = 1
    while True:
        begun = time.perf_counter()
        run(steps)
        taken = time.perf_counter() - begun
        if taken >= seconds / 2:
            return max(1, round(steps * seconds / taken))
        steps *= 2


def settle(device: torch.device) -> None:
    """Wait for the device to have done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

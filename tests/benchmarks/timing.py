"""Timing that a noisy machine does not mislead: all sides in turn, round after round, judged within a round."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

Side = Callable[[], float | None]
"""Does its work; the seconds that count, or None where all of them do."""


@dataclass(frozen=True)
class Rounds:
    """Side → its seconds, round by round."""

    seconds: Mapping[str, list[float]]

    def best(self, side: str) -> float:
        return min(self.seconds[side])

    def median(self, side: str) -> float:
        return median(self.seconds[side])

    def ratio(self, side: str, to: str) -> float:
        """Median over the rounds of one side's seconds over another's: what slows a whole round down cancels."""
        pairs = zip(self.seconds[side], self.seconds[to], strict=True)
        return median(one / other for one, other in pairs)


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


def settle(device: torch.device) -> None:
    """Wait for the device to have done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

"""How the cost of a step grows: with members, batch, width, latents and the draws K of an objective.

    python -m tests.benchmarks.growth [--device cuda] [--tiny] [--write]

One quantity grows while the others stay at 784-400-400-32, batch 128, one member, K = 1. At each size the steppers and
the bare matrix products take turns. The picture shows milliseconds of a member's step over the size, the products as
the floor, and the size from which the mapped fleet no longer beats members in turn (or the other way round).
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.outcome import FOLDER, command, into_page, keep, machine, origin, table
from tests.benchmarks.timing import Rounds, alternate
from tests.benchmarks.workloads import Shape, Steps, bare_products, random_source

SIZES = {
    "members": [1, 2, 4, 8, 16, 32, 64],
    "batch": [20, 64, 128, 512, 1024, 4096],
    "hidden": [32, 100, 200, 400, 800, 1600],
    "latent": [2, 8, 32, 128, 512],
    "samples": [1, 5, 20, 50],
}
TINY = {name: sizes[:2] for name, sizes in SIZES.items()}
FLEET = 5
"""Members where another quantity than their number grows."""
PATHS = {"in turn": "in-turn", "mapped": "mapped"}
FLOOR = "products"


@dataclass(frozen=True)
class Point:
    """One size of one quantity."""

    quantity: str
    size: int
    milliseconds: dict[str, float]
    """Path → of a member's step; the bare products as `products`."""

    @property
    def best(self) -> str:
        return min(PATHS, key=lambda path: self.milliseconds[path])


def measured(quantity: str, size: int, device: torch.device, rounds: int, seconds: float) -> Point:
    shape = replace(Shape(members=FLEET), **{quantity: size})
    source = random_source(max(4096, shape.batch), device=device)
    fleets = {path: Steps(shape, source, stepper) for path, stepper in PATHS.items()}
    bare = bare_products(shape, device, mapped=device.type == "cuda")
    once = fleets["in turn"](1) * shape.members
    steps = max(1, min(200, int(seconds / max(once, 1e-6))))
    sides = {path: (lambda fleet=fleet: fleet(steps)) for path, fleet in fleets.items()}  # type: ignore[misc]
    taken: Rounds = alternate({**sides, FLOOR: lambda: bare(steps)}, rounds)
    return Point(quantity, size, {path: 1e3 * taken.median(path) for path in (*PATHS, FLOOR)})


def turning_point(points: Sequence[Point]) -> int | None:
    """The first size at which the faster path is another than at the size before; None where it never changes."""
    changes = (after.size for before, after in pairwise(points) if before.best != after.best)
    return next(changes, None)


def growth_table(points: Sequence[Point]) -> str:
    rows = [
        [
            point.quantity,
            point.size,
            *(point.milliseconds[path] for path in (*PATHS, FLOOR)),
            point.milliseconds[point.best] / point.milliseconds[FLOOR],
            point.milliseconds["in turn"] / point.milliseconds["mapped"],
        ]
        for point in points
    ]
    heads = ["grows", "size", "in turn (ms)", "mapped (ms)", "products (ms)", "best × products", "in turn ÷ mapped"]
    return table(heads, rows)


def picture(points: Sequence[Point], file: Any) -> None:
    from matplotlib.figure import Figure

    quantities = list(dict.fromkeys(point.quantity for point in points))
    figure = Figure(figsize=(3.2 * len(quantities), 3.4), layout="constrained")
    for axes, quantity in zip(figure.subplots(1, len(quantities), squeeze=False)[0], quantities, strict=True):
        own = [point for point in points if point.quantity == quantity]
        for path in (*PATHS, FLOOR):
            style = "--" if path == FLOOR else ".-"
            axes.loglog([point.size for point in own], [point.milliseconds[path] for point in own], style, label=path)
        if (turn := turning_point(own)) is not None:
            axes.axvline(turn, color="#999", linewidth=0.8)
            axes.text(turn, axes.get_ylim()[1], f" {own[-1].best}\n from here", fontsize=7, va="top")
        axes.set_xlabel(quantity)
    axes.legend(fontsize=7)
    figure.axes[0].set_ylabel("ms of a member's step")
    figure.savefig(file)


def measure(device: torch.device, sizes: dict[str, list[int]], rounds: int, seconds: float) -> list[Point]:
    return [measured(quantity, size, device, rounds, seconds) for quantity, chosen in sizes.items() for size in chosen]


def turning_points(points: Sequence[Point]) -> str:
    """In words, where the faster path changes."""
    said = []
    for quantity in dict.fromkeys(point.quantity for point in points):
        own = [point for point in points if point.quantity == quantity]
        turn = turning_point(own)
        said.append(
            f"{quantity}: {own[0].best} throughout" if turn is None else f"{quantity}: {own[-1].best} from {turn}"
        )
    return "; ".join(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="about so long is a side of a round")
    parser.add_argument("--tiny", action="store_true", help="two sizes each, to see that it runs")
    parser.add_argument("--write", action="store_true", help="table and picture into docs/performance.md")
    options = parser.parse_args()
    where, how = machine(), command("tests.benchmarks.growth")
    points = measure(torch.device(options.device), TINY if options.tiny else SIZES, options.rounds, options.seconds)
    text = f"{growth_table(points)}\nThe faster path: {turning_points(points)}. {origin(where, how)}"
    print(text)
    if options.write:
        keep("growth", {"machine": where, "command": how, "points": [vars(point) for point in points]}, FOLDER)
        picture(points, Path(FOLDER) / "growth.svg")
        into_page("growth", text)


if __name__ == "__main__":
    main()

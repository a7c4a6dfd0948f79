"""How the cost of a step grows, and where a fleet pays: with members, batch, width, latents and the draws K.

    python -m tests.benchmarks.growth [--device cuda] [--tiny] [--write]

One quantity grows while the others stay at 784-400-400-32, batch 128, five members, K = 1. At each size four sides take
turns: one member alone, by the path that training takes on this device; the fleet in turn; the fleet mapped; and the
bare matrix products. All are milliseconds of a member's step, traced, so that a fleet pays where it is below the member
alone: it is then faster than training the members one by one.

What is said of a size rests on the median over the rounds of a ratio: of the better fleet, by its own median, to the
member alone, and of the mapped fleet to the one in turn. Where the 95 % interval holds 1, or there were too few rounds
for one, it cannot be told; where there is no difference, one size in twenty is told at most, and wrongly. A vertical
line stands in the picture where an answer is followed by the other one, dotted of mapped and in turn; a full mark is a
fleet that pays.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tests.benchmarks.outcome import FOLDER, command, into_page, keep, machine, origin, table
from tests.benchmarks.timing import Ratio, Rounds, alternate, steps_lasting
from tests.benchmarks.workloads import Shape, Steps, bare_products, random_source
from vaebench.training.steppers import best_stepper

SIZES = {
    "members": [1, 2, 4, 8, 16, 32, 64],
    "batch": [20, 64, 128, 512, 1024, 4096],
    "hidden": [32, 100, 200, 400, 800, 1600],
    "latent": [2, 8, 32, 128, 512],
    "samples": [1, 5, 20, 50],
}
TINY = {name: sizes[:2] for name, sizes in SIZES.items()}
MEMBERS = 5
"""Where another quantity than their number grows."""
ALONE = "alone"
FLEETS = {"in turn": "in-turn", "mapped": "mapped"}
FLOOR = "products"
LINES = {ALONE: ("#5c6670", "^"), "in turn": ("#d55e00", "s"), "mapped": ("#0072b2", "o")}
"""Side → colour and mark in the picture."""
TICKS = (1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 7.0)


@dataclass(frozen=True)
class Point:
    """One size of one quantity."""

    quantity: str
    size: int
    milliseconds: dict[str, float]
    """Side → of a member's step."""
    best: str
    """The fleet whose median is the least."""
    to_alone: Ratio
    """Of the best fleet."""
    to_turn: Ratio
    """Of the mapped fleet to the fleet in turn."""
    to_floor: float
    """Of the best fleet."""


class Question(NamedTuple):
    """What is asked of every size."""

    ratio: str
    of: Callable[[Point], Ratio]
    below: str
    """The answer where the ratio is below 1."""
    above: str
    """Where it is above."""
    line: str
    """Its style in the picture, where the answer changes."""


QUESTIONS = (
    Question("best fleet ÷ alone", lambda point: point.to_alone, "a fleet pays", "a member alone is faster", "-"),
    Question("mapped ÷ in turn", lambda point: point.to_turn, "mapped is faster", "in turn is faster", ":"),
)
UNTOLD = "cannot be told"


def measured(quantity: str, size: int, device: torch.device, rounds: int, seconds: float) -> Point:
    shape = replace(Shape(members=MEMBERS), **{quantity: size})  # type: ignore[arg-type]
    runs = sides(shape, device)
    steps = {name: steps_lasting(seconds, run) for name, run in runs.items()}
    return point_of(quantity, size, alternate({name: partial(run, steps[name]) for name, run in runs.items()}, rounds))


def sides(shape: Shape, device: torch.device) -> dict[str, Callable[[int], float]]:
    """Name → from steps to seconds of a member's step."""
    source = random_source(max(4096, shape.batch), device=device)
    fleets = {name: Steps(shape, source, stepper) for name, stepper in FLEETS.items()}
    alone = Steps(replace(shape, members=1), source, best_stepper(device))
    return {ALONE: alone, **fleets, FLOOR: bare_products(shape, device, mapped=device.type == "cuda")}


def point_of(quantity: str, size: int, taken: Rounds) -> Point:
    best = min(FLEETS, key=taken.median)
    return Point(
        quantity,
        size,
        {name: 1e3 * taken.median(name) for name in taken.seconds},
        best,
        taken.compared(best, ALONE),
        taken.compared("mapped", "in turn"),
        taken.ratio(best, FLOOR),
    )


def answer(question: Question, point: Point) -> str:
    ratio = question.of(point)
    return question.below if ratio.below else question.above if ratio.above else UNTOLD


def turning_points(question: Question, points: Sequence[Point]) -> list[tuple[int, str]]:
    """Sizes at which an answer is another than the last one that could be told, and that answer."""
    told = [(point.size, answer(question, point)) for point in points if answer(question, point) != UNTOLD]
    return [after for before, after in pairwise(told) if before[1] != after[1]]


def by_quantity(points: Sequence[Point]) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for point in points:
        found.setdefault(point.quantity, []).append(point)
    return found


def in_words(points: Sequence[Point]) -> str:
    """A line for each quantity and question: the sizes with each answer."""
    lines = []
    for quantity, own in by_quantity(points).items():
        for question in QUESTIONS:
            said = []
            for wanted in (question.below, question.above, UNTOLD):
                sizes = [str(point.size) for point in own if answer(question, point) == wanted]
                said += [f"{wanted} at {', '.join(sizes)}"] if sizes else []
            lines.append(f"- {quantity}, {question.ratio}: {'; '.join(said)}.\n")
    return "".join(lines)


def growth_table(points: Sequence[Point]) -> str:
    names = (ALONE, *FLEETS, FLOOR)
    rows = [
        [
            point.quantity,
            point.size,
            *(point.milliseconds[name] for name in names),
            point.to_floor,
            point.best,
            *(question.of(point) for question in QUESTIONS),
        ]
        for point in points
    ]
    heads = ["best × products", "best fleet", *(question.ratio for question in QUESTIONS)]
    return table(["grows", "size", *(f"{name} (ms)" for name in names), *heads], rows)


def picture(points: Sequence[Point], file: Any) -> None:
    """Every side over the bare products of its size, whose floor is the line at 1; full marks where the answer against
    a member alone is clear."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter

    quantities = by_quantity(points)
    figure = Figure(figsize=(9.0, 5.6), layout="constrained")
    grid = figure.subplots(2, 3, squeeze=False).flat
    for axes, (quantity, own) in zip(grid, quantities.items(), strict=False):
        sizes = [point.size for point in own]
        for name, (colour, marker) in LINES.items():
            ratios = [point.milliseconds[name] / point.milliseconds[FLOOR] for point in own]
            axes.plot(sizes, ratios, color=colour, linewidth=1.4, label=name)
            for point, ratio in zip(own, ratios, strict=True):
                clear = name == point.best and answer(QUESTIONS[0], point) == QUESTIONS[0].below
                face = colour if clear else "white"
                axes.plot(point.size, ratio, marker, color=colour, markerfacecolor=face, markersize=5)
        axes.axhline(1.0, color="#5c6670", linestyle="--", linewidth=1.2, label="bare products")
        for question in QUESTIONS:
            for size, _ in turning_points(question, own):
                axes.axvline(size, color="#5c6670", linewidth=0.8, linestyle=question.line)
        axes.set_xscale("log")
        axes.set_xticks(sizes, labels=[f"{size:,}" for size in sizes], fontsize=8)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
        top = max(point.milliseconds[name] / point.milliseconds[FLOOR] for point in own for name in LINES)
        axes.set_yticks(*[[tick for tick in TICKS if tick <= 1.2 * top]])
        axes.set_xlabel(quantity)
    rest = list(figure.axes)[len(quantities) :]
    for axes in rest:
        axes.set_axis_off()
    handles, labels = figure.axes[0].get_legend_handles_labels()
    rest[0].legend(handles, labels, loc="center", frameon=False, title="a member's step ÷ its bare products")
    figure.savefig(file)


def measure(device: torch.device, sizes: dict[str, list[int]], rounds: int, seconds: float) -> list[Point]:
    return [measured(quantity, size, device, rounds, seconds) for quantity, chosen in sizes.items() for size in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=7, help="six at least, for an interval")
    parser.add_argument("--seconds", type=float, default=0.3, help="about so long is a side of a round")
    parser.add_argument("--tiny", action="store_true", help="two sizes each, to see that it runs")
    parser.add_argument("--write", action="store_true", help="table and picture into docs/performance.md")
    options = parser.parse_args()
    where, how = machine(), command("tests.benchmarks.growth")
    points = measure(torch.device(options.device), TINY if options.tiny else SIZES, options.rounds, options.seconds)
    text = f"{growth_table(points)}\n{in_words(points)}\n{options.rounds} rounds. {origin(where, how)}"
    print(text)
    if options.write:
        keep("growth", {"machine": where, "command": how, "points": [asdict(point) for point in points]}, FOLDER)
        picture(points, Path(FOLDER) / "growth.svg")
        into_page("growth", text)


if __name__ == "__main__":
    main()

"""Which stepper and which path a device is served best by: members in turn or mapped, plain, traced or compiled.

    python -m tests.benchmarks.steppers [--device cuda] [--no-compile] [--write]

Small, middle and large networks and batches, each path in turn with the others, round after round. The last line says
what `vaebench.training.steppers.best_stepper` should answer for this device, beside what it answers now. What a stepper
costs is the geometric mean over the workloads of the ratio of its best path there to the bare products; a ratio is the
median over the rounds.
"""

import argparse
from functools import partial
from statistics import geometric_mean

import torch

from tests.benchmarks.outcome import FOLDER, command, into_page, keep, machine, origin, table
from tests.benchmarks.timing import Rounds, alternate, steps_lasting
from tests.benchmarks.workloads import PATHS, Shape, Steps, bare_products, random_source
from vaebench.training import steppers

WORKLOADS = {
    "784-64-64-8, batch 64, 5 members": Shape(5, hidden=64, latent=8, batch=64),
    "784-400-400-32, batch 128, 1 member": Shape(1),
    "784-400-400-32, batch 128, 5 members": Shape(5),
    "784-400-400-32, batch 128, 10 members": Shape(10),
    "784-1000-1000-50, batch 256, 5 members": Shape(5, hidden=1000, latent=50, batch=256),
}
FLOOR = "products"


def fleets(shape: Shape, device: torch.device, compiled: bool) -> dict[str, Steps]:
    """By the name of their path."""
    source = random_source(4096, device=device)
    return {
        f"{stepper}, {path}": Steps(shape, source, stepper, path)
        for stepper in steppers.STEPPERS
        for path in PATHS
        if compiled or path != "compiled"
    }


def measure(shape: Shape, device: torch.device, rounds: int, seconds: float, compiled: bool) -> Rounds:
    made = fleets(shape, device, compiled)
    bare = bare_products(shape, device, mapped=device.type == "cuda")
    for fleet in made.values():
        fleet(2)
    steps = steps_lasting(seconds, made["in-turn, plain"])
    sides = {name: partial(fleet, steps) for name, fleet in made.items()}
    return alternate({**sides, FLOOR: partial(bare, steps)}, rounds)


def verdict(taken: dict[str, Rounds], device: torch.device) -> str:
    """The stepper whose best path costs the least over the workloads, in ratios to the bare products."""
    costs = {
        stepper: geometric_mean(
            min(rounds.ratio(path, FLOOR) for path in rounds.seconds if path.startswith(f"{stepper},"))
            for rounds in taken.values()
        )
        for stepper in steppers.STEPPERS
    }
    said = ", ".join(f"{stepper} {cost:.2f} × the products" for stepper, cost in costs.items())
    best = min(costs, key=lambda stepper: costs[stepper])
    return f"{said}: best_stepper for {device.type} should be `{best}`; it is `{steppers.best_stepper(device)}`."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="about so long is a side of a round")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="the smallest workload alone, to see that it runs")
    parser.add_argument("--write", action="store_true", help="the table into docs/performance.md")
    options = parser.parse_args()
    device, where, how = torch.device(options.device), machine(), command("tests.benchmarks.steppers")
    chosen = dict(list(WORKLOADS.items())[:1]) if options.tiny else WORKLOADS
    taken = {
        name: measure(shape, device, options.rounds, options.seconds, not options.no_compile)
        for name, shape in chosen.items()
    }
    columns = list(next(iter(taken.values())).seconds)
    rows = [
        [name, *(rounds.ratio(path, FLOOR) for path in columns[:-1]), 1e3 * rounds.median(FLOOR)]
        for name, rounds in taken.items()
    ]
    heads = ["a member's step, × its bare products", *columns[:-1], "products (ms)"]
    text = f"{table(heads, rows)}\n{verdict(taken, device)} {origin(where, how)}"
    print(text)
    if options.write:
        seconds = {name: dict(rounds.seconds) for name, rounds in taken.items()}
        keep("steppers", {"machine": where, "command": how, "seconds": seconds}, FOLDER)
        into_page("steppers", text)


if __name__ == "__main__":
    main()

"""Where the time of a training step goes, beside the matrix products.

    python -m tests.benchmarks.profiling [--view binary] [--threads 1] [--write]

One member, five in turn and five mapped, plain, traced and compiled, take turns, round after round; each number is a
median over the rounds. Milliseconds are those of the wall without the profiler. Kernels are torch.profiler's events, by
the time that is their own, so none is counted twice; what inductor has fused has events too, since it is compiled here
to tell of its kernels. Adam is with its Python; random bits are the kernels that nothing but drawing calls, and its
sums and products are among the others. `the rest` is the time of the step without all these: Python between operators,
such as distributions, autograd's bookkeeping, the loop, and the calls of a compiled program. The profiler adds some
tenths of a microsecond to every kernel, which the rest is short of.
"""

import argparse
from collections import Counter
from dataclasses import dataclass
from statistics import median

import torch
from torch.profiler import ProfilerActivity, profile

from tests.benchmarks.outcome import FOLDER, command, into_page, keep, machine, origin, table
from tests.benchmarks.workloads import PATHS, Shape, Steps, random_source
from vaebench.data.views import VIEWS
from vaebench.training.programs import missing_for_compiling

KINDS = {
    "products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"),
    "Adam": ("aten::_fused_adam_", "aten::_foreach_add_", "Optimizer.step#Adam.step"),
    "random bits": (
        "aten::__rshift__",
        "aten::bitwise_xor_",
        "aten::bitwise_and_",
        "aten::bitwise_and",
        "aten::arange",
        "aten::cos",
        "aten::sin",
        "aten::log_",
    ),
    "softplus": ("aten::softplus", "aten::softplus_backward"),
    "copies": ("aten::copy_", "aten::cat", "aten::index_select", "aten::stack", "aten::clone"),
}
FUSED, OTHERS, REST = "fused", "other kernels", "the rest"
COLUMNS = (*KINDS, FUSED, OTHERS, REST)
FLEETS = {
    "one member": (1, "in-turn"),
    "five in turn": (5, "in-turn"),
    "five mapped": (5, "mapped"),
}


@dataclass(frozen=True)
class Seen:
    """A member's step in one round."""

    seconds: float
    """Of the wall, without the profiler."""
    kinds: dict[str, float]
    """Kind of kernel → seconds of the wall."""

    @property
    def shares(self) -> dict[str, float]:
        known = {kind: self.kinds.get(kind, 0.0) / self.seconds for kind in (*KINDS, FUSED, OTHERS)}
        return {**known, REST: 1.0 - sum(known.values())}


def kind_of(event: str) -> str | None:
    """None: no kernel, but what encloses some, such as the call of a compiled program."""
    for kind, names in KINDS.items():
        if event in names:
            return kind
    if "_fused_" in event and not event.startswith("aten::"):
        return FUSED
    return OTHERS if event.startswith("aten::") else None


def kernels(run: Steps, steps: int) -> dict[str, float]:
    """Kind → seconds of a member's step."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        run(steps)
    found: Counter[str] = Counter()
    for event in profiled.key_averages():
        if kind := kind_of(event.key):
            found[kind] += 1e-6 * event.self_cpu_time_total / steps / run.shape.members
    return dict(found)


def fleets(view: str, compiled: bool) -> dict[str, Steps]:
    """By fleet and path, after their first steps."""
    source = random_source(12_800, view)
    made = {
        f"{name}, {path}": Steps(Shape(members), source, stepper, path)
        for name, (members, stepper) in FLEETS.items()
        for path in PATHS
        if compiled or path != "compiled"
    }
    with torch._inductor.config.patch({"cpp.enable_kernel_profile": True}):
        for run in made.values():
            run(2)
    return made


def measure(made: dict[str, Steps], rounds: int, steps: int) -> dict[str, list[Seen]]:
    """Every fleet once a round, without the profiler and then with it."""
    found: dict[str, list[Seen]] = {name: [] for name in made}
    for _ in range(rounds):
        for name, run in made.items():
            found[name].append(Seen(run(steps), kernels(run, steps)))
    return found


def row(name: str, rounds: list[Seen]) -> list[str | float]:
    shares = [f"{median(seen.shares[kind] for seen in rounds):.0%}" for kind in COLUMNS]
    return [name, 1e3 * median(seen.seconds for seen in rounds), *shares]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--view", default="binary", choices=[name for name in VIEWS if name != "real"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=40, help="of a fleet in a round, with the profiler and without")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--write", action="store_true", help="the table into docs/performance.md")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    where, how = machine(), command("tests.benchmarks.profiling")
    compiled = not options.no_compile and missing_for_compiling(torch.device("cpu")) is None
    found = measure(fleets(options.view, compiled), options.rounds, options.steps)
    heads = ["fleet", "ms of a member's step", *COLUMNS]
    what = f"View {options.view}, {options.rounds} rounds of {options.steps} steps."
    text = f"{table(heads, [row(name, rounds) for name, rounds in found.items()])}\n{what} {origin(where, how)}"
    print(text)
    if options.write:
        numbers = {name: [vars(seen) for seen in rounds] for name, rounds in found.items()}
        keep("profile", {"machine": where, "command": how, "fleets": numbers}, FOLDER)
        into_page("profile", text)


if __name__ == "__main__":
    main()

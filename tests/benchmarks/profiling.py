"""Where the time of a training step goes, beside the matrix products.

    python -m tests.benchmarks.profiling [--write]

Shares of the processor's time by kind of kernel, from torch.profiler, of one member, five in turn and five mapped,
plain, traced and compiled; `the rest` is what no kernel of torch's accounts for: distributions, autograd's bookkeeping,
the loop, and of a compiled step all that was fused.
"""

import argparse
import time
from unittest import mock

from torch.profiler import ProfilerActivity, profile

from tests.benchmarks.outcome import command, into_page, machine, origin, table
from tests.benchmarks.workloads import Shape, Steps, random_source
from vaebench.training import steppers

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
FLEETS = {
    "one member": (1, "in-turn"),
    "five in turn": (5, "in-turn"),
    "five mapped": (5, "mapped"),
}
STEPS = 40


def shares(members: int, stepper: str, path: str) -> list[float]:
    """Milliseconds of a member's step without the profiler, then the share of each kind."""
    limit = float("inf") if path == "plain" else 1
    with mock.patch.object(steppers, "TRACED_STEPS", limit):
        fleet = Steps(Shape(members), random_source(12_800), stepper, path == "compiled")
    fleet(20)
    begun = time.process_time()
    fleet(STEPS)
    taken = time.process_time() - begun
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        fleet(STEPS)
    events = profiled.key_averages()
    kernels = sum(event.self_cpu_time_total for event in events if event.key.startswith("aten::"))
    spent = [sum(event.self_cpu_time_total for event in events if event.key in names) for names in KINDS.values()]
    total = sum(event.self_cpu_time_total for event in events)
    known = sum(spent)
    others = max(0.0, kernels - known)
    return [1e3 * taken / STEPS / members, *(part / total for part in (*spent, others, total - known - others))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="the table into docs/performance.md")
    options = parser.parse_args()
    rows = []
    for name, (members, stepper) in FLEETS.items():
        for path in ("plain", "traced", "compiled"):
            first, *rest = shares(members, stepper, path)
            rows.append([f"{name}, {path}", first, *(f"{part:.0%}" for part in rest)])
    heads = ["fleet", "ms of a member's step", *KINDS, "other kernels", "the rest"]
    text = f"{table(heads, rows)}\nProcessor time. {origin(machine(), command('tests.benchmarks.profiling'))}"
    print(text)
    if options.write:
        into_page("profile", text)


if __name__ == "__main__":
    main()

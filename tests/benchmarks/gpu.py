"""Points 3 to 7 of the goals on a GPU, in one command of under nine minutes.

    python -m tests.benchmarks.gpu --out speed-gpu          # writes speed-gpu.json and speed-gpu.md
    python -m tests.benchmarks.gpu --device cpu --tiny      # runs to the end anywhere, to see that it does

The floors come first: matrix products a second and bytes a second as measured here. Then, each beside its goal: ten
members against one, and their step against the larger of its two floors; what the host waits for while it steps;
compiling, in this process, again, and in a fresh one; log_likelihood against its products; memory as predicted and as
held; pythae's model-epochs; and growth.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from tests.benchmarks import growth, peers
from tests.benchmarks.outcome import command, machine, origin, table
from tests.benchmarks.timing import alternate, settle
from tests.benchmarks.workloads import Shape, Steps, bare_products, decoder_products, random_source
from vaebench.metrics.log_likelihood import evaluate as log_likelihood
from vaebench.metrics.subject import Subject
from vaebench.training.memory import member_bytes
from vaebench.training.programs import missing_for_compiling

LIMIT_SECONDS = 520
"""Nothing new is begun after so long."""
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "aten::_local_scalar_dense")
MOVES_A_STEP = 8
"""Times that a parameter's bytes are read or written by a step: the gradient is written, and Adam reads parameter,
gradient and two moments and writes all but the gradient."""
Row = tuple[str, float | str, str]
"""What, how much, the goal."""


def floors(device: torch.device, tiny: bool) -> dict[str, float]:
    """Floating-point operations a second of large products, and bytes a second of a copy."""
    size = 512 if tiny else 8192
    found = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        found[name] = 2.0 * size**3 / best_of(lambda a=a, b=b: a @ b, device)  # type: ignore[misc]
    x = torch.randn((1 << 22) if tiny else (1 << 28), device=device)
    y = torch.empty_like(x)
    found["bytes"] = 2.0 * x.nbytes / best_of(lambda: y.copy_(x), device)
    return found


def best_of(run: Callable[[], Any], device: torch.device, times: int = 10) -> float:
    seconds = []
    for _ in range(times + 2):
        settle(device)
        begun = time.perf_counter()
        run()
        settle(device)
        seconds.append(time.perf_counter() - begun)
    return min(seconds[2:])


def members(device: torch.device, found: dict[str, float], steps: int, rounds: int, compiled: bool) -> list[Row]:
    """Goal 3: ten members in the time of one, near the floors."""
    source = random_source(12_800, device=device)
    one, ten, launched = (Steps(Shape(count), source, "mapped", compiled) for count in (1, 10, 10))
    for program in launched.stepper.programs:
        program.record = None
    bare = bare_products(Shape(10), device, mapped=True)
    taken = alternate(
        {
            "one": lambda: one(steps),
            "ten": lambda: 10 * ten(steps),
            "launched": lambda: 10 * launched(steps),
            "products": lambda: 10 * bare(steps),
        },
        rounds,
    )
    shape = Shape(10)
    traffic = MOVES_A_STEP * 4.0 * shape.parameters * 10 / found["bytes"]
    floor = max(shape.operations / found["float32"], traffic)
    path = "compiled" if compiled else "traced"
    return [
        (f"ten members against one ({path})", taken.ratio("ten", "one"), "at most 1.5"),
        (f"step of ten, ms ({path})", 1e3 * taken.median("ten"), ""),
        (f"step of ten against the larger floor ({path})", taken.median("ten") / floor, "at most 2"),
        (
            f"step of ten, launched by kernel against recorded ({path})",
            taken.ratio("launched", "ten"),
            "",
        ),
        (f"step of ten against its own products, measured ({path})", taken.ratio("ten", "products"), ""),
        ("floor of products, ms", 1e3 * shape.operations / found["float32"], ""),
        ("floor of traffic, ms", 1e3 * traffic, ""),
    ]


def waits(device: torch.device) -> list[Row]:
    """Goal 3: while it steps, the host waits for nothing."""
    if device.type == "cpu":
        return [("waits of the host", "the host computes here", "0")]
    fleet = Steps(Shape(10), random_source(12_800, device=device), "mapped")
    fleet(60)
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    few, many = (counted(lambda steps=steps: fleet(steps), activities) for steps in (5, 45))  # type: ignore[misc]
    return [("waits of the host in 40 steps more", float(many - few), "0")]


def counted(run: Callable[[], Any], activities: list[ProfilerActivity]) -> int:
    with profile(activities=activities) as profiled:
        run()
    return sum(event.count for event in profiled.key_averages() if event.key in WAITS)


def pythae(device: torch.device, tiny: bool) -> list[Row]:
    """Goal 3: model-epochs a second against pythae's on the same device."""
    if not peers.has_pythae():
        return [("model-epochs a second against pythae", "pythae is not installed", "at least 100")]
    images = 1280 if tiny else 12_800
    source = random_source(images, "threshold", device)
    steps = images // 128
    fleet = Steps(Shape(10), source, "mapped", missing_for_compiling(device) is None and not tiny)
    fleet(20)
    ours = fleet(steps) * steps
    theirs, _ = peers.by_pythae(source, 1)
    return [("model-epochs a second against pythae", theirs / ours, "at least 100")]


FIRST_STEP = """
import sys, time, torch
from tests.benchmarks.workloads import Shape, Steps, random_source
fleet = Steps(Shape(int(sys.argv[2])), random_source(1280, device=torch.device(sys.argv[1])), "mapped", compiled=True)
fleet(1)
print(sum(program.seconds for program in fleet.stepper.programs))
"""


def compiling(device: torch.device, tiny: bool) -> list[Row]:
    """Goal 4: what compiling costs, and costs again."""
    if missing := missing_for_compiling(device):
        return [("compiling", f"{missing} is missing", "")]
    count = 2 if tiny else 10
    source = random_source(1280, device=device)

    def first_step() -> float:
        fleet = Steps(Shape(count), source, "mapped", compiled=True)
        fleet(1)
        return sum(program.seconds for program in fleet.stepper.programs)

    first, second = first_step(), first_step()
    asked = [sys.executable, "-c", FIRST_STEP, str(device), str(count)]
    fresh = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[-1]
    return [
        ("compiling a fleet, seconds (0 to 2: it was in the cache)", first, ""),
        ("a second fleet of that shape, seconds", second, ""),
        ("the same in a fresh process, seconds", float(fresh), ""),
        ("share of compiling in 60 fleets of 60 s", (first + 59 * second) / 3600.0, "under 0.15"),
    ]


def evaluation(device: torch.device, tiny: bool) -> list[Row]:
    """Goal 5: ten members' log_likelihood against the products of their decoders."""
    images, samples, count = (50, 20, 2) if tiny else (10_000, 5000, 10)
    source = random_source(images, "threshold", device)
    fleet = Steps(Shape(count), source, "in-turn")
    protocol = {"split": "test", "seed": 0, "samples": samples, "images": images}
    subjects = [Subject(member.system.get_submodule("model").eval(), source) for member in fleet.members]  # type: ignore[arg-type]
    rows = subjects[0].rows
    blocks = [min(rows, images * samples - first) for first in range(0, images * samples, rows)]
    shown = max(1, len(blocks) // 50)
    bare = decoder_products(Shape(), blocks[:shown], device)
    floor = best_of(bare, device, 3) * len(blocks) / shown * count
    begun = time.perf_counter()
    with torch.no_grad():
        for subject in subjects:
            log_likelihood(subject, protocol)
    settle(device)
    taken = time.perf_counter() - begun
    what = f"log_likelihood, K = {samples}, {images:,} images, {count} members"
    return [(f"{what}: seconds", taken, ""), (f"{what}: against its products", taken / floor, "at most 2")]


def memory(device: torch.device) -> list[Row]:
    """Goal 6: the prediction against what the device held."""
    if device.type != "cuda":
        return [("predicted memory against the peak", "this device keeps no count", "0.8 to 1.2")]
    rows: list[Row] = []
    for name, shape in {"ten members": Shape(10), "ten, batch 4096": Shape(10, batch=4096)}.items():
        source = random_source(8192, device=device)
        source.training_content("split")
        lasting, working = member_bytes(shape.cells()[0], source)
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        fleet = Steps(shape, source, "mapped")
        fleet(3)
        peak = torch.cuda.max_memory_allocated(device) - before
        rows.append(
            (f"predicted memory against the peak, {name}", shape.members * (lasting + working) / peak, "0.8 to 1.2")
        )
        del fleet
    return rows


def sections(
    device: torch.device, tiny: bool, found: dict[str, float]
) -> Iterator[tuple[str, Callable[[], list[Row]]]]:
    steps, rounds = (5, 2) if tiny else (200, 7)
    yield "members", lambda: members(device, found, steps, rounds, False)
    if missing_for_compiling(device) is None and not tiny:
        yield "members, compiled", lambda: members(device, found, steps, rounds, True)
    yield "waits", lambda: waits(device)
    yield "compiling", lambda: compiling(device, tiny)
    yield "evaluation", lambda: evaluation(device, tiny)
    yield "memory", lambda: memory(device)
    yield "pythae", lambda: pythae(device, tiny)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path("speed-gpu"), help="name of the two files, without ending")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to see that it runs")
    options = parser.parse_args()
    device, begun, where, how = (
        torch.device(options.device),
        time.monotonic(),
        machine(),
        command("tests.benchmarks.gpu"),
    )
    found = floors(device, options.tiny)
    print(f"floors: {found['float32'] / 1e12:.3g} TFLOP/s in float32, {found['bfloat16'] / 1e12:.3g} in bfloat16, ")
    print(f"        {found['bytes'] / 1e9:.3g} GB/s", flush=True)
    rows: list[Row] = [(f"floor: {name} a second", value, "") for name, value in found.items()]
    for name, measure in sections(device, options.tiny, found):
        if time.monotonic() - begun > LIMIT_SECONDS:
            rows.append((name, "not begun: the time was over", ""))
            continue
        print(f"{time.monotonic() - begun:5.0f} s  {name}", flush=True)
        rows += measure()
    points: list[growth.Point] = []
    for quantity, sizes in (growth.TINY if options.tiny else growth.SIZES).items():
        for size in sizes:
            if time.monotonic() - begun < LIMIT_SECONDS:
                points.append(growth.measured(quantity, size, device, 2 if options.tiny else 5, 0.05))
    text = f"{table(['what', 'measured', 'goal'], rows)}\n{growth.growth_table(points)}\n"
    text += f"The faster path: {growth.turning_points(points)}. {origin(where, how)}"
    print(text)
    numbers = {"machine": where, "command": how, "rows": rows, "growth": [vars(point) for point in points]}
    options.out.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    options.out.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

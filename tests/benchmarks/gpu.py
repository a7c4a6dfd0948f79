"""The goals on a GPU, in one command of nine minutes at most.

    python -m tests.benchmarks.gpu --out speed-gpu          # writes speed-gpu.json and speed-gpu.md
    python -m tests.benchmarks.gpu --device cpu --tiny      # runs to the end anywhere, to see that it does

Each number stands beside what it is held against, and its goal. The floors come first: matrix products a second and
bytes a second as measured here. Then ten members against one, and their step against the larger of its two floors; what
the host waits for while it steps and while a fleet trains; log_likelihood against its products; memory as predicted and
as held; compiling, in a process that finds nothing cached, again, and in a fresh one; whole trainings against pythae's;
and growth.

Both files are written whole after every section, so what ends early loses nothing. A section that fails is a row with
its error, and the next one begins; the exit code is then 1. A section that would not end within the limit is left out
and says so; `--only` measures it later.
"""

import argparse
import gc
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tests.benchmarks import growth, peers
from tests.benchmarks.outcome import HERE, command, machine, origin, table
from tests.benchmarks.timing import Ratio, alternate, settle
from tests.benchmarks.workloads import Shape, Steps, bare_products, decoder_products, random_source, taking
from vaebench.metrics.log_likelihood import evaluate as log_likelihood
from vaebench.metrics.subject import Subject
from vaebench.store.files import write_text
from vaebench.training.fleet import Surroundings, train_fleet
from vaebench.training.memory import demand
from vaebench.training.programs import missing_for_compiling

LIMIT_SECONDS = 540
MOVES_A_STEP = 8
"""Times that a parameter's bytes are read or written by a step: the gradient is written, and Adam reads parameter,
gradient and two moments and writes all but the gradient."""
SHOWN = 2000
"""Characters of what a process said before it failed."""
MEBI = 1 << 20


@dataclass(frozen=True)
class Scale:
    """How much is measured; the defaults are the page's network on a GPU."""

    one: Shape = field(default_factory=Shape)
    members: int = 10
    steps: int = 200
    rounds: int = 7
    product: int = 8192
    copied: int = 1 << 28
    scored: int = 10_000
    """Images of the evaluation."""
    samples: int = 5000
    """K of the evaluation."""
    trained: int = 12_800
    """Images an epoch beside pythae."""
    epochs: int = 10
    sizes: Mapping[str, list[int]] = field(default_factory=lambda: growth.SIZES)
    seconds: float = 0.05
    """Of a side in a round of growth."""
    compiled: bool = True
    """Whether compiled steps are timed too."""

    @property
    def fleet(self) -> Shape:
        return replace(self.one, members=self.members)


TINY = Scale(
    one=Shape(hidden=32, latent=8, batch=16),
    members=2,
    steps=3,
    rounds=2,
    product=256,
    copied=1 << 20,
    scored=20,
    samples=10,
    trained=256,
    epochs=1,
    sizes={quantity: sizes[:1] for quantity, sizes in growth.SIZES.items()},
    seconds=0.01,
    compiled=False,
)


class Goal(NamedTuple):
    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        if self.low == -math.inf:
            return f"at most {self.high:g}"
        return f"at least {self.low:g}" if self.high == math.inf else f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Row:
    what: str
    measured: float | str
    """A text says why there is no number."""
    reference: float | None = None
    """What it is held against: a floor, a prediction, another side."""
    ratio: Ratio | float | None = None
    """Measured ÷ reference."""
    goal: Goal | None = None
    """Of the ratio; of what was measured, where it is held against nothing."""

    @property
    def met(self) -> str:
        if self.goal is None:
            return ""
        judged = self.ratio.median if isinstance(self.ratio, Ratio) else self.ratio
        value = self.measured if judged is None else judged
        if isinstance(value, str):
            return "not measured"
        return "yes" if self.goal.low <= value <= self.goal.high else "no"

    def cells(self) -> list[Any]:
        """Of the table."""
        said = " / ".join(self.measured.replace("|", "/").split("\n")) if isinstance(self.measured, str) else ""
        values = [said or self.measured, self.reference, self.ratio, self.goal]
        return [self.what, *("" if value is None else value for value in values), self.met]

    def numbers(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "goal": None if self.goal is None else str(self.goal), "met": self.met}


@dataclass
class Report:
    """What was found so far."""

    out: Path
    """Of both files, without ending."""
    limit: float = LIMIT_SECONDS
    begun: float = field(default_factory=time.monotonic)
    where: Mapping[str, Any] = field(default_factory=machine)
    how: str = field(default_factory=partial(command, "tests.benchmarks.gpu"))
    rows: list[Row] = field(default_factory=list)
    points: list[growth.Point] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """Section → traceback."""

    def left(self) -> float:
        return self.begun + self.limit - time.monotonic()

    def fail(self, section: str, error: Exception) -> None:
        self.failures[section] = "".join(traceback.format_exception(error))
        self.rows.append(Row(section, f"failed: {type(error).__name__}: {error}"))

    @property
    def text(self) -> str:
        heads = ["what", "measured", "against", "measured ÷ against", "goal", "met"]
        grown = f"{growth.growth_table(self.points)}\n{growth.in_words(self.points)}\n" if self.points else ""
        return f"{table(heads, [row.cells() for row in self.rows])}\n{grown}{origin(self.where, self.how)}"

    def write(self) -> None:
        """Both files, each whole or not at all."""
        numbers = {
            "machine": self.where,
            "command": self.how,
            "rows": [row.numbers() for row in self.rows],
            "growth": [asdict(point) for point in self.points],
            "failures": self.failures,
        }
        write_text(self.out.with_suffix(".json"), json.dumps(numbers, indent=1, allow_nan=False) + "\n")
        write_text(self.out.with_suffix(".md"), self.text)


class Section(NamedTuple):
    name: str
    about: float
    """Seconds that it takes on a GPU; a guess."""
    measure: Callable[[Report], None]
    """Adds what it finds to the report as it finds it."""


def run(sections: Sequence[Section], report: Report) -> None:
    """All that the time allows; none costs the others theirs."""
    for section in sections:
        left = report.left()
        if left < section.about:
            report.rows.append(
                Row(section.name, f"left out: takes about {section.about:.0f} s, {left:.0f} s were left")
            )
        else:
            print(f"{left:5.0f} s left  {section.name}", flush=True)
            try:
                section.measure(report)
            except Exception as error:
                report.fail(section.name, error)
                print(report.failures[section.name], file=sys.stderr, flush=True)
            release()
        report.write()


def release() -> None:
    """What a section held, for the next one."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def best_of(measure: Callable[[], Any], device: torch.device, times: int = 10) -> float:
    seconds = []
    for _ in range(times + 2):
        settle(device)
        begun = time.perf_counter()
        measure()
        settle(device)
        seconds.append(time.perf_counter() - begun)
    return min(seconds[2:])


@dataclass
class Device:
    """Measures one device. What its floors are is measured first."""

    device: torch.device
    scale: Scale
    rates: dict[str, float] = field(default_factory=dict)
    """Floating-point operations a second of large products by their type, and bytes a second of a copy."""

    def sections(self) -> list[Section]:
        """What matters most comes first."""
        compiled = [Section("members, compiled", 70, partial(self.members, path="compiled"))] * self.can_compile
        chosen = [
            Section("floors", 10, self.floors),
            Section("members, traced", 30, partial(self.members, path="traced")),
            Section("waits", 40, self.waits),
            Section("evaluation", 60, self.evaluation),
            Section("memory", 30, self.memory),
            Section("pythae", 110, self.pythae),
            Section("compiling", 90, self.compiling),
            *compiled,
            *(
                Section(f"growth, {quantity}", 10 * len(sizes), partial(self.growth, quantity=quantity))
                for quantity, sizes in self.scale.sizes.items()
            ),
        ]
        return chosen if self.device.type == "cuda" else [section._replace(about=0) for section in chosen]

    @property
    def can_compile(self) -> bool:
        return self.scale.compiled and missing_for_compiling(self.device) is None

    def floors(self, report: Report) -> None:
        size = self.scale.product
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
            a, b = (torch.randn(size, size, device=self.device).to(dtype) for _ in range(2))
            self.rates[name] = 2.0 * size**3 / best_of(partial(torch.matmul, a, b), self.device)
            report.rows.append(Row(f"TFLOP/s of products in {name}", self.rates[name] / 1e12))
        x = torch.randn(self.scale.copied, device=self.device)
        self.rates["bytes"] = 2.0 * x.nbytes / best_of(partial(torch.empty_like(x).copy_, x), self.device)
        report.rows.append(Row("GB/s of a copy", self.rates["bytes"] / 1e9))

    def members(self, report: Report, path: str) -> None:
        """Goal 3: ten members in the time of one, near the floors."""
        shape, steps = self.scale.fleet, self.scale.steps
        source = random_source(12_800, device=self.device)
        one, many, launched = (Steps(own, source, "mapped", path) for own in (self.scale.one, shape, shape))
        for program in launched.stepper.programs:
            program.record = None
        bare = bare_products(shape, self.device, mapped=True)
        count = shape.members
        taken = alternate(
            {
                "one": lambda: one(steps),
                "many": lambda: count * many(steps),
                "launched": lambda: count * launched(steps),
                "products": lambda: count * bare(steps),
            },
            self.scale.rounds,
        )
        milliseconds = {side: 1e3 * taken.median(side) for side in taken.seconds}
        step = f"ms of a step of {count}, {path}"

        def against(what: str, side: str, other: str, goal: Goal | None = None) -> Row:
            return Row(what, milliseconds[side], milliseconds[other], taken.compared(side, other), goal)

        report.rows.append(against(f"{step}: against one member", "many", "one", Goal(high=1.5)))
        report.rows.append(against(f"{step}: against its own products", "many", "products"))
        report.rows.append(against(f"{step}: launched by kernel, against recorded", "launched", "many"))
        traffic = MOVES_A_STEP * 4.0 * shape.parameters * count / self.rates["bytes"]
        floor = 1e3 * max(shape.operations / self.rates["float32"], traffic)
        ratio = milliseconds["many"] / floor
        what = f"{step}: against the larger floor, of products or traffic"
        report.rows.append(Row(what, milliseconds["many"], floor, ratio, Goal(high=2)))

    def waits(self, report: Report) -> None:
        """Goal 3: while it steps, the host waits for nothing; neither does it for a step of a whole training."""
        if self.device.type == "cpu":
            report.rows.append(Row("waits of the host", "the host computes here", goal=Goal(high=0)))
            return
        fleet = Steps(self.scale.fleet, random_source(12_800, device=self.device), "mapped")
        fleet(60)
        few, many = (waits_in(partial(fleet, steps)).total() for steps in (5, 45))
        report.rows.append(Row("waits of the host in 40 steps more", float(many - few), goal=Goal(high=0)))
        short, long, longer = (
            waits_in(partial(self.train, batches, epochs)) for batches, epochs in ((50, 2), (150, 2), (50, 4))
        )
        more = float(long.total() - short.total())
        report.rows.append(Row("waits of the host in 200 steps more of train_fleet", more, goal=Goal(high=0)))
        epoch = longer - short
        report.rows.append(Row("waits of the host an epoch of train_fleet, whatever its steps", epoch.total() / 2))
        report.rows += [Row(f"of these at {place}", count / 2) for place, count in epoch.most_common(5)]

    def train(self, batches: int, epochs: int) -> None:
        """A whole training of so many steps an epoch."""
        source = random_source(batches * self.scale.one.batch, device=self.device)
        with taking("traced"):
            train_fleet(self.scale.fleet.cells(epochs), Surroundings(source))

    @torch.no_grad()
    def evaluation(self, report: Report) -> None:
        """Goal 5: ten members' log_likelihood against the products of their decoders; a round is a member."""
        images, samples = self.scale.scored, self.scale.samples
        source = random_source(images, "threshold", self.device)
        members = Steps(self.scale.fleet, source, "in-turn", "plain").members
        subjects = [Subject(member.system.get_submodule("model").eval(), source) for member in members]  # type: ignore[arg-type]
        rows = subjects[0].rows
        blocks = [min(rows, images * samples - first) for first in range(0, images * samples, rows)]
        shown = max(1, len(blocks) // 50)
        bare = decoder_products(self.scale.one, blocks[:shown], self.device)

        def score(subject: Subject, asked: int) -> None:
            log_likelihood(subject, {"split": "test", "seed": 0, "samples": samples, "images": asked})
            settle(self.device)

        score(subjects[0], 10)
        waiting = iter(subjects)
        taken = alternate(
            {
                "scored": lambda: score(next(waiting), images),
                "products": lambda: best_of(bare, self.device, 3) * len(blocks) / shown,
            },
            len(subjects),
            warmup=0,
        )
        seconds, floor = (sum(taken.seconds[side]) for side in ("scored", "products"))
        what = f"s of log_likelihood, {len(subjects)} members, K = {samples}, {images:,} images: against its products"
        report.rows.append(Row(what, seconds, floor, taken.compared("scored", "products"), Goal(high=2)))

    def memory(self, report: Report) -> None:
        """Goal 6: what the device held at most is what was predicted, within 20 %."""
        goal = Goal(0.8, 1.2)
        if self.device.type != "cuda":
            report.rows.append(Row("MiB at the peak, against the prediction", "this device keeps no count", goal=goal))
            return
        for batch in (self.scale.one.batch, 4096):
            shape = replace(self.scale.fleet, batch=batch)
            source = random_source(8192, device=self.device)
            source.training_content("split")
            predicted = demand(shape.cells()[0], source).of(shape.members, "mapped") / MEBI
            release()
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            allocated, reserved = torch.cuda.memory_allocated(self.device), torch.cuda.memory_reserved(self.device)
            Steps(shape, source, "mapped")(3)
            peak = (torch.cuda.max_memory_allocated(self.device) - allocated) / MEBI
            kept = (torch.cuda.max_memory_reserved(self.device) - reserved) / MEBI
            what = f"{shape.members} members, batch {batch}, against the prediction"
            report.rows.append(Row(f"MiB at the peak, {what}", peak, predicted, peak / predicted, goal))
            report.rows.append(Row(f"MiB reserved, {what}", kept, predicted, kept / predicted))

    def pythae(self, report: Report) -> None:
        """Goal 3: whole trainings, a model-epoch of ours against one of pythae's on the same device."""
        goal = Goal(low=100)
        if not peers.has_pythae():
            report.rows.append(Row("pythae's model-epoch, against ours", "pythae is not installed", goal=goal))
            return
        source, epochs = random_source(self.scale.trained, "threshold", self.device), self.scale.epochs
        ours = {
            path: partial(peers.by_vaebench, source, epochs, self.scale.members, path == "compiled")
            for path in ("traced", "compiled")
            if path != "compiled" or self.can_compile
        }
        sides = {name: partial(_seconds, train) for name, train in ours.items()}
        theirs = partial(_seconds, partial(peers.by_pythae, source, epochs))
        with taking("traced"):
            taken = alternate({**sides, "pythae": theirs}, self.scale.rounds)
        for path in ours:
            what = f"s of pythae's model-epoch, against ours in a fleet of {self.scale.members}, {path}"
            ratio = taken.compared("pythae", path)
            report.rows.append(Row(what, taken.median("pythae"), taken.median(path), ratio, goal))

    def compiling(self, report: Report) -> None:
        """Goal 4: what compiling costs where nothing is cached, and costs again."""
        if missing := missing_for_compiling(self.device):
            report.rows.append(Row("s of tracing and compiling", f"{missing} is missing"))
            return
        with tempfile.TemporaryDirectory() as cache:
            first, second = self.compiled_elsewhere(cache, fleets=2)
            (fresh,) = self.compiled_elsewhere(cache, fleets=1)
        report.rows.append(Row("s of tracing and compiling a fleet, nothing cached", first))
        report.rows.append(
            Row("the same for a second fleet of that shape in that process", second, first, second / first)
        )
        report.rows.append(Row("the same in a fresh process, with what was cached", fresh, first, fresh / first))
        share = (first + 59 * second) / 3600.0
        report.rows.append(Row("share of compiling in 60 fleets of 60 s", share, goal=Goal(high=0.15)))

    def compiled_elsewhere(self, cache: str, fleets: int) -> list[float]:
        """Seconds of one fleet after the other in a process of their own."""
        shape = self.scale.fleet
        asked = f"print_preparing({str(self.device)!r}, {fleets}, {shape.members}, {shape.hidden}, {shape.batch})"
        said = in_process(f"from tests.benchmarks.gpu import print_preparing; {asked}", cache)
        found: list[float] = json.loads(said.splitlines()[-1])
        return found

    def growth(self, report: Report, quantity: str) -> None:
        scale = self.scale
        for size in scale.sizes[quantity]:
            if report.left() < 0:
                report.rows.append(Row(f"growth, {quantity} from {size}", "left out: the time was over"))
                return
            report.points.append(growth.measured(quantity, size, self.device, scale.rounds, scale.seconds))


def _seconds(train: Callable[[], peers.Trained]) -> float:
    return train().seconds


def waits_in(work: Callable[[], object]) -> Counter[str]:
    """Place in the sources → how often the host waited there for the GPU, as torch's debugging mode notices it."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return Counter(
        f"{Path(one.filename).name}:{one.lineno}" for one in said if "synchronizing CUDA operation" in str(one.message)
    )


def print_preparing(device: str, fleets: int, members: int, hidden: int, batch: int) -> None:
    """Seconds in which the first step of one fleet after the other was traced and compiled; a JSON list."""
    shape, found = Shape(members, hidden=hidden, batch=batch), []
    source = random_source(1280, device=torch.device(device))
    for _ in range(fleets):
        fleet = Steps(shape, source, "mapped", "compiled")
        fleet(1)
        found.append(sum(program.seconds for program in fleet.stepper.programs))
    print(json.dumps(found))


def in_process(code: str, cache: str) -> str:
    """What a process of Python says that finds in a folder alone what was compiled before; on failure, how it ended."""
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache, "PYTHONPATH": str(HERE)}
    environment.pop("TRITON_CACHE_DIR", None)
    asked = [sys.executable, "-c", code]
    ended = subprocess.run(asked, env=environment, cwd=HERE, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"a process ended with {ended.returncode}:\n{ended.stderr[-SHOWN:].strip()}")
    return ended.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path("speed-gpu"), help="name of the two files, without ending")
    parser.add_argument("--limit", type=float, default=LIMIT_SECONDS, help="seconds; no section begins that needs more")
    parser.add_argument("--only", action="append", help="a section by its name; may be repeated")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to see that it runs")
    options = parser.parse_args()
    sections = Device(torch.device(options.device), TINY if options.tiny else Scale()).sections()
    unknown = set(options.only or ()) - {section.name for section in sections}
    if unknown:
        parser.error(f"{', '.join(unknown)}: the sections are {'; '.join(section.name for section in sections)}")
    report = Report(options.out, options.limit)
    wanted = options.only and {"floors", *options.only}
    run([section for section in sections if not wanted or section.name in wanted], report)
    print(report.text)
    raise SystemExit(1 if report.failures else 0)


if __name__ == "__main__":
    main()

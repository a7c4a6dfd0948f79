"""What a person sees while a suite runs: a live table in a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

from vaebench.catalog.catalog import load_catalog
from vaebench.engines.job import Job
from vaebench.engines.planning import Plan, distinct
from vaebench.engines.process import printable
from vaebench.engines.progress import FleetProgress, Progress
from vaebench.project import FROM_TABLES, Run, Status, View
from vaebench.reporting.text import counted
from vaebench.store.here import missing_compiler
from vaebench.suite.trainers import is_fitted

if TYPE_CHECKING:
    from vaebench.reporting.compare import Compared, Difference
    from vaebench.reporting.evaluation import Evaluation
    from vaebench.reporting.publish import Published
    from vaebench.store.merge import Merged

FAILURES_SHOWN = 10
LEAST_COLUMNS = 3
"""Of a leaderboard: rank, variant, and the metric that ranks."""
LINE_SECONDS = 15.0
"""A fleet says how far it is at most that often where there is no terminal."""
SHORT_SECONDS = 10.0
"""Below that an estimate says no number."""


def view_for(console: Console) -> View:
    return LiveView(console) if console.is_terminal else LineView(console)


def duration(seconds: float) -> str:
    """42 s, 3 min 5 s, 2 h 10 min"""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def title(fleet: FleetProgress) -> str:
    """Which models a fleet makes: `digits/binary  vae, beta-vae`"""
    return f"{fleet.source}  {', '.join(fleet.variants)}"


def planned(plan: Plan) -> str:
    """The plan in a line: what is trained, scored, cached of the cells that were asked for."""
    words = {"train": "to train", "stale": "stale", "score": "to score", "cached": "cached", "failed": "failed before"}
    selected, total = distinct(plan.selected), len(distinct(plan.cells))
    found: Counter[str] = Counter(cell.decision.state for cell in selected)
    counts = ", ".join(f"{found[state]} {word}" for state, word in words.items() if found[state])
    part = "" if len(selected) == total else f"{len(selected)} of "
    profile = f", profile {plan.suite.profile}" if plan.suite.profile else ""
    cells, fleets = counted(total, "cell"), counted(len(plan.jobs), "fleet")
    return f"{plan.suite.name}{profile}: {part}{cells} ({counts}) in {fleets}{_path(plan)}{_estimate(plan.seconds)}"


def _estimate(seconds: float | None) -> str:
    """Of training and scoring; starting up and writing the report come on top of it."""
    if not seconds:
        return ""
    return f", about {duration(seconds)}" if seconds >= SHORT_SECONDS else ", a few seconds"


def _path(plan: Plan) -> str:
    """How many fleets take compiled steps, or why none that should."""
    compiled = sum(job.compiled for job in plan.jobs)
    if compiled and (missing := missing_compiler()):
        return f", not compiled for want of {missing}"
    return f", {compiled} compiled" if compiled else ""


class LineView(View):
    """A line when a fleet starts, now and then while it trains, and when it ends; no control characters."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.said: dict[str, float] = {}

    def begin(self, plan: Plan, progress: Progress) -> None:
        self.progress = progress
        say(self.console, planned(plan))

    def update(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "stopping":
            say(self.console, f"stopping: {event['why']}; what is finished stays")
        fleet = self.progress.fleets.get(event.get("fleet", ""))
        if fleet is None:
            return
        if event["event"] == "restart":
            say(self.console, f"{title(fleet)}: {event['why']}; going on from its last checkpoint")
        if event["event"] == "elsewhere":
            say(self.console, f"{title(fleet)}: {event['holder']} is at it; what it finishes is not made again")
        now = time.monotonic()
        due = now - self.said.get(fleet.fleet, now - LINE_SECONDS + 5.0) >= LINE_SECONDS
        if event["event"] in ("start", "end") or (event["event"] in ("epoch", "scoring") and due):
            self.said[fleet.fleet] = now
            say(self.console, f"{title(fleet)}: {_place(fleet)}")
        else:
            self.said.setdefault(fleet.fleet, now)


class LiveView(View):
    """One row a fleet at work, and what is done, waiting and failed."""

    def __init__(self, console: Console) -> None:
        self.live = Live(console=console, refresh_per_second=4, get_renderable=self.table, transient=True)

    def begin(self, plan: Plan, progress: Progress) -> None:
        self.plan, self.progress = plan, progress
        self.live.start()

    def update(self, event: Mapping[str, Any]) -> None:
        """The table is drawn from the state, at its own pace."""

    def end(self) -> None:
        self.live.stop()

    def table(self) -> Table | str:
        if not hasattr(self, "progress"):
            return ""
        table = Table(title=planned(self.plan), title_justify="left", caption=self._caption(), caption_justify="left")
        for name in ("data", "variants", "members", "at", "model-epochs/s", "left"):
            table.add_column(name, justify="right" if name in ("members", "model-epochs/s", "left") else "left")
        for fleet in self.progress.running:
            speed, left = fleet.model_epochs_a_second, fleet.seconds_left
            table.add_row(
                fleet.source,
                ", ".join(fleet.variants),
                str(fleet.members or fleet.cells),
                _place(fleet),
                f"{speed:.1f}" if speed else "",
                duration(left) if left is not None else "",
            )
        return table

    def _caption(self) -> str:
        state = self.progress
        parts = [f"{counted(state.done, 'cell')} done", f"{counted(state.waiting, 'fleet')} waiting"]
        parts += [f"{counted(state.failed, 'cell')} failed"] if state.failed else []
        parts += [f"stopping: {state.stopping}"] if state.stopping else []
        return ", ".join(parts)


def _place(fleet: FleetProgress) -> str:
    """How far a fleet is, in words."""
    if fleet.state == "training" and fleet.epoch:
        return f"epoch {fleet.epoch} of {fleet.epochs}"
    if fleet.state == "training":
        return f"training {counted(fleet.members, 'model')}"
    if fleet.state == "scoring":
        return f"scoring {fleet.scoring}".rstrip()
    if fleet.ended:
        failed = f", {len(fleet.failures)} failed" if fleet.failures else ""
        return f"{fleet.state} in {duration(fleet.ended - fleet.started)}{failed}"
    return fleet.state


def print_leaderboard(console: Console, run: Run) -> None:
    """The rankings, with as many metrics as the width has room for: what leaderboard.csv holds in full."""
    from tabulate import tabulate

    from vaebench.reporting.sections import terminal_table

    for heading, columns, rows in terminal_table(run.plan.suite, run.leaderboard.table):
        shown = len(columns)
        text = ""
        while shown >= LEAST_COLUMNS:
            cut = [row[:shown] for row in rows]
            text = tabulate(cut, columns[:shown], "simple", disable_numparse=True, stralign="right")
            if max(map(len, text.splitlines())) <= console.width:
                break
            shown -= 1
        say(console, f"\n{heading}\n{text}")
    say(console, "")


def print_summary(console: Console, run: Run, seconds: float) -> None:
    counts = run.plan.counts
    parts = [
        f"{counted(len(run.outcome.done), 'cell')} done now",
        f"{counts.get('cached', 0)} of {len(distinct(run.plan.cells))} complete",
    ]
    parts += [f"{counts['failed']} failed"] if counts.get("failed") else []
    lead = "interrupted; run the same command again to go on" if run.outcome.interrupted else "finished"
    say(console, f"{lead}: {', '.join(parts)}, in {duration(seconds)}")
    for cell, message in run.outcome.failed[:FAILURES_SHOWN]:
        say(console, f"failed: {cell}: {message}")
    if len(run.outcome.failed) > FAILURES_SHOWN:
        say(console, f"… and {len(run.outcome.failed) - FAILURES_SHOWN} more; see the report")
    say(console, f"leaderboard: {run.folder.leaderboard}")
    say(console, f"report:      {run.folder.page} (or {run.folder.report.name})")


def print_plan(console: Console, plan: Plan) -> None:
    say(console, planned(plan))
    if plan.seconds is None:
        say(console, "  how long is not known: not everything in it has had its like on this machine")
    reasons = Counter(
        (cell.decision.state, cell.decision.why) for cell in distinct(plan.selected) if cell.decision.state != "cached"
    )
    for (state, why), count in sorted(reasons.items()):
        say(console, f"  {count} {state}: {why}" if why else f"  {count} {state}")
    for job in plan.jobs:
        who = f"{job.cells[0].cell.source}  {', '.join(plan.variants(job))}"
        say(console, f"fleet {job.fleet}: {who}: {_work(job, plan.begun)}")
    alike: dict[tuple[str, str], list[str]] = {}
    for pair in plan.impossible:
        alike.setdefault((pair.source, pair.reason), []).append(pair.variant)
    for (source, reason), variants in alike.items():
        say(console, f"not planned: {', '.join(variants)} on {source}: {reason}")


def _work(job: Job, begun: Collection[str]) -> str:
    """What a fleet has to do: `5 to train for 200 epochs`."""
    trained = [work.cell for work in job.cells if work.train]
    if trained and all(is_fitted(cell.composition, load_catalog()) for cell in trained):
        return f"{len(trained)} to fit"
    going_on = sum(cell.id in begun for cell in trained)
    parts = [f"{len(trained) - going_on} to train for {job.epochs} epochs"] if len(trained) > going_on else []
    parts += [f"{going_on} to train on, to epoch {job.epochs}"] if going_on else []
    return ", ".join(parts) or "only to score"


def print_status(console: Console, status: Status) -> None:
    counts = ", ".join(f"{count} {state}" for state, count in status.counts.items())
    say(console, f"{status.suite}: {counts}{f' ({FROM_TABLES})' if status.from_tables else ''}")
    for fleet in status.fleets:
        say(console, f"{fleet.content['source']}  {', '.join(fleet.content['variants'])}: {fleet.sentence()}")
    for why, count in status.failures.items():
        say(console, f"failed in {counted(count, 'cell')}: {why}")


def print_comparison(console: Console, compared: "Compared") -> None:
    """One table for each matched row: every metric with its difference B − A and the verdict."""
    from tabulate import tabulate

    say(console, f"A: {compared.first}\nB: {compared.second}")
    columns = ["metric", "A", "B", "B − A", "95 %", "p", "verdict", ""]
    align = ("left", "right", "right", "right", "right", "right", "left", "left")
    for key, parts in compared.differs_in.items():
        mine = [difference for difference in compared.differences if difference.key == key]
        models = "" if parts is None else f": differ in {', '.join(parts)}" if parts else ": the same models"
        say(console, f"\n{key.title}{models}")
        lines = [_comparison_line(difference) for difference in mine]
        say(
            console, tabulate(lines, columns, "simple", disable_numparse=True, colalign=align) if lines else "no number"
        )
    for name, alone in (("A", compared.only_first), ("B", compared.only_second)):
        if alone:
            say(console, f"\nonly in {name}: {', '.join(key.title for key in alone)}")
    counts = ", ".join(f"{count} {verdict}" for verdict, count in compared.counts.items())
    say(
        console,
        f"\n{counted(len(compared.differs_in), 'row')}, {counted(len(compared.differences), 'difference')}: {counts}",
    )
    say(console, "p after Holm's correction over the rows of each metric; the intervals are unadjusted")


def _comparison_line(difference: "Difference") -> list[str]:
    from vaebench.reporting.text import ABSENT, beside, half_width, probability, to_the_place_of

    half = half_width(difference.low, difference.high)

    def shown(value: float | None) -> str:
        return ABSENT if value is None else to_the_place_of(half, value)

    interval = f"{shown(difference.low)} … {shown(difference.high)}" if half is not None else ABSENT
    p_value = ABSENT if difference.p_holm is None else probability(difference.p_holm).removeprefix("= ")
    sides = (ABSENT if value is None else beside(half, value) for value in (difference.first, difference.second))
    return [
        difference.metric,
        *sides,
        shown(difference.difference),
        interval,
        p_value,
        difference.verdict,
        difference.note,
    ]


@contextlib.contextmanager
def scoring(console: Console) -> Iterator[Callable[[str], None]]:
    """Says which metric is being scored: on one changing line in a terminal, on a line each elsewhere."""
    if not console.is_terminal:
        yield lambda metric: say(console, f"scoring {metric}")
        return
    with console.status("loading the model") as status:
        yield lambda metric: status.update(f"scoring {metric}")


def print_evaluation(console: Console, evaluation: "Evaluation") -> None:
    """Folded to the width of a terminal; whole lines elsewhere."""
    say(console, evaluation.table(console.width if console.is_terminal else None))


def print_published(console: Console, published: "Published") -> None:
    from vaebench.reporting.publish import readable

    say(console, f"{published.folder.path}: {published.files} files, {readable(published.bytes)}")


def print_lines(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        say(console, line)


def print_merged(console: Console, merged: "Merged", into: Path) -> None:
    print_lines(console, [*merged.conflicts, *(f"skipped: {line}" for line in merged.skipped)])
    copied = counted(merged.copied, "cell")
    say(console, f"{into}: {copied} copied, {merged.joined} completed, {merged.same} there already")
    for suite in merged.suites:
        say(console, f"next: vaebench report {into / suite}")


def print_description(console: Console, entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        say(console, f"{entry['what']} {entry['name']}")
        for name, value in entry.items():
            if name not in ("what", "name"):
                _print_field(console, name, value, 1)


def _print_field(console: Console, name: str, value: Any, depth: int) -> None:
    indent = "  " * depth
    if isinstance(value, Mapping):
        say(console, f"{indent}{name}:")
        for inner, content in value.items():
            _print_field(console, inner, content, depth + 1)
    else:
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        say(console, f"{indent}{name}: {text}")


def say(console: Console, line: str) -> None:
    """A line as it is: not wrapped, not coloured, markup in it left alone; nothing in it commands the terminal."""
    print(printable(line), file=console.file, flush=True)


def console(stream: TextIO | None = None) -> Console:
    return Console(file=stream or sys.stdout)

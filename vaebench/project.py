"""vaebench as Python functions, one for each thing that can be done; the command line calls these and prints.

Nothing here imports torch before something trains or is scored.
"""

import importlib.util
import math
import os
import platform
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaebench.catalog.catalog import load_catalog
from vaebench.engines import planning, plugged
from vaebench.engines.compiling import Wanted
from vaebench.engines.crew import Engine, EngineUnavailable, Outcome
from vaebench.engines.estimate import machine
from vaebench.engines.gpus import gpus
from vaebench.engines.local import LocalEngine
from vaebench.engines.lockfile import read_lock
from vaebench.engines.planfile import CellLine, PlanFile, read_plan
from vaebench.engines.planning import Plan, Policy
from vaebench.engines.progress import FleetStatus, Progress, ProgressFiles, read_progress
from vaebench.plugins.loading import load_plugins
from vaebench.store.files import StoreError, file_checksum, read_json, write_json
from vaebench.store.folders import ResultsFolder, SuiteFolder
from vaebench.store.here import remember_results
from vaebench.suite import question, selection, trainers
from vaebench.suite.loading import load_suite, load_suite_mapping
from vaebench.suite.mistakes import Findings, SuiteError, enumerated, nearest
from vaebench.suite.suite import Suite

if TYPE_CHECKING:
    from vaebench.conformance.finding import Examined
    from vaebench.models.contract import LatentVariableModel
    from vaebench.models.given import ConditionalModel
    from vaebench.reporting.answers import Contrasts
    from vaebench.reporting.baseline import Updated
    from vaebench.reporting.compare import Compared, Side
    from vaebench.reporting.evaluation import Evaluation
    from vaebench.reporting.figures.figure import Figure
    from vaebench.reporting.gate import Gate, MinimumEffects
    from vaebench.reporting.leaderboard import Leaderboard
    from vaebench.reporting.publish import Published
    from vaebench.reporting.rerun import Rerun
    from vaebench.store.merge import Merged
    from vaebench.store.record import MetricRequest

PACKAGES = ("vaebench", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas")


class NothingMatched(Exception):
    """A pattern that selects no cell."""


class UnknownName(Exception):
    """A name that is nothing in the catalog; the message names the nearest."""


@dataclass(frozen=True)
class Settings:
    """Where and how a suite is run; the defaults are those of the command line."""

    results: Path = Path("runs")
    device: str = "auto"
    workers: int | None = None
    """Fleets at a time; None: as many as there are cores, one where a GPU computes."""
    data_root: Path | None = None
    """Folder in torchvision's layout; None: VAEBENCH_DATA, else vaebench's own, into which data are fetched."""
    policy: Policy = field(default_factory=Policy)
    compiled: Wanted = "auto"
    """Whether training steps are compiled; auto: on a GPU, where the plan's estimate says that it pays."""
    compiled_cells: Collection[str] | None = None
    """Cells whose steps are compiled, and no others, whatever pays; None: as `compiled` says."""
    timeout: float | None = None
    fail_fast: bool = False
    debug: bool = False
    engine: str = "local"
    """Where the fleets run: local, ray or slurm."""
    address: str | None = None
    """Of a running Ray cluster, or `auto`; None: one of this machine's own."""
    slurm: Mapping[str, str | int] = field(default_factory=dict)
    """What submitit's AutoExecutor takes, such as partition and time; and `cluster`, which may be `local`."""
    detach: bool = False
    """Leave when everything is submitted to Slurm."""
    plugins: Sequence[str | Path] = ()
    """Files, or modules, that bring parts of their own."""
    trust_plugins: bool = False
    """Load also what the suite itself lists."""
    profile: str | None = None
    """One of the suite's profiles or, where it has none of its own, of the catalog's; None: the suite's choice."""


def known_settings(names: Iterable[str]) -> None:
    """Refuse a name that is no setting."""
    for name in names:
        _known("setting", name, [each.name for each in fields(Settings)])


class View:
    """Somebody who watches a run; this one looks away."""

    def begin(self, plan: Plan, progress: Progress) -> None:
        """Before the first fleet starts."""

    def update(self, event: Mapping[str, Any]) -> None:
        """After `progress` has taken in an event."""

    def end(self) -> None:
        """After the last one."""


@dataclass(frozen=True)
class Run:
    """What a run has left."""

    plan: Plan
    outcome: Outcome
    leaderboard: "Leaderboard"
    folder: SuiteFolder

    @property
    def contrasts(self) -> "Contrasts":
        """The questions of the suite with what the seeds say."""
        from vaebench.reporting.answers import Contrasts

        return Contrasts.read(self.folder.path)

    @property
    def is_complete(self) -> bool:
        """Whether every cell that the run selected has all its numbers, if only from older sources that are kept, and
        nothing failed on the way: also a second training, which leaves the numbers of the first."""
        decisions = [planned.decision for planned in self.plan.selected]
        has_all = all(decision.state in ("cached", "stale") and not decision.has_work for decision in decisions)
        return has_all and not self.outcome.failed


def _loaded(suite: str | Path | Mapping[str, Any] | Suite, settings: Settings) -> Suite:
    """The suite, with the plugins of the settings."""
    if isinstance(suite, Suite):
        load_plugins(*settings.plugins)
        return suite
    chosen: dict[str, Any] = {name: getattr(settings, name) for name in ("profile", "plugins", "trust_plugins")}
    return load_suite_mapping(suite, **chosen) if isinstance(suite, Mapping) else load_suite(suite, **chosen)


def examine(references: Sequence[str | Path]) -> "Examined":
    """Do plugins keep what their kinds promise? Everything that they bring is tried, small and quick."""
    from vaebench.conformance.conformance import examine as examine_plugin
    from vaebench.conformance.finding import Examined

    if not references:
        raise UnknownName("check: give a suite, or a plugin: vaebench check --plugin my_plugin.py")
    return Examined(tuple(found for plugin in load_plugins(*references) for found in examine_plugin(plugin)))


def plan(suite: str | Path | Mapping[str, Any] | Suite, settings: Settings | None = None) -> Plan:
    """What would run, and why; touches nothing."""
    settings = settings or Settings()
    made = planning.plan(
        _loaded(suite, settings),
        ResultsFolder(settings.results),
        settings.policy,
        settings.device,
        str(root) if (root := data_root(settings)) else None,
        settings.workers or default_workers(settings.device),
        settings.compiled if settings.compiled_cells is None else settings.compiled_cells,
    )
    rows = {(planned.cell.source, planned.variant) for planned in made.cells}
    if lost := selection.idle(settings.policy.only, rows):
        lines = (f"--only {pattern!r} matches none of the {len(made.cells)} planned cells" for pattern in lost)
        raise NothingMatched("\n".join(lines))
    return made


def run(
    suite: str | Path | Mapping[str, Any] | Suite, settings: Settings | None = None, view: View | None = None
) -> Run:
    """Train what is missing or stale, score it, and write leaderboard, runs, contrasts and report."""
    settings, view = settings or Settings(), view or View()
    check_engine(settings)
    made = plan(suite, settings)
    results, folder = ResultsFolder(settings.results), ResultsFolder(settings.results).suite(made.suite.name)
    if made.jobs:
        check_data(made.suite, settings)
    write_json(folder.plan, made.to_json())
    write_json(folder.lock, lock(made, settings, results))
    outcome = _perform(made, settings, results, folder, view)
    remember_results(results.path)
    kept = lock(made, settings, results)
    write_json(folder.lock, kept)
    leaderboard = render(made.suite, results, command_of(kept))
    after = planning.plan(made.suite, results, Policy(keep_stale=True, only=settings.policy.only), settings.device)
    return Run(after, outcome, leaderboard, folder)


def _perform(made: Plan, settings: Settings, results: ResultsFolder, folder: SuiteFolder, view: View) -> Outcome:
    engine = ENGINES[settings.engine](settings)
    progress = Progress(made)
    files = ProgressFiles(folder, progress)

    def listen(event: dict[str, Any]) -> None:
        progress.apply(event)
        files.update(event)
        view.update(event)

    view.begin(made, progress)
    try:
        return engine.run(made, results, listen)
    finally:
        view.end()


def _local_engine(settings: Settings) -> Engine:
    return LocalEngine(
        workers=settings.workers or default_workers(settings.device),
        timeout=settings.timeout,
        fail_fast=settings.fail_fast,
        debug=settings.debug,
    )


def _ray_engine(settings: Settings) -> Engine:
    from vaebench.engines.ray_engine import RayEngine

    return RayEngine(settings.address, settings.workers, settings.timeout, settings.fail_fast)


def _slurm_engine(settings: Settings) -> Engine:
    from vaebench.engines.slurm_engine import SlurmEngine

    return SlurmEngine(settings.slurm, settings.detach, settings.workers, settings.timeout, settings.fail_fast)


ENGINES: dict[str, Callable[[Settings], Engine]] = {
    "local": _local_engine,
    "ray": _ray_engine,
    "slurm": _slurm_engine,
}
NEEDED = {"ray": "ray", "slurm": "submitit"}
"""Engine → the package that it needs; the extra is named after the engine."""
OWN_OPTIONS = {"address": "ray", "slurm": "slurm", "detach": "slurm", "debug": "local"}
"""Setting → the only engine that it means anything to."""


def check_engine(settings: Settings) -> None:
    """Refuse an engine that is none or is not installed, and a device that it cannot have."""
    _known("engine", settings.engine, ENGINES)
    for option, engine in OWN_OPTIONS.items():
        if getattr(settings, option) and engine != settings.engine:
            raise UnknownName(f"--{option} is for --engine {engine}, and this is --engine {settings.engine}")
    package = NEEDED.get(settings.engine)
    if package is not None and importlib.util.find_spec(package) is None:
        advice = f"pip install 'vaebench[{settings.engine}]'"
        raise EngineUnavailable(f"--engine {settings.engine}: {package} is not installed; {advice}")
    if settings.engine == "local":
        check_device(settings.device)
    elif settings.device not in ("auto", "cpu", "cuda"):
        raise UnknownName(f"--device {settings.device}: where others choose the machine, valid are auto, cpu and cuda")


SLURM_TIME = r"(\d+-)?\d+(:\d\d){0,2}"
"""What sbatch --time takes: minutes, minutes:seconds, hours:minutes:seconds, days-hours, …"""


def parsed_slurm(texts: Iterable[str]) -> dict[str, str | int]:
    """Of `partition=gpu,time=60`."""
    found: dict[str, str | int] = {}
    for part in (part for text in texts for part in text.split(",")):
        name, _, value = (word.strip() for word in part.partition("="))
        if not (name and value):
            raise UnknownName(f"--slurm {part}: must be NAME=VALUE, as in partition=gpu,time=60")
        if name == "time" and not re.fullmatch(SLURM_TIME, value):
            raise UnknownName(f"--slurm {part}: no time of Slurm's; minutes, or [DAYS-]HOURS:MINUTES:SECONDS")
        found[name] = int(value) if value.isdigit() else value
    return found


def rerun(path: Path, settings: Settings, view: View | None = None) -> "Rerun":
    """Run the suite of a lock file again, in another results folder, on the path of then, and hold every number against
    the one in the runs.csv beside the lock. The device `auto` is that of then."""
    from vaebench.reporting.rerun import Rerun, differences, repeated, unknown
    from vaebench.reporting.runs import read_runs

    kept = SuiteFolder(path if path.is_dir() else path.parent)
    file = kept.lock if path.is_dir() else path
    if not file.is_file() or not file.name.endswith(".lock.json"):
        raise StoreError(f"{path}: no lock file; give DIR/SUITE/{kept.lock.name}, or the folder that it is in")
    lock = read_lock(file)
    if not kept.runs.is_file():
        advice = f"it belongs beside {file.name}"
        raise StoreError(f"{kept.runs}: missing, and with it the numbers to compare with; {advice}")
    results = ResultsFolder(settings.results)
    if results.suite(lock.suite.name).path.resolve() == kept.path.resolve():
        raise StoreError(f"{settings.results}: holds these very results; name another folder with --results")
    before = read_runs(kept.runs)
    device = lock.device if settings.device == "auto" else settings.device
    of_then = replace(settings, device=device, compiled=lock.compiled, compiled_cells=lock.compiled_cells)
    made = run(lock.suite, of_then, view)
    if made.outcome.interrupted:
        raise KeyboardInterrupt
    now = read_lock(made.folder.lock)
    found = read_runs(made.folder.runs)
    reused = len({planned.cell.id for planned in made.plan.selected} - set(made.outcome.done))
    return Rerun(repeated(before, found), differences(lock.content, now.content), unknown(before, found), reused)


def source_of(suite: Suite) -> str:
    """What `vaebench run` is given for this suite: a shipped one has a name, a file below this folder a short path."""
    from vaebench.suite.loading import shipped

    if suite.file is None or shipped().get(suite.name) == suite.file:
        return suite.name
    file = suite.file.resolve()
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else suite.file)


def command_of(lock: Mapping[str, Any]) -> str:
    """What runs a suite again, from its lock file."""
    profile = lock["suite"].get("profile")
    chosen = f" --profile {profile}" if profile else ""
    return f"vaebench run {lock['source']}{chosen}{plugged.options(lock.get('plugins', []))}"


def render(suite: Suite, results: ResultsFolder, command: str, templates: Path | None = None) -> "Leaderboard":
    """Write leaderboard, runs, contrasts, figures and report from the records alone."""
    from vaebench.reporting.leaderboard import Leaderboard
    from vaebench.reporting.write import write_all

    environment = write_all(suite, results, {"command": command}, templates)
    _note(results.suite(suite.name), environment)
    return Leaderboard.read(results.suite(suite.name).leaderboard)


def _note(folder: SuiteFolder, environment: Mapping[str, str]) -> None:
    """Let the lock file say of which versions the tables beside it are, and on what machines the records were made."""
    from vaebench.reporting.dictionary import VERSIONS

    content = read_json(folder.lock) if folder.lock.exists() else {}
    noted = {
        "tables": VERSIONS,
        "environment": dict(environment),
        "written": {folder.runs.name: file_checksum(folder.runs)},
    }
    if content and any(content.get(name) != value for name, value in noted.items()):
        kept = {name: value for name, value in content.items() if name not in ("schema", "checksum")}
        write_json(folder.lock, {**kept, **noted})


def report(path: Path, templates: Path | None = None) -> SuiteFolder:
    """Render a suite's folder anew: from its records or, where they are not beside it, as in a published folder, from
    its tables and the data of its figures."""
    from vaebench.reporting.write import has_records, write_again

    folder, suite, command = opened(path)
    results = ResultsFolder(path.parent)
    if has_records(suite, results):
        render(suite, results, command, templates)
    else:
        lock = read_lock(folder.lock)
        info = {"command": command, "environment": lock.environment}
        write_again(suite, folder, info, lock.written.get(folder.runs.name, ""), templates)
    return folder


def lacking(folder: SuiteFolder) -> str:
    """What the report of a suite lacks, and what to do about it; nothing where it is complete."""
    from vaebench.reporting.runs import counts_text, read_runs, unfinished

    cells = unfinished(read_runs(folder.runs))
    return f"{counts_text(cells)}; `{opened(folder.path)[2]}` completes the suite" if cells else ""


def figures(path: str | Path) -> "dict[str, Figure]":
    """The figures of a suite's report by name, not drawn yet: `figures("runs/quickstart")[name].axes()` draws one."""
    from vaebench.reporting.contrasts import contrasts_table
    from vaebench.reporting.figures.catalogue import figures as figures_of
    from vaebench.reporting.figures.catalogue import stored_figures
    from vaebench.reporting.leaderboard import leaderboard_table
    from vaebench.reporting.runs import runs_table
    from vaebench.reporting.write import has_records

    folder, suite, _ = opened(Path(path))
    results = ResultsFolder(Path(path).parent)
    if not has_records(suite, results):
        return {figure.name: figure for figure in stored_figures(folder.figures)}
    runs = runs_table(suite, results)
    made = figures_of(suite, results, runs, leaderboard_table(suite, runs), contrasts_table(suite, runs))
    return {figure.name: figure for figure in made}


def opened(path: Path) -> tuple[SuiteFolder, Suite, str]:
    """A suite's folder, the suite as it was run last, and the command that ran it."""
    folder = SuiteFolder(path)
    if not folder.lock.exists():
        raise StoreError(f"{path}: no folder of a suite ({folder.lock.name} is missing); give DIR/SUITE")
    lock = read_lock(folder.lock)
    return folder, lock.suite, command_of(lock.content)


def compare(
    first: Path, second: Path, only: selection.Patterns = None, metrics: Sequence[str] | None = None
) -> "Compared":
    """Two suites' folders or leaderboards, row by row; `only` is patterns of dataset/view/variant."""
    from vaebench.reporting.compare import compare as compare_sides
    from vaebench.reporting.compare import read_side

    for path in (first, second):
        _check_side(SuiteFolder(path if path.is_dir() else path.parent))
    left, right = read_side(first), read_side(second)
    for metric in metrics or ():
        for side in (left, right):
            _known(f"metric in {side.name}:", metric, side.board.metrics)
    found = compare_sides(left, right, only, metrics)
    if not found.differences:
        raise NothingMatched(f"no row of {first} with a number has its like in {second}")
    return found


def _check_side(folder: SuiteFolder) -> None:
    """Refuse a suite of parts that a plugin brings, unless it is loaded."""
    if folder.lock.exists():
        opened(folder.path)


def publish(suite: str, results: Path, to: Path, incomplete: bool = False) -> "Published":
    """Copy a suite's folder without its cells to `to`/SUITE; `suite` is a folder, or a name in `results`."""
    from vaebench.reporting.publish import publish as publish_folder

    folder = SuiteFolder(Path(suite))
    return publish_folder(folder if folder.lock.exists() else ResultsFolder(results).suite(suite), to, incomplete)


def gate(
    path: Path, baseline: Path, least: float | Mapping[str, float] = 0.0, metrics: Sequence[str] | None = None
) -> "Gate":
    """What a suite's present numbers have lost or gained since a baseline.

    `least` is the difference that does not matter yet: of every metric, or by metric, family, and `*` for the others.
    """
    from vaebench.reporting.baseline import baseline_file, present
    from vaebench.reporting.gate import gate as judge

    folder, suite, _ = opened(path)
    _refuse_own_leaderboard(folder, baseline_file(baseline))
    kept, effects = expected_by_gate(baseline, least, metrics)
    return judge(kept, present(suite, ResultsFolder(path.parent)), effects, metrics)


def expected_by_gate(
    baseline: Path, least: float | Mapping[str, float] = 0.0, metrics: Sequence[str] | None = None
) -> "tuple[Side, MinimumEffects]":
    """The baseline and the sizes that matter, refused where something is wrong with them: all that can be known before
    there are numbers."""
    from vaebench.reporting.baseline import read_baseline

    effects = _minimum_effects(least)
    kept = read_baseline(baseline)
    for metric in metrics or ():
        families = dict.fromkeys(name.partition(".")[0] for name in kept.board.metrics)
        _known(f"metric in {kept.name}:", metric, dict.fromkeys((*families, *kept.board.metrics)))
    return kept, effects


def update_baseline(path: Path, baseline: Path) -> "Updated":
    """Let a suite's present numbers be the baseline, in place of what was one before."""
    from vaebench.reporting.baseline import baseline_file, present, update

    folder, suite, _ = opened(path)
    _refuse_own_leaderboard(folder, baseline_file(baseline))
    return update(baseline, present(suite, ResultsFolder(path.parent)))


def _refuse_own_leaderboard(folder: SuiteFolder, baseline: Path) -> None:
    if baseline.resolve() == folder.leaderboard.resolve():
        raise StoreError(f"{baseline}: is the suite's own, which every run writes anew; keep a baseline elsewhere")


def parsed_effects(texts: Sequence[str]) -> dict[str, float]:
    """Of `0.1`, for every metric that is not named, and `elbo=0.5`."""
    found = {}
    for text in texts:
        metric, _, size = text.rpartition("=")
        try:
            found[metric or "*"] = float(size)
        except ValueError:
            raise UnknownName(f"--min-effect {text}: must be a size such as 0.1, or METRIC=SIZE") from None
    return found


def _minimum_effects(least: float | Mapping[str, float]) -> "MinimumEffects":
    from vaebench.reporting.gate import MinimumEffects

    catalog, by_metric = load_catalog(), dict(least) if isinstance(least, Mapping) else {"*": least}
    for metric, size in by_metric.items():
        _known("metric", metric, dict.fromkeys(("*", *catalog.metrics, *catalog.columns)))
        if not 0 <= size < math.inf:
            raise UnknownName(f"the minimum effect of {metric} must be 0 or more, is {size}")
    return MinimumEffects(by_metric.pop("*", 0.0), by_metric)


def merge(into: Path, sources: Sequence[Path], newer: bool = False) -> "Merged":
    """Bring the cells and suites of several results folders into one."""
    from vaebench.store.merge import merge as merge_folders

    return merge_folders(ResultsFolder(into), [ResultsFolder(source) for source in sources], newer)


def export(path: Path, to: Path, table: str = "leaderboard") -> Path:
    """Write a table of a suite's folder in the format that the ending of `to` names."""
    from vaebench.reporting.dictionary import TABLES
    from vaebench.reporting.export import export as export_table

    _known("table", table, TABLES)
    return export_table(SuiteFolder(path), to, table)


SCHEMAS = ("suite", "leaderboard", "runs", "contrasts")


def schema(name: str = "suite") -> dict[str, Any]:
    """JSON Schema of a suite file, or of a row of a table."""
    _known("schema", name, SCHEMAS)
    if name == "suite":
        from vaebench.suite.json_schema import suite_schema

        return suite_schema()
    from vaebench.reporting.dictionary import json_schema

    return json_schema(name)


@dataclass(frozen=True)
class Status:
    """How far a suite is, from files alone."""

    suite: str
    counts: dict[str, int]
    """done, failed, open."""
    failures: dict[str, int]
    """What went wrong → in how many cells."""
    fleets: list[FleetStatus]


def status(path: Path) -> Status:
    """Told from plan.json, the records, and what running workers have said; works from any shell. Where the records
    are elsewhere, as those of a published folder, from runs.csv."""
    folder = SuiteFolder(path)
    if not folder.plan.exists():
        raise StoreError(f"{path}: no folder of a suite ({folder.plan.name} is missing); give DIR/SUITE")
    planned, results = read_plan(folder.plan), ResultsFolder(path.parent)
    has_records = any(results.cell(cell.cell).path.is_dir() for cell in planned.cells)
    states = (
        [_state_of(cell, planned, results) for cell in planned.cells]
        if has_records or not folder.runs.is_file()
        else _states_in(folder.runs)
    )
    counts = {state: sum(state == found for found, _ in states) for state in ("done", "failed", "open")}
    fleets = read_progress(folder, [fleet.fleet for fleet in planned.fleets])
    return Status(planned.suite, counts, dict(Counter(why for _, why in states if why)), fleets)


def _states_in(runs: Path) -> list[tuple[str, str]]:
    """The same of each cell of a table."""
    from vaebench.reporting.runs import FAILED, read_runs, unfinished

    table = read_runs(runs)
    states = dict.fromkeys(table["cell"], ("done", ""))
    for cell, run in unfinished(table).items():
        states[cell] = ("failed", f"{run.metric}: {run.note}") if run.status == FAILED else ("open", "")
    return list(states.values())


def _state_of(cell: CellLine, planned: PlanFile, results: ResultsFolder) -> tuple[str, str]:
    """done, failed or open, and what went wrong."""
    record, keep_stale = results.cell(cell.cell).read_record(), planned.keep_stale
    if record is None or not (keep_stale or record.fingerprints == cell.fingerprints):
        return "open", ""
    if record.failure is not None:
        return "failed", f"{record.failure.kind}: {record.failure.message}"
    wanted, now = set(cell.wanted), planned.metric_fingerprints
    answers = [
        value
        for value in record.metrics
        if value.request.key in wanted and (keep_stale or value.fingerprint == now.get(value.family))
    ]
    if {value.request.key for value in answers} != wanted:
        return "open", ""
    failed = [f"{value.family}: {value.note}" for value in answers if value.status == "failed"]
    return ("failed", failed[0]) if failed else ("done", "")


USUAL = ("elbo", "log_likelihood", "kl")
"""Metrics that an evaluation has unless it is asked for others."""


def parsed_metrics(text: str) -> list[str | dict[str, dict[str, Any]]]:
    """Of `elbo,log_likelihood:samples=5000:images=100` what `evaluate` takes; values are YAML, lists in brackets."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    found: list[str | dict[str, dict[str, Any]]] = []
    for entry in filter(None, (part.strip() for part in re.split(r",(?![^\[]*\])", text))):
        metric, *settings = entry.split(":")
        chosen = {}
        for setting in settings:
            name, equals, value = setting.partition("=")
            try:
                chosen[name.strip()] = YAML(typ="safe").load(value)
            except YAMLError:
                equals = ""
            if not equals or not name.strip():
                raise UnknownName(f"--metrics {entry}: {setting!r} must be SETTING=VALUE, as in samples=5000")
        found.append({metric.strip(): chosen} if chosen else metric.strip())
    return found


def evaluate(
    model: "LatentVariableModel | ConditionalModel",
    dataset: str,
    metrics: question.Metrics = USUAL,
    seed: int = 0,
    budget: str = "quick",
    data_root: Path | None = None,
    device: str | None = None,
    on_metric: Callable[[str], None] = lambda metric: None,
) -> "Evaluation":
    """What a suite would report of `model` on a data set view such as `mnist/binary`: metric → value, as a table.

    `model` keeps the contract of vaebench.models.contract, whoever trained it. `metrics` may change the budget as a
    suite's may: ["elbo", {"log_likelihood": {"samples": 5000}}]. `device` None: where the model lies.
    """
    from vaebench.engines.work import choose_device
    from vaebench.metrics.evaluation import evaluate_model
    from vaebench.reporting.evaluation import Evaluation

    requests = _asked(dataset, metrics, seed, budget, device)
    movable = device is not None and (device != "auto" or hasattr(model, "to"))
    where = choose_device(device) if device is not None and movable else None
    return Evaluation(evaluate_model(model, dataset, requests, _root(data_root), where, on_metric))


def evaluate_reference(
    reference: str,
    dataset: str,
    metrics: question.Metrics = USUAL,
    state: Path | None = None,
    seed: int = 0,
    budget: str = "quick",
    data_root: Path | None = None,
    device: str = "auto",
    on_metric: Callable[[str], None] = lambda metric: None,
    trust: bool = False,
) -> "Evaluation":
    """The same of what `module:factory` or `path/to/file.py:factory` makes, filled from a safetensors file, or of a
    folder that a library has saved, `pythae:FOLDER`; networks that are pickled there are opened on `trust` only."""
    from vaebench.models import foreign

    library, colon, folder = reference.partition(":")
    if library in load_catalog().libraries and not folder:
        raise UnknownName(f"evaluate: model: {library}{colon} names no folder: give {library}:FOLDER")
    if library in load_catalog().libraries:
        model = _saved_model(library, Path(folder), dataset, metrics, state, seed, budget, data_root, device, trust)
        return evaluate(model, dataset, metrics, seed, budget, data_root, device, on_metric)
    mistakes = foreign.mistakes(reference, state)
    if Path(reference).is_dir():
        read = " or ".join(f"{name}:{reference}" for name in load_catalog().libraries)
        mistakes = [f"{reference!r} is a folder: give {read} if that is who saved it, or FILE.py:FACTORY"]
    _asked(dataset, metrics, seed, budget, device, mistakes)
    model = foreign.load(reference, state, seed)
    return evaluate(model, dataset, metrics, seed, budget, data_root, device, on_metric)


def _saved_model(
    library: str,
    folder: Path,
    dataset: str,
    metrics: question.Metrics,
    state: Path | None,
    seed: int,
    budget: str,
    data_root: Path | None,
    device: str,
    trust: bool,
) -> "LatentVariableModel":
    """The model in a folder that a library has saved, after everything that is asked of it was checked."""
    from vaebench.catalog.implementation import implementation

    adapter = load_catalog().libraries[library]
    mistakes = implementation(adapter.examines)(folder, dataset, trust)
    if state is not None:
        mistakes.append(f"--state: {library}:{folder} brings its own parameters")
    _asked(dataset, metrics, seed, budget, device, mistakes)
    model: LatentVariableModel = implementation(adapter.loads)(folder, dataset, _root(data_root), trust)
    return model


def _asked(
    dataset: str, metrics: question.Metrics, seed: int, budget: str, device: str | None, mistakes: Sequence[str] = ()
) -> "list[MetricRequest]":
    """The requests; raises UnknownName with a line for each mistake, those that are known already among them."""
    findings = Findings("evaluate", {})
    for mistake in mistakes:
        findings.add(("model",), mistake)
    try:
        check_device(device or "auto")
    except UnknownName as unknown:
        findings.add(("device",), str(unknown))
    requests = question.requests(dataset, metrics, seed, budget, findings)
    try:
        findings.raise_if_any()
    except SuiteError as error:
        raise UnknownName(str(error)) from None
    return requests


LISTED: dict[str, Callable[[], Mapping[str, str]]] = {
    "variants": lambda: {name: entry.mapping["title"] for name, entry in load_catalog().variants.items()},
    "datasets": lambda: {name: entry.title for name, entry in load_catalog().datasets.items()},
    "metrics": lambda: _metric_titles(),
    "recipes": lambda: load_catalog().recipe_titles,
    "budgets": lambda: load_catalog().budget_titles,
    "views": lambda: {name: view.title for name, view in load_catalog().views.items()},
    "networks": lambda: _part_titles("network"),
    "likelihoods": lambda: _part_titles("likelihood"),
    "posteriors": lambda: _part_titles("posterior"),
    "priors": lambda: _part_titles("prior"),
    "objectives": lambda: _part_titles("objective"),
    "suites": lambda: _suite_titles(),
}
"""What can be listed → name and title of each."""


def _part_titles(kind: str) -> dict[str, str]:
    return {name: part.title for name, part in load_catalog().parts[kind].items()}


def listing(kind: str) -> Mapping[str, str]:
    _known("list", kind, LISTED)
    return LISTED[kind]()


def describe(name: str) -> list[dict[str, Any]]:
    """Everything in the catalog that has this name; of one of a metric's numbers, the metric."""
    from vaebench.catalog import describe as descriptions

    catalog = load_catalog()
    if name in catalog.columns:
        name = catalog.metric_of(name).name
    found = descriptions.describe(catalog, name)
    if not found:
        _known("such thing:", name, descriptions.names(catalog))
    return [_card(entry) for entry in found]


def _card(entry: dict[str, Any]) -> dict[str, Any]:
    """What the documentation's page says of it; what the catalog says, where there is no such page."""
    if entry["what"] == "variant":
        from vaebench.reporting.catalogue_page import content
    elif entry["what"] == "metric":
        from vaebench.reporting.metrics_page import content
    else:
        return entry
    return {"what": entry["what"], "name": entry["name"], **content(entry["name"])}


def _metric_titles() -> dict[str, str]:
    """Title of each family, and the numbers behind its dot."""
    metrics = load_catalog().metrics.values()
    parts = {metric.name: ", ".join(f".{part}" for part in metric.parts) for metric in metrics}
    return {metric.name: metric.title + (f" ({parts[metric.name]})" if metric.parts else "") for metric in metrics}


def _suite_titles() -> dict[str, str]:
    from vaebench.suite.loading import shipped

    return {name: load_suite(path).description for name, path in shipped().items()}


def _known(kind: str, name: str, valid: Any) -> None:
    if name not in valid:
        near = nearest(name, valid)
        hint = f"did you mean {near!r}?" if near else f"valid: {enumerated(valid, 20)}"
        raise UnknownName(f"no {kind} {name!r}; {hint}")


def data_root(settings: Settings) -> Path | None:
    """The user's data folder: the setting, else VAEBENCH_DATA."""
    return _root(settings.data_root)


def _root(given: Path | None) -> Path | None:
    named = given or (Path(os.environ["VAEBENCH_DATA"]) if os.environ.get("VAEBENCH_DATA") else None)
    return named.expanduser().resolve() if named else None


def file_datasets(suite: Suite) -> list[str]:
    """The data sets of a suite that are read from files."""
    return [name for name in dict.fromkeys(source.partition("/")[0] for source in suite.datasets) if reads_files(name)]


def reads_files(dataset: str) -> bool:
    """Whether a data set is one that torchvision fetches."""
    return load_catalog().datasets[dataset].implementation.startswith("vaebench.data.mnist:")


def check_device(device: str) -> None:
    """Refuse a device that is none, or is not here, before any cell is blamed for it."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UnknownName(f"no device {device!r}; valid: auto, cpu, cuda, cuda:0, cuda:1, …")
    if device.startswith("cuda"):
        import torch

        if int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
            raise UnknownName(f"no device {device!r} here: torch sees {torch.cuda.device_count()} CUDA devices")


def check_data(suite: Suite, settings: Settings) -> None:
    """Refuse missing or wrong data files before anything trains; fetch those that vaebench keeps itself."""
    for name in file_datasets(suite):
        verify_data(name, data_root(settings), fetch=True)


def verify_data(name: str, root: Path | None, fetch: bool = False) -> None:
    """Raise DataError with one line for each file that is not right."""
    from vaebench.data import mnist

    _known("data set that is read from files:", name, mnist.FILES)
    if root is None and fetch:
        mnist.ensure(name)
    mistakes = mnist.verify(name, root)
    if mistakes:
        raise mnist.DataError("\n".join(mistakes))


def fetch_data(name: str, root: Path | None) -> Path:
    """Download a data set into `root` (None: vaebench's own folder), and check it; the folder it lies in."""
    from vaebench.data import mnist

    _known("data set that is read from files:", name, mnist.FILES)
    where = root or mnist.own_root()
    mnist.fetch(name, where)
    verify_data(name, where)
    return mnist.folder(name, where)


def default_workers(device: str) -> int:
    """One for each GPU where they compute; else one for each core, with one thread each."""
    if found := gpus(device):
        return len(found)
    if device.startswith("cuda"):
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def lock(made: Plan, settings: Settings, results: ResultsFolder) -> dict[str, Any]:
    """What a rerun needs to know: the suite as it was understood, versions, device, git state, data checksums."""
    return {
        "suite": made.suite.to_json(),
        "source": source_of(made.suite),
        "plugins": plugged.recorded(made.suite),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in (*PACKAGES, *_foreign_packages(made.suite))},
        "device": settings.device,
        "compiled": settings.compiled,
        "compiled_cells": _compiled(made, results),
        "machine": machine(),
        "git": git_state(Path.cwd()),
        "data": _checksums(made, results),
    }


def _foreign_packages(suite: Suite) -> list[str]:
    """Of the libraries that train some of the suite's variants."""
    named = [trainers.library_of(variant.composition, load_catalog()) for variant in suite.variants]
    return list(dict.fromkeys(library.package for library in named if library))


def missing_libraries(suite: Suite) -> list[str]:
    """A line for each library that variants of the suite need and that is not installed."""
    return trainers.missing_libraries(suite.variants, load_catalog())


def _checksums(made: Plan, results: ResultsFolder) -> dict[str, str]:
    """Data set → hash of its content, where a model of it has been trained."""
    found: dict[str, str] = {}
    for planned in made.cells:
        name = planned.cell.dataset
        if name not in found and (record := results.cell(planned.cell.id).read_record()):
            found |= {name: record.environment["data_checksum"]} if "data_checksum" in record.environment else {}
    return found


def _compiled(made: Plan, results: ResultsFolder) -> list[str]:
    """The cells that were trained by compiled steps."""
    records = {planned.cell.id: results.cell(planned.cell.id).read_record() for planned in made.cells}
    return [cell for cell, record in records.items() if record and record.training.get("compiled")]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit, and whether the work tree differs from it; None outside a repository."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None

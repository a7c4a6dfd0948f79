"""Plan a suite, run it, and run it again from its lock file."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaebench.engines import planning
from vaebench.engines.crew import Outcome
from vaebench.engines.lockfile import read_lock
from vaebench.engines.planning import Plan, Policy
from vaebench.engines.progress import Progress, ProgressFiles
from vaebench.plugins.loading import load_plugins
from vaebench.project.choosing import ENGINES, check_engine
from vaebench.project.data import check_data, data_root
from vaebench.project.locking import command_of, lock
from vaebench.project.reports import render
from vaebench.project.settings import NothingMatched, Settings, UnknownName, check_device, default_workers
from vaebench.store.files import StoreError, check_folder, check_no_file, write_json
from vaebench.store.folders import ResultsFolder, SuiteFolder
from vaebench.store.here import remember_results
from vaebench.suite import selection
from vaebench.suite.loading import load_suite, load_suite_mapping
from vaebench.suite.suite import Suite

if TYPE_CHECKING:
    from vaebench.reporting.answers import Contrasts
    from vaebench.reporting.leaderboard import Leaderboard
    from vaebench.reporting.rerun import Rerun


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
    if not isinstance(suite, str | Path | Mapping):
        what = "a file, the name of a shipped one, a mapping or a Suite"
        raise UnknownName(f"a suite is {what}; this is of the type {type(suite).__name__}")
    chosen: dict[str, Any] = {name: getattr(settings, name) for name in ("profile", "plugins", "trust_plugins")}
    return load_suite_mapping(suite, **chosen) if isinstance(suite, Mapping) else load_suite(suite, **chosen)


def plan(suite: str | Path | Mapping[str, Any] | Suite, settings: Settings | None = None) -> Plan:
    """What would run, and why; touches nothing, and asks no device that may be another machine's."""
    settings = settings or Settings()
    check_device(settings.device, here=False)
    check_no_file(settings.results, "--results")
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
    check_folder(settings.results, "--results")
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

"""The folder of a suite that has run: rendered anew, drawn, compared, published, exported, merged."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaebench.engines.lockfile import no_suite, read_lock
from vaebench.project.locking import command_of, commit_of
from vaebench.project.settings import NothingMatched, known
from vaebench.store.files import check_folder, file_checksum, read_json, write_json
from vaebench.store.folders import ResultsFolder, SuiteFolder
from vaebench.suite import selection
from vaebench.suite.suite import Suite

if TYPE_CHECKING:
    from vaebench.reporting.compare import Compared
    from vaebench.reporting.figures.figure import Figure
    from vaebench.reporting.leaderboard import Leaderboard
    from vaebench.reporting.publish import Published
    from vaebench.store.merge import Merged


def render(suite: Suite, results: ResultsFolder, command: str, templates: Path | None = None) -> "Leaderboard":
    """Write leaderboard, runs, contrasts, figures and report from the records alone."""
    from vaebench.reporting.leaderboard import Leaderboard
    from vaebench.reporting.write import write_all

    folder = results.suite(suite.name)
    commit = commit_of(read_json(folder.lock)) if folder.lock.exists() else {}
    environment = write_all(suite, results, {"command": command, "environment": commit}, templates)
    _note(folder, environment)
    return Leaderboard.read(folder.leaderboard)


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
    check_folder(folder.path, "DIR/SUITE")
    results = ResultsFolder(path.parent)
    if has_records(suite, results):
        render(suite, results, command, templates)
    else:
        lock = read_lock(folder.lock)
        info = {"command": command, "environment": {**lock.environment, **commit_of(lock.content)}}
        write_again(suite, folder, info, lock.written.get(folder.runs.name, ""), templates)
    return folder


def is_from_tables(folder: SuiteFolder) -> bool:
    """Whether none of a suite's cells is beside it, so that its tables are all there is."""
    from vaebench.reporting.write import has_records

    return not has_records(opened(folder.path)[1], ResultsFolder(folder.path.parent))


def lacking(folder: SuiteFolder) -> str:
    """What the report of a suite lacks, and what to do about it; nothing where it is complete."""
    from vaebench.reporting.runs import FAILED, counts_text, read_runs, unfinished

    cells = unfinished(read_runs(folder.runs))
    if not cells:
        return ""
    command = opened(folder.path)[2]
    failed = [run for run in cells.values() if run.status == FAILED]
    again = f"`{command} --retry-failed` trains again what failed"
    advice = [f"`{command}` completes the rest"] if 0 < len(failed) < len(cells) else []
    advice = [*advice, again] if failed else [f"`{command}` completes the suite"]
    return f"{counts_text(cells)}; {', '.join(advice)}"


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
        raise no_suite(path, folder.lock.name)
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
            known(f"metric in {side.name}:", metric, side.board.metrics)
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

    folder, named = SuiteFolder(Path(suite)), ResultsFolder(results).suite(suite)
    is_folder = folder.lock.exists() or len(Path(suite).parts) > 1
    return publish_folder(folder if is_folder else named, to, incomplete)


def merge(into: Path, sources: Sequence[Path], newer: bool = False) -> "Merged":
    """Bring the cells and suites of several results folders into one."""
    from vaebench.store.merge import merge as merge_folders

    return merge_folders(ResultsFolder(into), [ResultsFolder(source) for source in sources], newer)


def export(path: Path, to: Path, table: str = "leaderboard") -> Path:
    """Write a table of a suite's folder in the format that the ending of `to` names."""
    from vaebench.reporting.dictionary import TABLES
    from vaebench.reporting.export import export as export_table

    known("table", table, TABLES)
    return export_table(SuiteFolder(path), to, table)


SCHEMAS = ("suite", "leaderboard", "runs", "contrasts")


def schema(name: str = "suite") -> dict[str, Any]:
    """JSON Schema of a suite file, or of a row of a table."""
    known("schema", name, SCHEMAS)
    if name == "suite":
        from vaebench.suite.json_schema import suite_schema

        return suite_schema()
    from vaebench.reporting.dictionary import json_schema

    return json_schema(name)

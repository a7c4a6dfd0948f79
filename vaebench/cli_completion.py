"""What a shell offers when somebody presses Tab: names from the catalog, suites, and what lies in the folder at hand.

Each function takes what is typed so far and answers with whole words. An empty answer leaves the word to the shell,
which then completes names of files. A mistake elsewhere on the line is told when the line is run, not here.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

SUITE_FILES = (".yaml", ".yml")
LISTS = ("suite.lock.json", "plan.json")
"""Either marks the folder of a suite."""


def files(incomplete: str) -> list[str]:
    """Nothing, so that the shell completes a path."""
    return []


def suites(incomplete: str) -> list[str]:
    """Shipped suites by name, and files that may be one."""
    from vaebench.suite.loading import shipped

    return [*_fitting(shipped(), incomplete), *_paths(incomplete, lambda path: path.suffix in SUITE_FILES)]


def suite_folders(incomplete: str) -> list[str]:
    """DIR/SUITE: the folders that a run has left, wherever the word points to."""
    return _paths(incomplete, is_suite_folder)


def is_suite_folder(path: Path) -> bool:
    return any((path / name).is_file() for name in LISTS)


def listed(incomplete: str) -> list[str]:
    """What `list` can list."""
    from vaebench.project import LISTED

    return _fitting(LISTED, incomplete)


def described(incomplete: str) -> list[str]:
    """Everything that has a name: variants, data sets, views, metrics and their parts, recipes, parts of models."""
    from vaebench.catalog.catalog import load_catalog
    from vaebench.catalog.describe import names

    catalog = load_catalog()
    return _fitting(dict.fromkeys((*names(catalog), *catalog.columns)), incomplete)


def metrics(incomplete: str) -> list[str]:
    """Families and their parts."""
    from vaebench.catalog.catalog import load_catalog

    catalog = load_catalog()
    return _fitting(dict.fromkeys((*catalog.metrics, *catalog.columns)), incomplete)


def metric_list(incomplete: str) -> list[str]:
    """The last word of A,B,C: families that do not stand there yet."""
    from vaebench.catalog.catalog import load_catalog

    before, comma, last = incomplete.rpartition(",")
    there = {entry.partition(":")[0] for entry in before.split(",")}
    return [f"{before}{comma}{name}" for name in _fitting(load_catalog().metrics, last) if name not in there]


def sources(incomplete: str) -> list[str]:
    """Data set views: mnist/binary and the like."""
    from vaebench.catalog.catalog import load_catalog

    return _fitting(load_catalog().sources, incomplete)


def file_datasets(incomplete: str) -> list[str]:
    """Data sets that are read from files."""
    from vaebench.catalog.catalog import load_catalog
    from vaebench.project import reads_files

    return _fitting(filter(reads_files, load_catalog().datasets), incomplete)


def budgets(incomplete: str) -> list[str]:
    from vaebench.catalog.catalog import load_catalog

    return _fitting(load_catalog().budgets, incomplete)


def tables(incomplete: str) -> list[str]:
    return _fitting(("leaderboard", "runs", "contrasts"), incomplete)


def schemas(incomplete: str) -> list[str]:
    from vaebench.project import SCHEMAS

    return _fitting(SCHEMAS, incomplete)


def _fitting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _paths(incomplete: str, wanted: Callable[[Path], bool]) -> list[str]:
    """Paths that go on from what is typed: the wanted ones there, and in the folders there."""
    folder, slash, start = incomplete.rpartition("/")
    lead = folder + slash
    try:
        here = sorted(path for path in Path(lead).expanduser().iterdir() if path.name.startswith(start))
        found = {f"{lead}{path.name}": path for path in here}
        inner = {f"{name}/{path.name}": path for name, at in found.items() if at.is_dir() for path in at.iterdir()}
    except OSError:
        return []
    return [name for name, path in (*found.items(), *sorted(inner.items())) if wanted(path)]

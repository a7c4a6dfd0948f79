"""Where the data sets that are read from files lie; nothing trains before they are right."""

import os
from collections.abc import Sequence
from pathlib import Path

from vaebench.catalog.catalog import load_catalog
from vaebench.project.settings import Settings, known
from vaebench.suite.suite import Suite


def data_root(settings: Settings) -> Path | None:
    """The user's data folder: the setting, else VAEBENCH_DATA."""
    return root_of(settings.data_root)


def root_of(given: Path | None) -> Path | None:
    named = given or (Path(os.environ["VAEBENCH_DATA"]) if os.environ.get("VAEBENCH_DATA") else None)
    return named.expanduser().resolve() if named else None


def file_datasets(suite: Suite) -> list[str]:
    """The data sets of a suite that are read from files."""
    return [name for name in dict.fromkeys(source.partition("/")[0] for source in suite.datasets) if reads_files(name)]


def reads_files(dataset: str) -> bool:
    """Whether a data set is one that torchvision fetches."""
    return load_catalog().datasets[dataset].implementation.startswith("vaebench.data.mnist:")


def check_data(suite: Suite, settings: Settings) -> None:
    """Refuse missing or wrong data files before anything trains; fetch those that vaebench keeps itself."""
    _verify(file_datasets(suite), data_root(settings), fetch=True)


def check_data_of(view: str, root: Path | None) -> None:
    """The same of a data set view such as `mnist/binary`."""
    name = view.partition("/")[0]
    _verify([name] if reads_files(name) else [], root, fetch=True)


def verify_data(name: str, root: Path | None) -> None:
    """Raise DataError with one line for each file that is not right."""
    from vaebench.data import mnist

    known("data set that is read from files:", name, mnist.FILES)
    _verify([name], root, fetch=False)


def _verify(names: Sequence[str], root: Path | None, fetch: bool) -> None:
    from vaebench.data import mnist

    if root is None and fetch:
        for name in names:
            mnist.ensure(name)
    mistakes = [mistake for name in names for mistake in mnist.verify(name, root)]
    if mistakes:
        raise mnist.DataError("\n".join(mistakes))


def fetch_data(name: str, root: Path | None) -> Path:
    """Download a data set into `root` (None: vaebench's own folder), and check it; the folder it lies in."""
    from vaebench.data import mnist

    known("data set that is read from files:", name, mnist.FILES)
    where = root or mnist.own_root()
    mnist.fetch(name, where)
    verify_data(name, where)
    return mnist.folder(name, where)

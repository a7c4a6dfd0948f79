"""`suite.lock.json`, read: the suite as it was understood, and with what it was run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vaebench.catalog.names import nearest
from vaebench.engines import plugged
from vaebench.engines.compiling import Wanted
from vaebench.plugins.plugin import PluginError
from vaebench.store.files import StoreError, read_json
from vaebench.store.folders import SuiteFolder
from vaebench.store.shapes import Misshapen, shaped
from vaebench.suite.resolved import UNUSABLE, check_usable
from vaebench.suite.suite import Suite


@dataclass(frozen=True)
class LockedPlugin:
    """A plugin without which the suite could not be run."""

    plugin: str
    hash: str
    installed: bool


@dataclass(frozen=True)
class Lock:
    suite: Suite
    source: str
    """What `vaebench run` was given."""
    device: str = "auto"
    compiled: Wanted = "auto"
    """Whether the steps of a training were to be compiled."""
    compiled_cells: list[str] | None = None
    """Those whose steps were; None where an older vaebench has not said."""
    machine: dict[str, Any] = field(default_factory=dict)
    python: str = ""
    versions: dict[str, str | None] = field(default_factory=dict)
    git: dict[str, Any] | None = None
    data: dict[str, str] = field(default_factory=dict)
    """Data set → hash of its content."""
    plugins: list[LockedPlugin] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    """What the records said of the machines that made them, when the report was written."""
    written: dict[str, str] = field(default_factory=dict)
    """File beside it → checksum, of what the report was written from."""
    content: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The file as it stands."""


def read_lock(path: Path) -> Lock:
    """Everything in it is held against its type and the catalog, for somebody else may have written it."""
    content = read_json(path)
    try:
        lock: Lock = shaped(Lock, {**content, "content": content})
        _check_plugins(lock, path)
        check_usable(lock.suite)
    except Misshapen as error:
        what = " ".join(str(error).split())[:200]
        raise StoreError(f"{path}: written by another version of vaebench ({what}); run the suite again") from error
    return lock


def _check_plugins(lock: Lock, path: Path) -> None:
    try:
        plugged.check_known(lock.suite, lock.content.get("plugins", []), path.parent)
    except PluginError:
        raise
    except UNUSABLE as error:
        raise Misshapen(f"{type(error).__name__}: {error}") from error


def no_suite(path: Path, missing: str) -> StoreError:
    """That `path` is no folder of a suite, for want of a file; with the suite's folder that was probably meant."""
    if path.is_dir():
        return StoreError(f"{path}: no folder of a suite ({missing} is missing); give DIR/SUITE")
    try:
        suites = [folder.name for folder in path.parent.iterdir() if SuiteFolder(folder).lock.is_file()]
    except OSError:
        suites = []
    near = nearest(path.name, suites)
    hint = f"did you mean {path.parent / near}?" if near else "give DIR/SUITE"
    return StoreError(f"{path}: there is no such folder; {hint}")

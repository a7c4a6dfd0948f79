"""Running a plugin's module: whatever goes wrong in it is one line with its file and line, also where it never ends."""

import contextlib
import importlib
import importlib.util
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import TypeVar

from vaebench.catalog.names import nearest
from vaebench.plugins.faults import place, told
from vaebench.plugins.plugin import PluginError
from vaebench.store.cell import digest

Said = TypeVar("Said")

IMPORT_SECONDS = 60.0
"""Longer than a machine under load takes to import torch and what usually comes with it."""


class _TooLong(BaseException):
    """Raised in a module that does not come to its end; no `except Exception` of its author's catches it."""


def file_of(path: Path, shown: str) -> Path:
    """The file that a plugin is; PluginError where there is none."""
    resolved = path.expanduser().resolve()
    if resolved.is_dir():
        raise PluginError(f"{shown}: is a folder; give the .py file in it, or the name of an installed module")
    if not resolved.is_file():
        parent = resolved.parent
        near = nearest(path.name, [other.name for other in parent.glob("*.py")] if parent.is_dir() else [])
        raise PluginError(f"{shown}: no such file" + (f"; did you mean {str(path.parent / near)!r}?" if near else ""))
    if resolved.suffix != ".py":
        raise PluginError(f"{shown}: is no .py file")
    return resolved


def module_name(path: Path) -> str:
    """Under which the module of a file is kept: its own name is left to whoever imports it."""
    return f"vaebench_plugin_{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}_{digest(str(path), 8)}"


def import_file(path: Path, shown: str) -> ModuleType:
    """Run the file as it is now, in a new module; modules that lie beside it can be imported."""
    name = module_name(path)
    if _is_being_imported(sys.modules.get(name)):
        raise PluginError(f'{shown}: loads itself; keep what runs suites below `if __name__ == "__main__":`')
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
        importlib.invalidate_caches()

    def run() -> ModuleType:
        # no bytecode: a file that changes twice within a second would be taken for the older one
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
        return module

    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        with _begun(module):
            return guarded(run, shown)
    except BaseException:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        raise


def import_module(name: str, shown: str) -> ModuleType:
    """The module of this name, from wherever Python finds it."""
    try:
        spec = importlib.util.find_spec(name.partition(".")[0]) if all(name.split(".")) else None
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        there = Path(f"{name}.py").is_file()
        hint = f"; did you mean '{name}.py'?" if there else "; give a .py file, or the name of an installed module"
        raise PluginError(f"{shown}: no module {name!r}{hint}")
    return guarded(lambda: importlib.import_module(name), shown)


def guarded(run: Callable[[], Said], shown: str) -> Said:
    """What `run` returns; whatever it raises is a PluginError. What the module prints goes to standard error."""
    try:
        with contextlib.redirect_stdout(sys.stderr), _limited(IMPORT_SECONDS):
            return run()
    except (KeyboardInterrupt, PluginError):
        raise
    except _TooLong as error:
        raise PluginError(f"{place(error, shown)}: importing {shown} takes longer than {IMPORT_SECONDS:g} s") from None
    except BaseException as error:
        raise PluginError(f"{place(error, shown)}: importing {shown} raised {told(error)}") from error


@contextlib.contextmanager
def _begun(module: ModuleType) -> Iterator[None]:
    vars(module)["__vaebench_loading__"] = True
    try:
        yield
    finally:
        del vars(module)["__vaebench_loading__"]


def _is_being_imported(module: ModuleType | None) -> bool:
    return "__vaebench_loading__" in vars(module) if module else False


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise _TooLong in the main thread after so many seconds, and every second from then on; elsewhere, no limit."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def too_long(number: int, frame: FrameType | None) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

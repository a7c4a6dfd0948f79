"""The plugins of this process: what `--plugin`, entry points and trusted suites name, loaded once and joined."""

import importlib.metadata
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from vaebench.catalog.catalog import adopt, packaged_catalog
from vaebench.plugins.declaring import declarations
from vaebench.plugins.faults import near_path
from vaebench.plugins.importing import file_of, guarded, import_file, import_module, module_name
from vaebench.plugins.joining import joined, laid_open
from vaebench.plugins.plugin import Plugin, PluginError
from vaebench.plugins.sources import Sources, sources

GROUP = "vaebench.plugins"
"""Entry points of installed packages; each names a module that declares something."""

_loaded: dict[str, Plugin] = {}
"""Reference → plugin. A process has one catalog, and so one set of plugins that have joined it."""
_is_complete = False
"""The installed ones are among them."""


def load_plugins(*references: str | Path) -> tuple[Plugin, ...]:
    """Bring what plugins declare into the catalog of this process, and with it what installed packages bring.

    A reference is a .py file or the name of a module. One that is loaded already is loaded again if its sources have
    changed. Returns those that were named. Raises PluginError with a line for each mistake; then nothing has joined.
    """
    global _is_complete
    named: dict[str, Plugin] = {}
    for reference in references:
        plugin = _load(str(reference), near_path(str(reference)), "given")
        named[plugin.reference] = plugin
    _join(named if _is_complete else {**_installed(), **named})
    _is_complete = True
    return tuple(named.values())


def load_as_planned(planned: Mapping[str, str]) -> None:
    """In a process that works for another: load what that has loaded; reference → hash of the sources there."""
    wanted = {reference: _load(reference, near_path(reference), "given") for reference in planned}
    changed = [plugin.shown for reference, plugin in wanted.items() if plugin.hash != planned[reference]]
    if changed:
        raise PluginError(f"{', '.join(changed)}: has changed since this run was planned; run the suite again")
    _join(wanted)


def bringing(things: Iterable[tuple[str, str]]) -> tuple[Plugin, ...]:
    """The plugins that bring any of these, by kind and name."""
    wanted = set(things)
    return tuple(plugin for plugin in _loaded.values() if not wanted.isdisjoint(plugin.brings))


def plugins_of(modules: Iterable[str]) -> tuple[Plugin, ...]:
    """The plugins that these modules belong to."""
    wanted = set(modules)
    return tuple(plugin for plugin in _loaded.values() if not wanted.isdisjoint(plugin.modules))


def is_loaded(reference: str) -> bool:
    """Whether the plugin in this file, or of this name, has joined."""
    return reference in _loaded or str(Path(reference).expanduser().resolve()) in _loaded


def loaded_as(reference: str) -> Plugin:
    """The plugin that a job names."""
    return _loaded[reference]


def _join(wanted: Mapping[str, Plugin]) -> None:
    together = {**_loaded, **wanted}
    if together != _loaded:
        adopt(joined(packaged_catalog(), together.values()))
        _loaded.update(wanted)


def _load(reference: str, shown: str, origin: Literal["given", "installed"]) -> Plugin:
    """The plugin, as it is loaded already or anew."""
    if reference.endswith(".py") or "/" in reference:
        path = file_of(Path(reference), shown)
        known, name, package = str(path), module_name(path), None
    else:
        known, name, package = reference, reference, reference.partition(".")[0]
        path = _file_of_module(reference, shown)
    before = _loaded.get(known)
    is_same = before is not None and _sources(path, name, package, shown).hash == before.hash
    if before is not None and is_same and not before.reads_files:
        return before
    if before is not None and not is_same and (package is not None or before.brings_data):
        raise PluginError(f"{shown}: has changed since this process loaded it; start Python again")
    module = import_file(path, shown) if package is None else import_module(name, shown)
    found = _sources(path, name, package, shown)
    modules = [module, *(sys.modules[other] for other in found.modules[1:] if other in sys.modules)]
    declared = [single for each in modules for one in declarations(each) for single in laid_open(one)]
    if not declared:
        what = 'declares nothing; decorate what it brings, as in @vaebench.likelihood("name")'
        raise PluginError(f"{shown}: {what}, or call vaebench.variant")
    return Plugin(known, shown, origin, frozenset(found.modules), found.hash, found.imports, tuple(declared))


def _sources(path: Path, name: str, package: str | None, shown: str) -> Sources:
    return guarded(lambda: sources(path, name, package), shown)


def _file_of_module(name: str, shown: str) -> Path:
    file = import_module(name, shown).__file__
    if file is None or not file.endswith(".py"):
        raise PluginError(f"{shown}: module {name!r} has no source, so nobody could tell when it changes")
    return Path(file).resolve()


def _installed() -> dict[str, Plugin]:
    """Those of the entry points of installed packages, in the order of their names."""
    found: dict[str, Plugin] = {}
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        package = f"{entry.dist.name} {entry.dist.version}, " if entry.dist else ""
        plugin = _load(entry.module, f"{entry.module} ({package}entry point {entry.name})", "installed")
        found[plugin.reference] = plugin
    return found

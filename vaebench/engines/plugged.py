"""Which plugins the cells of a suite need, and how that is kept in its lock file and told to whoever comes later."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vaebench.catalog.catalog import KINDS, load_catalog
from vaebench.engines.job import CellWork
from vaebench.plugins.faults import near_path
from vaebench.plugins.loading import bringing
from vaebench.plugins.plugin import Plugin, PluginError
from vaebench.suite.suite import Suite

Things = set[tuple[str, str]]
"""Kinds and names."""


def plugins_of_cells(works: Iterable[CellWork]) -> dict[str, str]:
    """Reference → hash of the plugins that a worker needs for these cells."""
    things: Things = set()
    for work in works:
        things |= {("metric", request.metric) for request in work.requests}
        things |= {("dataset", work.cell.dataset), *_parts(work.cell.composition)}
    return {plugin.reference: plugin.hash for plugin in bringing(things)}


def needed_plugins(suite: Suite) -> tuple[Plugin, ...]:
    """The plugins without which the suite could not be read."""
    variants, things = load_catalog().variants, _things(suite)
    for variant in suite.variants:
        ancestor = variant.extends
        while ancestor in variants and ("variant", ancestor) not in things:
            things.add(("variant", ancestor))
            ancestor = variants[ancestor].extends
    return bringing(things)


def recorded(suite: Suite) -> list[dict[str, Any]]:
    """What a lock file says of the plugins: reference as another shell would give it, hash, whether it is installed."""
    return [
        {"plugin": near_path(plugin.reference), "hash": plugin.hash, "installed": plugin.origin == "installed"}
        for plugin in needed_plugins(suite)
    ]


def options(plugins: Iterable[Mapping[str, Any]]) -> str:
    """What names the recorded plugins on a command line; installed ones need no name."""
    return "".join(f" --plugin {shlex.quote(plugin['plugin'])}" for plugin in plugins if not plugin["installed"])


def check_known(suite: Suite, plugins: Iterable[Mapping[str, Any]], folder: Path) -> None:
    """Refuse to go on with a suite whose parts this process does not know, and say which plugin brings them."""
    catalog = load_catalog()
    known: dict[str, Mapping[str, Any]] = {"dataset": catalog.datasets, "metric": catalog.metrics, **catalog.parts}
    unknown = sorted(f"{kind} {name}" for kind, name in _things(suite) if name not in known[kind])
    if unknown:
        named = [str(plugin["plugin"]) for plugin in plugins]
        advice = f"add {options(plugins).strip()}" if options(plugins) else f"install {', '.join(named) or 'it'}"
        raise PluginError(f"{folder}: {', '.join(unknown)}: brought by a plugin that is not loaded; {advice}")


def _things(suite: Suite) -> Things:
    """Metrics, data sets and parts that the suite names."""
    things = {("metric", family) for family in suite.families}
    things |= {("dataset", source.partition("/")[0]) for source in suite.datasets}
    return things.union(*(_parts(variant.composition) for variant in suite.variants))


def _parts(composition: Mapping[str, Any]) -> Things:
    return {(kind, composition[kind]["name"]) for kind in KINDS}

"""Fingerprints of modules among which are plugins."""

from collections.abc import Collection, Iterable

from vaebench.plugins.loading import plugins_of
from vaebench.store import fingerprints
from vaebench.store.cell import digest

ROOM = "plugins"
"""Under which the hash of the plugins' own sources stands beside those of vaebench's rooms."""


def fingerprint(modules: Collection[str], rooms: Iterable[str]) -> dict[str, str]:
    """As store.fingerprints.fingerprint; what plugins import of vaebench counts as vaebench's, the rest is theirs."""
    plugins = plugins_of(modules)
    own = {name for name in modules if name.startswith("vaebench.")}
    found = fingerprints.fingerprint(own.union(*(plugin.imports for plugin in plugins)), rooms)
    if plugins:
        found[ROOM] = digest(sorted(plugin.hash for plugin in plugins))
    return found

"""What a Ray cluster is sent with the first fleet: these sources of vaebench, and the plugins that are files.

So a node runs what the driver planned, whatever version is installed there: a record never comes of other sources than
its fingerprints say. Plugins that are installed packages are expected on the nodes, like everything they import.
"""

import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vaebench.engines.job import Job
from vaebench.plugins.loading import loaded_as
from vaebench.plugins.plugin import Plugin
from vaebench.store.cell import digest

PACKAGE = Path(__file__).resolve().parents[1]
"""vaebench itself."""
CARGO = "vaebench_cargo"
"""Name of the folder of plugins, found on a node's module path."""


def runtime_environment(jobs: Iterable[Job], folder: Path) -> dict[str, Any]:
    """Ray's runtime environment; the plugins are copied into `folder` first."""
    cargo = folder / CARGO
    cargo.mkdir()
    (cargo / "__init__.py").touch()
    for reference in sorted({reference for job in jobs for reference in job.plugins}):
        if is_file(reference):
            _copy(loaded_as(reference), cargo / place_of(reference))
    return {"py_modules": [str(PACKAGE), str(cargo)], "excludes": ["__pycache__"]}


def unpacked(plugins: Mapping[str, str]) -> dict[str, str]:
    """On a node: the plugins of a job under the references that they have here."""
    cargo = next((path for path in (Path(entry) / CARGO for entry in sys.path) if path.is_dir()), None)
    return {
        str(cargo / place_of(reference) / Path(reference).name) if cargo and is_file(reference) else reference: sources
        for reference, sources in plugins.items()
    }


def is_file(reference: str) -> bool:
    return reference.endswith(".py")


def place_of(reference: str) -> str:
    """Name of a plugin's folder within the cargo."""
    return digest(reference, 12)


def _copy(plugin: Plugin, to: Path) -> None:
    """The plugin's file, the modules that it imports from beside it, and the YAML that it reads its variants from."""
    home = Path(plugin.reference).parent
    files = [Path(plugin.reference), *(_module(name, home) for name in plugin.modules)]
    files += [Path(declaration.file) for declaration in plugin.declarations]
    for file in files:
        if file.is_file() and file.is_relative_to(home):
            target = to / file.relative_to(home)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


def _module(name: str, home: Path) -> Path:
    base = home.joinpath(*name.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_name(f"{base.name}.py")

"""The sources of a plugin: its file and what that imports of its author's own, read and never run."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vaebench.store.cell import digest
from vaebench.store.fingerprints import own_modules, source_file


@dataclass(frozen=True)
class Sources:
    modules: tuple[str, ...]
    """Names of the modules, the first one first."""
    hash: str
    """Of every source, under the place that it has beside the first."""
    imports: frozenset[str]
    """Modules of vaebench that they import."""


def sources(file: Path, module: str, package: str | None = None) -> Sources:
    """Those of `file`, which is imported as `module`, and of all that it imports from its own folder.

    Of a module that is part of an installed `package`, of all that it imports from that package. What is imported
    under a name that is made at run time is not seen.
    """
    root = _root(file, module) if package else file.parent
    hashes: dict[str, str] = {}
    modules: list[str] = []
    imports: set[str] = set()
    waiting = [(module, file)]
    while waiting:
        name, path = waiting.pop()
        place = "" if path == file else str(path.relative_to(root))
        if place in hashes:
            continue
        found = source_file(path)
        hashes[place] = found.hash
        modules.append(name)
        absolute = [_absolute(wanted, name, path.name == "__init__.py") for wanted in found.imports]
        imports.update(own_modules(absolute))
        waiting += _beside(absolute, root, package)
    return Sources(tuple(modules), digest(hashes), frozenset(imports))


def _root(file: Path, module: str) -> Path:
    """The folder that the module's name begins in."""
    steps = module.count(".") + (file.name == "__init__.py")
    return file.parents[steps]


def _absolute(name: str, importer: str, is_package: bool) -> str:
    """`..other` in `package.inner.module` → `package.other`."""
    dots = len(name) - len(name.lstrip("."))
    if dots == 0:
        return name
    parts = importer.split(".")
    kept = parts[: len(parts) - dots + is_package]
    return ".".join([*kept, name[dots:]]).rstrip(".")


def _beside(names: Iterable[str], root: Path, package: str | None) -> Iterator[tuple[str, Path]]:
    """The modules among `names` whose sources lie below `root`, and the packages that they are in."""
    for name in names:
        parts = name.split(".")
        if parts[0] == "vaebench" or (package is not None and parts[0] != package):
            continue
        for length in range(1, len(parts) + 1):
            base = root.joinpath(*parts[:length])
            for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
                if base.name and path.is_file():
                    yield ".".join(parts[:length]), path

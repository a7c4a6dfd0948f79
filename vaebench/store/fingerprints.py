"""Hashes of the sources that made a model or a number, so that a change of code makes its results stale."""

import ast
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).resolve().parent.parent
MODEL_ROOMS = ("data", "models", "objectives", "training", "adapters")


def fingerprint(modules: Iterable[str], rooms: Iterable[str]) -> dict[str, str]:
    """Room → hash over `modules` and everything they import, as far as it stands in one of `rooms`.

    Imports are read from the source, never executed, so this costs no torch. A module that is looked up by name
    at run time (through the catalog) is not an import: name it in `modules`.
    """
    rooms = tuple(rooms)
    sources = _closure(frozenset(modules), rooms)
    hashes = {}
    for room in rooms:
        parts = sorted(name for name in sources if name.split(".")[1] == room)
        if parts:
            joined = "\n".join(f"{name} {_source_hash(_path(name))}" for name in parts)
            hashes[room] = hashlib.sha256(joined.encode()).hexdigest()[:16]
    return hashes


def _closure(modules: frozenset[str], rooms: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += [other for other in _imports(_path(name)) if other.split(".")[1] in rooms]
    return found


def _path(module: str) -> Path:
    base = PACKAGE.joinpath(*module.split(".")[1:])
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _source_hash(path: Path) -> str:
    return source_file(path).hash


def _imports(path: Path) -> tuple[str, ...]:
    return own_modules(source_file(path).imports)


class SourceFile(NamedTuple):
    """What a file of Python's says of itself without being run."""

    hash: str
    """Of the source, with line ends normalised."""
    imports: tuple[str, ...]
    """Every name that it imports, as far as it may be a module; relative ones with their dots."""


def source_file(path: Path) -> SourceFile:
    return _read(path, path.stat().st_mtime_ns)


def own_modules(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that are modules of vaebench."""
    return tuple(sorted(name for name in names if name.startswith("vaebench.") and _path(name).exists()))


@functools.lru_cache(maxsize=512)
def _read(path: Path, changed: int) -> SourceFile:
    text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    names: set[str] = set()
    for node in ast.walk(ast.parse(text, str(path))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            inner = base if base.endswith(".") else f"{base}."
            names.update([base, *(f"{inner}{alias.name}" for alias in node.names)])
    return SourceFile(hashlib.sha256(text.encode()).hexdigest(), tuple(sorted(names)))

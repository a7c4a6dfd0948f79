"""The contents of a folder's YAML files, read once and then taken from beside Python's own compiled files.

The reader of YAML is written in Python and takes half a second for the catalog, which every command needs. What it has
read is therefore kept as Python keeps its modules: in `__pycache__`, with the hash of what it was read from.
"""

import contextlib
import hashlib
import importlib.util
import pickle
import sys
from pathlib import Path
from typing import Any

import ruamel.yaml

from vaebench.store.files import replacing

LENGTH = hashlib.sha256().digest_size


def contents(folder: Path) -> dict[str, Any]:
    """Path below `folder` → what that YAML file says, for all of them in the order of their paths."""
    sources = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.yaml"))}
    key = _hash(sources)
    kept = _kept(folder, key)
    if kept is None:
        yaml = ruamel.yaml.YAML(typ="safe", pure=True)
        kept = {name: yaml.load(source.decode("utf-8")) for name, source in sources.items()}
        _keep(folder, key, kept)
    return kept


def _hash(sources: dict[str, bytes]) -> bytes:
    """Of all that the contents follow from, the reader included."""
    digest = hashlib.sha256(ruamel.yaml.__version__.encode())
    for name, source in sources.items():
        digest.update(f"\n{name} {len(source)}\n".encode())
        digest.update(source)
    return digest.digest()


def kept_at(folder: Path) -> Path:
    """Beside the compiled module that Python would have for `contents.py` in that folder."""
    return Path(importlib.util.cache_from_source(str(folder / "contents.py"))).with_suffix(".pickle")


def _kept(folder: Path, key: bytes) -> dict[str, Any] | None:
    """None where nothing is kept of these sources, or not whole."""
    with contextlib.suppress(OSError):
        kept = kept_at(folder).read_bytes()
        checksum, content = kept[LENGTH : 2 * LENGTH], kept[2 * LENGTH :]
        if kept[:LENGTH] == key and checksum == hashlib.sha256(content).digest():
            read: dict[str, Any] = pickle.loads(content)
            return read
    return None


def _keep(folder: Path, key: bytes, read: dict[str, Any]) -> None:
    """Where Python may keep its own. A place that cannot be written to is no harm: the next process reads the YAML."""
    if sys.dont_write_bytecode:
        return
    content = pickle.dumps(read)
    with contextlib.suppress(Exception), replacing(kept_at(folder)) as temporary:
        temporary.write_bytes(key + hashlib.sha256(content).digest() + content)

"""Writing files whole, and reading them back with their schema version checked."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMA = 1


class StoreError(Exception):
    """A file of a results folder that cannot be read or written; the message names it and says what to do."""


class Damaged(StoreError):
    """A file whose content is not what was written."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place, fsynced, when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` under the current schema version, with a checksum that tells a flipped bit."""
    head = {"schema": SCHEMA, "checksum": checksum({"schema": SCHEMA, **content})}
    write_text(path, json.dumps({**head, **content}, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def checksum(content: dict[str, Any]) -> str:
    """Of a file's content without its checksum."""
    without = {key: value for key, value in content.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(without, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]


def read_json(path: Path) -> dict[str, Any]:
    """Read a file written by `write_json`; refuse a newer schema and a damaged file by name.

    A file without a checksum was written before there was one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise Damaged(f"{path}: damaged ({error}); delete it and run the suite again") from error
    if not isinstance(content, dict) or not isinstance(content.get("schema"), int):
        raise Damaged(f"{path}: not a file of vaebench (no schema version)")
    if content["schema"] > SCHEMA:
        raise StoreError(f"{path}: schema {content['schema']} is newer than this vaebench reads ({SCHEMA}); upgrade it")
    if "checksum" in content and content["checksum"] != checksum(content):
        raise Damaged(f"{path}: damaged (its checksum is another); delete it and run the suite again")
    return content


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Writing files whole, and reading them back with their schema version checked."""

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vaebench.store.failures import UNWRITABLE, system_error

SCHEMA = 1


class StoreError(Exception):
    """A file of a results folder that cannot be read or written; the message names it and says what to do."""


class Damaged(StoreError):
    """A file whose content is not what was written."""


class Unwritable(StoreError):
    """A place where nothing can be written: nothing of what was to be written is there, and what was there stays."""

    @classmethod
    def of(cls, path: Path, number: int) -> "Unwritable":
        advice = f"{UNWRITABLE[number]} and run the same command again, what is finished stays"
        return cls(f"{path}: cannot be written ({os.strerror(number)}); {advice}")


def check_no_file(path: Path, named_by: str) -> Path:
    """Refuse in one line what is or lies below a file, and no folder; the nearest folder that is there."""
    there = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise Unwritable(f"{path}: {there.name} is a file; name a folder with {named_by}")
    return there


def check_folder(path: Path, named_by: str) -> None:
    """Refuse in one line, before anything is done, a folder in which no file can be written."""
    there = check_no_file(path, named_by)
    if not os.access(there, os.W_OK | os.X_OK):
        advice = f"make it writable, or name another folder with {named_by}"
        raise Unwritable(f"{path}: cannot be written (no permission, or a read-only file system); {advice}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place, fsynced, when the block ends without an error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        if path.is_dir():
            raise Unwritable(f"{path}: a folder stands in its place; move it away and run the same command again")
        temporary.replace(path)
        _sync_folder(path.parent)
    except Exception as error:
        if system_error(error) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
            raise unwritable(path, error) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def unwritable(path: Path, error: Exception) -> Exception:
    """The error in words that say what to do, where it is of a kind that is known."""
    number = system_error(error)
    return Unwritable.of(path, number) if number in UNWRITABLE else error


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


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def file_checksum(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def read_json(path: Path) -> dict[str, Any]:
    """Read a file written by `write_json`; refuse a newer schema and a damaged file by name.

    A file without a checksum was written before there was one.
    """
    if path.exists() and not path.is_file():
        raise Damaged(f"{path}: no plain file; remove it and run the suite again")
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text, parse_constant=_refused)
        if "\\ud" in text.lower():
            json.dumps(content, ensure_ascii=False).encode()  # half a character can be escaped, and never be written
        told = checksum(content) if isinstance(content, dict) else ""
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{path}: damaged ({error}); delete it and run the suite again") from error
    if not isinstance(content, dict) or not isinstance(content.get("schema"), int):
        raise Damaged(f"{path}: not a file of vaebench (no schema version)")
    if content["schema"] > SCHEMA:
        raise StoreError(f"{path}: schema {content['schema']} is newer than this vaebench reads ({SCHEMA}); upgrade it")
    if "checksum" in content and content["checksum"] != told:
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

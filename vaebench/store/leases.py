"""Who works on which cell of a results folder, where several drivers share it: files, and no service.

A lease is a file without content, `DIR/.leases/cells/<cell>/<owner>`: the name of the only file in the folder says who
holds the cell, so there is nothing in a lease that a flipped bit could turn into somebody else's. Beside it every
owner keeps one heartbeat, `DIR/.leases/owners/<owner>`, a count that grows every few seconds. Why it is safe:

1. *At most one holder.* A free cell is taken by renaming a prepared folder, with the owner's file in it, to the cell's
   name. The file system makes that exclusive, as O_EXCL would: it fails where a folder with a file in it stands.
2. *A dead owner loses its lease once.* It is taken over by renaming the dead owner's file to one's own name. Owners'
   names are never used twice, so of two observers who have judged the same owner dead, one renames the file and the
   other finds none; and who judged long ago cannot hit what the cell's holder is called by now.
3. *A release frees only one's own.* It unlinks the file of one's own name, which nobody else can have, and then an
   empty folder; a folder that somebody has meanwhile moved in its place has a file in it, and stays.
4. *The living are not robbed.* On the machine of the owner (same host, boot and process namespace) the process table
   decides: the owner is dead when its process number is free, a zombie's, or another process's by its start time.
   Where that cannot be asked, an owner is dead when its heartbeat has not changed for `SILENCE_SECONDS` of the
   observer's own clock, and only time in which the observer kept looking counts: clocks of two machines are never
   compared, and an observer that slept does not take its own sleep for somebody's death.
5. *The robbed notice.* An owner that was only frozen, or cut off from the files, and lost its lease, can tell: its file
   is gone (`is_held`). Workers ask before they write a record, drivers every few seconds. Between that question and
   the write lies one rename; what can happen in it is that one of two whole records of the same cell stays, and the
   checksum of its model in a record tells a model that is the other's.
"""

import contextlib
import errno
import functools
import hashlib
import os
import re
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from vaebench.store.files import unwritable

HEARTBEAT_SECONDS = 5.0
SILENCE_SECONDS = 60.0
"""An owner whose process cannot be asked is dead when its heartbeat has stood still for so long."""


@dataclass(frozen=True)
class Owner:
    """One driver, for as long as its process lives."""

    host: str
    machine: str
    """Hash of host, boot and process namespace: where it is the same, process numbers mean the same."""
    pid: int
    started: int
    """When the process was started, in the machine's own ticks; 0 where that cannot be asked."""
    nonce: str

    @classmethod
    def here(cls) -> "Owner":
        host = re.sub(r"[^\w-]", "-", socket.gethostname(), flags=re.ASCII)[:64] or "host"
        return cls(host, _machine(), os.getpid(), _started(os.getpid()) or 0, secrets.token_hex(8))

    @property
    def name(self) -> str:
        return f"{self.host}.{self.machine}.{self.pid}.{self.started}.{self.nonce}"

    @classmethod
    def named(cls, name: str) -> "Owner | None":
        """The owner that `name` belongs to; None where it is no owner's."""
        match = re.fullmatch(r"([\w-]+)\.([0-9a-f]+)\.(\d+)\.(\d+)\.([0-9a-f]+)", name, re.ASCII)
        if match is None:
            return None
        host, machine, pid, started, nonce = match.groups()
        return cls(host, machine, int(pid), int(started), nonce)

    def is_alive(self) -> bool | None:
        """By the process table; None where it cannot be asked."""
        if self.machine != _machine():
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):
            pass
        now = _started(self.pid)
        return None if now is None or not self.started else now == self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@dataclass
class _Silence:
    """How long an observer has seen a heartbeat stand still."""

    heartbeat: bytes
    looked: float
    seconds: float = 0.0

    def look(self, heartbeat: bytes, now: float) -> float:
        """Only the time between two looks that follow each other closely counts."""
        if heartbeat == self.heartbeat:
            self.seconds += min(now - self.looked, HEARTBEAT_SECONDS)
        else:
            self.heartbeat, self.seconds = heartbeat, 0.0
        self.looked = now
        return self.seconds


class Leases:
    """The leases of one driver on one results folder. Within `with` its heart beats; at the end it holds nothing.

    >>> with Leases(Path("runs")) as leases:
    ...     if leases.take(cell):
    ...         ...
    ...         leases.release(cell)
    """

    def __init__(self, results: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.owner = Owner.here()
        self.held: set[str] = set()
        self._folder = _folder(results)
        self._clock = clock
        self._silences: dict[str, _Silence] = {}
        self._beats = 0
        self._ended = threading.Event()

    def __enter__(self) -> "Leases":
        self._sweep()
        try:
            self.beat()
        except OSError as error:
            raise unwritable(self._folder, error) from error
        threading.Thread(target=self._keep_beating, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        for cell in list(self.held):
            self.release(cell)
        with contextlib.suppress(OSError):
            self._heartbeat.unlink(missing_ok=True)

    def take(self, cell: str) -> bool:
        """Hold the cell from now on, unless somebody who lives does; True where it is held already."""
        place = self._folder / "cells" / cell
        names = _names(place)
        if not names:
            try:
                self._move_in(place)
            except OSError as error:
                raise unwritable(place, error) from error
        elif self.owner.name not in names and not self._living(names):
            self._take_over(place, names)
        if self.holds(cell):
            self.held.add(cell)
            return True
        self.held.discard(cell)
        return False

    def release(self, cell: str) -> None:
        """Let others have the cell; one that was lost meanwhile is left to who has it."""
        self.held.discard(cell)
        place = self._folder / "cells" / cell
        with contextlib.suppress(OSError):
            (place / self.owner.name).unlink(missing_ok=True)
            place.rmdir()

    def holds(self, cell: str) -> bool:
        """Whether the cell is this driver's, asked of the files."""
        return is_held(self._folder.parent, cell, self.owner.name)

    def lost(self) -> set[str]:
        """Cells that this driver took and no longer holds; it must not write them any more."""
        gone = {cell for cell in self.held if not self.holds(cell)}
        self.held -= gone
        return gone

    def holder(self, cell: str) -> str:
        """Who has the cell, in words; empty where it is free."""
        names = _names(self._folder / "cells" / cell)
        return " and ".join(str(Owner.named(name) or name) for name in names)

    def beat(self) -> None:
        """Show that this driver lives. The count has one width and is written in place, so that a full disk does not
        stop it; a reader only asks whether it has changed."""
        self._beats += 1
        self._heartbeat.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._heartbeat, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            os.write(descriptor, b"%020d\n" % self._beats)
        finally:
            os.close(descriptor)

    @property
    def _heartbeat(self) -> Path:
        return self._folder / "owners" / self.owner.name

    def _prepared(self, name: str) -> Path:
        return self._folder / f"{name}.new"

    def _keep_beating(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):  # files that are out of reach now may be back at the next beat
                self.beat()

    def _move_in(self, place: Path) -> None:
        """Take a free cell: of several who try, one finds the place empty."""
        prepared = self._prepared(self.owner.name)
        prepared.mkdir(parents=True, exist_ok=True)
        (prepared / self.owner.name).touch()
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            prepared.rename(place)
        except OSError as error:
            shutil.rmtree(prepared, ignore_errors=True)
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise

    def _take_over(self, place: Path, names: list[str]) -> None:
        """Take a dead owner's cell: of several who try, one finds its file."""
        with contextlib.suppress(FileNotFoundError):
            (place / names[0]).rename(place / self.owner.name)
            for other in names[1:]:
                (place / other).unlink(missing_ok=True)

    def _living(self, names: list[str]) -> list[str]:
        return [name for name in names if not self._is_dead(name)]

    def _is_dead(self, name: str) -> bool:
        owner = Owner.named(name)
        alive = owner.is_alive() if owner else None
        if alive is not None:
            return not alive
        heartbeat, now = _content(self._folder / "owners" / name), self._clock()
        silence = self._silences.setdefault(name, _Silence(heartbeat, now))
        return silence.look(heartbeat, now) >= SILENCE_SECONDS

    def _sweep(self) -> None:
        """Remove what dead owners of this machine left beside their leases, which say enough."""
        for name in _names(self._folder / "owners"):
            owner = Owner.named(name)
            if owner and owner.is_alive() is False:
                (self._folder / "owners" / name).unlink(missing_ok=True)
                shutil.rmtree(self._prepared(name), ignore_errors=True)


def is_held(results: Path, cell: str, owner: str) -> bool:
    """Whether the cell is held by the owner of this name."""
    try:
        # opened and not only looked at: network file systems ask their server anew when a file is opened
        os.close(os.open(_folder(results) / "cells" / cell / owner, os.O_RDONLY))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _folder(results: Path) -> Path:
    return results / ".leases"


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()[:64]
    except OSError:
        return b""


@functools.lru_cache(maxsize=1)
def _machine() -> str:
    """Tells apart whatever has process numbers of its own: hosts, boots of one host, containers on it."""
    words = [socket.gethostname()]
    with contextlib.suppress(OSError):
        words.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        words.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


def _started(pid: int) -> int | None:
    """Start time of a living process in ticks since boot (proc(5), field 22); −1 of a zombie, None without /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return -1 if fields[0] == "Z" else int(fields[19])

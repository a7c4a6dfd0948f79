"""At most one driver holds a cell; a dead one loses it, to one observer; a living one never does."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

from vaebench.store import leases as module
from vaebench.store.leases import HEARTBEAT_SECONDS, SILENCE_SECONDS, Leases, Owner

CELL = "0123456789abcdef"
ELSEWHERE = "another-host.00ff00ff00ff.17.42.0123456789abcdef"
"""An owner whose process table cannot be asked."""


class Clock:
    """An observer's clock that the test moves."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def place(results: Path, owner: str, cell: str = CELL) -> Path:
    """Let somebody hold a cell."""
    lease = results / ".leases" / "cells" / cell / owner
    lease.parent.mkdir(parents=True, exist_ok=True)
    lease.touch()
    return lease


def heartbeat(results: Path, owner: str, content: str) -> None:
    path = results / ".leases" / "owners" / owner
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def watch(leases: Leases, clock: Clock, seconds: float, beating=lambda number: None) -> bool:
    """Try for the cell every second, as a driver does; whether it was had."""
    for number in range(int(seconds)):
        beating(number)
        if leases.take(CELL):
            return True
        clock.now += 1.0
    return False


def start(results: Path, body: str) -> subprocess.Popen:
    """A process that has `leases` on the folder."""
    head = "import sys, time\nfrom pathlib import Path\nfrom vaebench.store.leases import Leases\n"
    script = f"{head}with Leases(Path({str(results)!r})) as leases:\n{textwrap.indent(textwrap.dedent(body), '    ')}"
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def dead_owner() -> str:
    """An owner of this machine whose process has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    here = Owner.here()
    return Owner(here.host, here.machine, process.pid, 1, "0123456789abcdef").name


def test_a_cell_is_taken_once_and_is_free_again_after_its_release(tmp_path):
    with Leases(tmp_path) as first, Leases(tmp_path) as second:
        assert first.take(CELL)
        assert first.take(CELL)
        assert not second.take(CELL)
        assert second.holder(CELL) == f"process {os.getpid()} on {first.owner.host}"
        first.release(CELL)
        assert second.take(CELL)
        assert not first.take(CELL)
    assert [path for path in (tmp_path / ".leases").rglob("*") if path.is_file()] == []
    assert list((tmp_path / ".leases" / "cells").iterdir()) == []


@pytest.mark.parametrize("abandoned", [False, True], ids=["free", "held by a dead owner"])
def test_of_many_who_try_at_once_exactly_one_gets_each_cell(abandoned, tmp_path):
    cells = [f"{number:016x}" for number in range(150)]
    owner = dead_owner()
    for cell in cells if abandoned else ():
        place(tmp_path, owner, cell)
    crowd = [
        start(
            tmp_path,
            """
            print("ready", flush=True)
            sys.stdin.readline()
            print(*[f"{n:016x}" for n in range(150) if leases.take(f"{n:016x}")], flush=True)
            sys.stdin.readline()
            """,
        )
        for _ in range(6)
    ]
    for process in crowd:
        assert process.stdout.readline() == "ready\n"
    for process in crowd:
        process.stdin.write("go\n")
        process.stdin.flush()
    taken = [process.stdout.readline().split() for process in crowd]
    for process in crowd:
        process.communicate("leave\n")
    assert Counter(cell for cells_of_one in taken for cell in cells_of_one) == Counter(cells)


def test_a_killed_owner_on_this_machine_loses_its_cell_at_once(tmp_path):
    process = start(tmp_path, f"print(leases.take({CELL!r}), flush=True)\ntime.sleep(60)")
    assert process.stdout.readline() == "True\n"
    with Leases(tmp_path) as leases:
        assert not leases.take(CELL)
        process.kill()
        time.sleep(0.1)  # not collected by its parent yet: a zombie is dead
        assert leases.take(CELL)
        process.wait()


def test_a_process_number_that_was_given_away_is_not_taken_for_the_owner(tmp_path):
    here = Owner.here()
    place(tmp_path, Owner(here.host, here.machine, os.getpid(), here.started - 1, "00").name)
    with Leases(tmp_path) as leases:
        assert leases.take(CELL)


def test_a_frozen_owner_on_this_machine_keeps_its_cell_however_long_it_is_silent(tmp_path):
    process = start(tmp_path, f"print(leases.take({CELL!r}), flush=True)\ntime.sleep(60)")
    assert process.stdout.readline() == "True\n"
    process.send_signal(signal.SIGSTOP)
    clock = Clock()
    with Leases(tmp_path, clock) as leases:
        assert not watch(leases, clock, 10 * SILENCE_SECONDS)
    process.kill()
    process.wait()


def test_an_owner_elsewhere_is_dead_when_its_heartbeat_has_stood_still_for_long_enough(tmp_path):
    place(tmp_path, ELSEWHERE)
    heartbeat(tmp_path, ELSEWHERE, "7")
    clock = Clock()
    with Leases(tmp_path, clock) as leases:
        assert not watch(leases, clock, SILENCE_SECONDS - 1)
        assert watch(leases, clock, 5)


def test_an_owner_elsewhere_whose_heart_beats_is_never_robbed(tmp_path):
    place(tmp_path, ELSEWHERE)
    clock = Clock()
    with Leases(tmp_path, clock) as leases:
        slowly = SILENCE_SECONDS - 10
        assert not watch(leases, clock, 20 * slowly, lambda n: heartbeat(tmp_path, ELSEWHERE, str(n // slowly)))


@pytest.mark.parametrize("hours", [-24, 24])
def test_the_clock_of_the_other_machine_does_not_matter(hours, tmp_path):
    place(tmp_path, ELSEWHERE)
    clock = Clock()

    def beat(number: int) -> None:
        heartbeat(tmp_path, ELSEWHERE, str(number))
        then = time.time() + 3600 * hours
        os.utime(tmp_path / ".leases" / "owners" / ELSEWHERE, (then, then))

    with Leases(tmp_path, clock) as leases:
        assert not watch(leases, clock, 3 * SILENCE_SECONDS, beat)
        assert watch(leases, clock, SILENCE_SECONDS + 2)


def test_an_observer_that_slept_does_not_take_its_own_sleep_for_a_death(tmp_path):
    place(tmp_path, ELSEWHERE)
    heartbeat(tmp_path, ELSEWHERE, "7")
    clock = Clock()
    with Leases(tmp_path, clock) as leases:
        assert not watch(leases, clock, 3)
        clock.now += 100 * SILENCE_SECONDS
        assert not leases.take(CELL)
        assert watch(leases, clock, SILENCE_SECONDS + HEARTBEAT_SECONDS)


def test_an_owner_that_was_robbed_notices_and_frees_nothing_of_the_other_s(tmp_path, monkeypatch):
    with Leases(tmp_path) as frozen:
        assert frozen.take(CELL)
        monkeypatch.setattr(Owner, "is_alive", lambda self: False)
        with Leases(tmp_path) as other:
            assert other.take(CELL)
            assert not frozen.holds(CELL)
            assert frozen.lost() == {CELL}
            frozen.release(CELL)
            assert other.holds(CELL)
            monkeypatch.undo()
            assert not frozen.take(CELL)


@pytest.mark.parametrize("name", ["no owner's name", ELSEWHERE[:-30], ELSEWHERE.replace("17", "1x")])
def test_a_damaged_lease_is_nobody_s_after_a_while(name, tmp_path):
    place(tmp_path, name)
    clock = Clock()
    with Leases(tmp_path, clock) as leases:
        assert not watch(leases, clock, SILENCE_SECONDS - 1)
        assert watch(leases, clock, 5)


def test_a_damaged_heartbeat_is_healed_by_the_next_beat(tmp_path):
    with Leases(tmp_path) as leases:
        path = tmp_path / ".leases" / "owners" / leases.owner.name
        before = path.read_bytes()
        path.write_bytes(b"\xff" * 3)
        leases.beat()
        assert int(path.read_bytes()) > int(before)


def test_a_heart_beats_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.05)
    with Leases(tmp_path) as leases:
        path = tmp_path / ".leases" / "owners" / leases.owner.name
        first = path.read_bytes()
        time.sleep(0.5)
        assert int(path.read_bytes()) > int(first)
    assert not path.exists()


def test_what_a_dead_driver_left_is_swept_up_by_the_next(tmp_path):
    name = dead_owner()
    heartbeat(tmp_path, name, "3")
    (tmp_path / ".leases" / f"{name}.new").mkdir()
    with Leases(tmp_path):
        assert not (tmp_path / ".leases" / "owners" / name).exists()
        assert not (tmp_path / ".leases" / f"{name}.new").exists()

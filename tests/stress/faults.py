"""`python -m tests.stress.faults --rounds 100 [--write docs/reliability.md]`

Each round does one harm to a suite that runs, or to the files that it has left, and then looks at every record: a
number that an undisturbed run does not find is wrong; a record that was complete before, and was not itself damaged,
and is not the same after, is lost. Then the suite is run again; one that never ends complete is unfinished.
"""

import argparse
import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.stress.summary import write_table
from tests.stress.survivor import INCOMPLETE, LONGEST, Survivor, ending, start, workers_of
from vaebench.store.folders import ResultsFolder

TRIES = 5
"""Runs after a fault within which a suite must end complete."""
Harm = Callable[["Stress"], set[str]]
"""Does the harm; the cells whose own record it has damaged."""


@dataclass
class Summary:
    faults: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rounds(self) -> int:
        return sum(self.faults.values())

    @property
    def rows(self) -> list[tuple[str, str]]:
        counts = [(kind, str(count)) for kind, count in sorted(self.faults.items())]
        totals = {
            "rounds": self.rounds,
            "records lost": len(self.lost),
            "records wrong": len(self.wrong),
            "suites that did not end complete": len(self.unfinished),
        }
        return [*counts, *((f"**{name}**", f"**{count}**") for name, count in totals.items())]


class Stress:
    """One suite, and what is done to it."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder = folder
        self.chance = chance
        self.survivor = Survivor.undisturbed(folder)
        self.summary = Summary()
        self.count = 0
        self.results = self._fresh()

    def run(self, kinds: Sequence[str], tell: Callable[[str], None] = lambda line: None) -> Summary:
        begun = time.monotonic()
        for kind in kinds:
            before = self.survivor.complete(self.results)
            if len(before) == len(self.survivor.expected) and kind not in OF_FINISHED:
                self.results, before = self._fresh(), {}
            damaged = HARMS[kind](self)
            self.summary.faults[kind] += 1
            self._look(kind, {cell: record for cell, record in before.items() if cell not in damaged})
            if len(self.survivor.complete(self.results)) == len(self.survivor.expected):
                self._compare(kind)
            tell(f"round {self.summary.rounds}: {kind}")
        self._finish("the end")
        self.summary.seconds = time.monotonic() - begun
        return self.summary

    def start(self, *options: str, suite: Path | None = None) -> subprocess.Popen[str]:
        return start(suite or self.survivor.suite, self.results.path, *options)

    def wait(self, driver: subprocess.Popen[str]) -> str:
        output, _ = driver.communicate(timeout=LONGEST)
        if "Traceback" in output or "internal error" in output:
            self.summary.wrong.append(f"not a message for a user: {output[-2000:]}")
        return output

    def in_the_middle(self, driver: subprocess.Popen[str]) -> bool:
        """Wait for a random moment of the run; False where it came to its end before."""
        try:
            driver.wait(timeout=self.chance.uniform(0.2, 0.8) * self.survivor.seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def _fresh(self) -> ResultsFolder:
        self.count += 1
        return ResultsFolder(self.folder / f"disturbed-{self.count}")

    def _look(self, kind: str, before: dict) -> None:
        self.summary.wrong += [f"after {kind}: {what}" for what in self.survivor.wrong(self.results)]
        now = self.survivor.records(self.results)
        gone = [cell for cell, record in before.items() if cell not in now or not _has_all(now[cell], record)]
        self.summary.lost += [f"after {kind}: {cell}" for cell in gone]

    def _compare(self, kind: str) -> None:
        self.summary.wrong += [f"after {kind}: {what}" for what in self.survivor.differences(self.results)]

    def _finish(self, kind: str) -> None:
        for _ in range(TRIES):
            driver = self.start("--retry-failed")
            self.wait(driver)
            if driver.returncode == 0:
                self._compare(kind)
                return
        self.summary.unfinished.append(f"after {kind}: exit code {driver.returncode} {TRIES} times")


def _has_all(now, before) -> bool:
    """Whether a record still says all that it said."""
    return now.status == "done" and all(value in now.metrics for value in before.metrics)


def _kill(victims: Callable[[int], list[int]]) -> Harm:
    def harm(stress: Stress) -> set[str]:
        driver = stress.start()
        with ending(driver):
            if stress.in_the_middle(driver):
                for victim in victims(driver.pid):
                    _signal(victim, signal.SIGKILL)
            stress.wait(driver)
            if driver.returncode == INCOMPLETE:
                stress.wait(stress.start("--retry-failed"))
        return set()

    return harm


def _limit(which: int, size: Callable[[int, random.Random], int], victims: Callable[[int], list[int]]) -> Harm:
    """Let a resource run out at a random moment of a run."""

    def harm(stress: Stress) -> set[str]:
        driver = stress.start()
        with ending(driver):
            if stress.in_the_middle(driver):
                for victim in victims(driver.pid):
                    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                        limit = size(victim, stress.chance)
                        resource.prlimit(victim, which, (limit, limit))
            output = stress.wait(driver)
        if driver.returncode not in (0, INCOMPLETE) and "run the same command again" not in output:
            stress.summary.wrong.append(f"a message that does not say what to do: {output[-1000:]}")
        if driver.returncode == INCOMPLETE:
            stress.wait(stress.start("--retry-failed"))
        return set()

    return harm


def _two_drivers(stress: Stress) -> set[str]:
    """Two at once, of which one is killed with its workers or frozen for a while; the other ends complete."""
    drivers = [stress.start(), stress.start()]
    with ending(*drivers):
        if stress.in_the_middle(drivers[0]):
            victims = [drivers[0].pid, *workers_of(drivers[0].pid)]
            is_fatal = stress.chance.random() < 0.5
            for victim in victims:
                _signal(victim, signal.SIGKILL if is_fatal else signal.SIGSTOP)
            time.sleep(2.0)
            for victim in victims:
                _signal(victim, signal.SIGCONT)
        for driver in drivers[1:]:
            stress.wait(driver)
            if driver.returncode:
                stress.summary.unfinished.append(f"a second driver ended with {driver.returncode}")
        stress.wait(drivers[0])
    return set()


def _damage(pattern: str) -> Harm:
    """Cut or change a file that a run has left, in the middle or at its end; then run again, and have it read."""

    def harm(stress: Stress) -> set[str]:
        if not list(stress.results.path.glob(pattern)):
            _kill(_with_driver)(stress)
        files = sorted(path for path in stress.results.path.glob(pattern) if path.is_file())
        damaged = set()
        if files:
            victim = stress.chance.choice(files)
            content = bytearray(victim.read_bytes())
            if stress.chance.random() < 0.5 or not content:
                content = content[: stress.chance.randrange(len(content) + 1)]
            else:
                content[stress.chance.randrange(len(content))] ^= 1 << stress.chance.randrange(8)
            victim.write_bytes(bytes(content))
            damaged = {victim.parent.name}
            if victim.name == "model.safetensors":
                _forget_a_number(stress.results, victim.parent.name)
        for options in ((), ("--retry-failed",)):
            driver = stress.start(*options, suite=stress.survivor.more)
            output = stress.wait(driver)
            if driver.returncode == 0:
                break
            newer = "is newer than this vaebench reads" in output
            if newer and files:  # a bit of the schema's number: the message says so, and nothing is touched
                victim.unlink()
        return damaged

    return harm


def _forget_a_number(results: ResultsFolder, cell: str) -> None:
    """So that the model is read again: one that nobody reads harms nobody, and is not noticed."""
    folder = results.cell(cell)
    record = folder.read_record()
    if record is not None and record.status == "done":
        folder.write_record(replace(record, metrics=[v for v in record.metrics if v.family != "reconstruction"]))


def _damage_lease(stress: Stress) -> set[str]:
    """Kill a driver, and change a letter in what it leaves: the name of its lease, or its heartbeat."""
    _kill(_with_driver)(stress)
    for lease in stress.results.path.glob(".leases/cells/*/*"):
        place = stress.chance.randrange(len(lease.name))
        lease.rename(lease.with_name(lease.name[:place] + stress.chance.choice("0fx~") + lease.name[place + 1 :]))
    for heartbeat in stress.results.path.glob(".leases/owners/*"):
        heartbeat.write_bytes(heartbeat.read_bytes()[: stress.chance.randrange(20)])
    stress.wait(stress.start())
    return set()


def _signal(process: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def _with_driver(driver: int) -> list[int]:
    return [driver, *workers_of(driver)]


def _little_more(process: int, chance: random.Random) -> int:
    """The address space that a process has now, and a little more."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE") + chance.randrange(1 << 22)


KILLS: dict[str, Harm] = {
    "worker killed (SIGKILL)": _kill(workers_of),
    "driver killed (SIGKILL)": _kill(lambda driver: [driver]),
    "worker and driver killed (SIGKILL)": _kill(_with_driver),
}
OF_FINISHED: dict[str, Harm] = {
    "record cut or changed": _damage("cells/*/result.json"),
    "model cut or changed": _damage("cells/*/model.safetensors"),
    "specification cut or changed": _damage("cells/*/spec.json"),
    "arrays cut or changed": _damage("cells/*/arrays.npz"),
    "plan or lock file cut or changed": _damage("survivor/*.json"),
}
"""Harms that can be done to a folder in which everything is finished."""
HARMS: dict[str, Harm] = {
    **KILLS,
    "disk full (files cannot grow)": _limit(
        resource.RLIMIT_FSIZE, lambda _, chance: chance.choice((0, 2000)), _with_driver
    ),
    "out of memory (address space)": _limit(resource.RLIMIT_AS, _little_more, workers_of),
    "two drivers at once": _two_drivers,
    "checkpoint cut or changed": _damage("cells/*/checkpoint.safetensors"),
    "lease and heartbeat changed": _damage_lease,
    **OF_FINISHED,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.stress.faults", description="Harm a suite, many times.")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="faults whose name has this in it")
    parser.add_argument("--write", type=Path, help="document whose table of faults gets the numbers")
    arguments = parser.parse_args()
    kinds = [kind for kind in HARMS if not arguments.only or arguments.only in kind]
    with tempfile.TemporaryDirectory() as folder:
        stress = Stress(Path(folder), random.Random(arguments.seed))
        summary = stress.run([kinds[number % len(kinds)] for number in range(arguments.rounds)], print)
    for what in (*summary.lost, *summary.wrong, *summary.unfinished):
        print(what)
    write_table("faults", ("fault", "rounds"), summary.rows, summary.seconds, arguments.write)
    sys.exit(bool(summary.lost or summary.wrong or summary.unfinished))


if __name__ == "__main__":
    main()

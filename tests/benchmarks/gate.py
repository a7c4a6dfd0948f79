"""Has this tree become slower than another revision? Both run here, now, and in turn.

    python -m tests.benchmarks.gate [REVISION] [--largest 1.15] [--rounds 15]

The revision (HEAD, if none is named) is unpacked into a temporary folder; one process of each version does the same
work in turn, round after round, now this one first and now the other. What slows the machine down slows both sides of
a round down, so the median of the rounds' ratios is judged, by the lower end of its 95 % interval: a workload fails
where even that is above `--largest`. Exit code 4 where one fails.
"""

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.benchmarks.gate_work import WORKLOADS
from tests.benchmarks.outcome import HERE, command, machine, origin, table
from tests.benchmarks.timing import FEWEST, Ratio, judged

REGRESSION = 4


class Version:
    """A process that does the work with the modules of one tree."""

    def __init__(self, tree: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}
        asked = [sys.executable, str(HERE / "tests" / "benchmarks" / "gate_work.py")]
        self.process = subprocess.Popen(
            asked, env=environment, cwd=tree, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read("ready")

    def seconds(self, workload: str) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(workload + "\n")
        self.process.stdin.flush()
        return float(self._read("a number of seconds"))

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _read(self, wanted: str) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"one version ended before it said {wanted}; its last words stand above")
        return line


def unpacked(revision: str, folder: Path) -> Path:
    """The tree of a revision."""
    archive = subprocess.run(["git", "-C", str(HERE), "archive", revision], capture_output=True, check=False)
    if archive.returncode:
        raise SystemExit(f"git knows no {revision}: {archive.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
        packed.extractall(folder, filter="data")
    return folder


def compared(this: Version, other: Version, rounds: int) -> dict[str, list[float]]:
    """Workload → seconds here over seconds there, round by round."""
    ratios: dict[str, list[float]] = {name: [] for name in WORKLOADS}
    for number in range(rounds):
        for name, found in ratios.items():
            order = (this, other) if number % 2 else (other, this)
            seconds = {version: version.seconds(name) for version in order}
            found.append(seconds[this] / seconds[other])
    return ratios


def is_slower(ratio: Ratio, largest: float) -> bool:
    """Whether even the lower end of the interval is above what is allowed."""
    return ratio.low is not None and ratio.low > largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", nargs="?", default="HEAD")
    parser.add_argument("--largest", type=float, default=1.15)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    if options.rounds < FEWEST:
        parser.error(f"--rounds {options.rounds}: {FEWEST} at least, for an interval")
    with tempfile.TemporaryDirectory() as folder:
        other, this = Version(unpacked(options.revision, Path(folder))), Version(HERE)
        ratios = compared(this, other, options.rounds)
        this.end()
        other.end()
    found = {name: judged(rounds) for name, rounds in ratios.items()}
    failed = [name for name, ratio in found.items() if is_slower(ratio, options.largest)]
    rows = [[name, ratio, "slower" if name in failed else "passes"] for name, ratio in found.items()]
    print(table(["workload", f"this tree ÷ {options.revision}", ""], rows))
    print(origin(machine(), command("tests.benchmarks.gate")))
    raise SystemExit(REGRESSION if failed else 0)


if __name__ == "__main__":
    main()

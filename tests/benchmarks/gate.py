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
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from scipy.stats import binom

from tests.benchmarks.gate_work import WORKLOADS
from tests.benchmarks.outcome import command, machine, origin, table

HERE = Path(__file__).resolve().parents[2]
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


def lower_end(ratios: Sequence[float]) -> float:
    """Of the 95 % interval of the median: the largest order statistic that is below it with 97.5 %, by the binomial
    law of how many fall below a median."""
    skipped = int(binom.ppf(0.025, len(ratios), 0.5))
    return sorted(ratios)[max(skipped - 1, 0)]


def compared(this: Version, other: Version, rounds: int) -> dict[str, list[float]]:
    """Workload → seconds here over seconds there, round by round."""
    ratios: dict[str, list[float]] = {name: [] for name in WORKLOADS}
    for number in range(rounds):
        for name, found in ratios.items():
            order = (this, other) if number % 2 else (other, this)
            seconds = {version: version.seconds(name) for version in order}
            found.append(seconds[this] / seconds[other])
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", nargs="?", default="HEAD")
    parser.add_argument("--largest", type=float, default=1.15)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        other, this = Version(unpacked(options.revision, Path(folder))), Version(HERE)
        ratios = compared(this, other, options.rounds)
        this.end()
        other.end()
    failed = [name for name, found in ratios.items() if lower_end(found) > options.largest]
    rows = [
        [name, median(found), lower_end(found), "slower" if name in failed else "passes"]
        for name, found in ratios.items()
    ]
    print(table(["workload", f"this tree ÷ {options.revision}", "lower end", ""], rows))
    print(origin(machine(), command("tests.benchmarks.gate")))
    raise SystemExit(REGRESSION if failed else 0)


if __name__ == "__main__":
    main()

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vaebench.store.folders import ResultsFolder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def results(tmp_path: Path) -> ResultsFolder:
    return ResultsFolder(tmp_path / "runs")


@pytest.fixture
def start(results: ResultsFolder) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts drivers (tests.engines.driving), and ends those that are left over."""
    started: list[subprocess.Popen] = []

    def start_driver(performance: str, *arguments: str, stderr: int = subprocess.PIPE) -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.engines.driving", str(results.path), performance, *arguments]
        driver = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True)
        started.append(driver)
        return driver

    yield start_driver
    for driver in started:
        driver.kill()
        driver.communicate()

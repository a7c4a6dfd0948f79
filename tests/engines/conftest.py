from pathlib import Path

import pytest

from vaebench.store.folders import ResultsFolder


@pytest.fixture
def results(tmp_path: Path) -> ResultsFolder:
    return ResultsFolder(tmp_path / "runs")

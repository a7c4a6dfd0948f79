"""Reports are made of records only, so nothing is trained here: the records are fabricated."""

import pytest

from tests.reporting.fabrication import EVALUATOR, SOURCES, TINY
from vaebench.engines import planning
from vaebench.store.folders import ResultsFolder
from vaebench.suite.loading import load_suite_mapping
from vaebench.suite.suite import Suite


@pytest.fixture(autouse=True)
def unchanged_sources(monkeypatch):
    """Records are judged against these fingerprints, not against the sources of the day."""
    monkeypatch.setattr(planning, "model_fingerprints", lambda cell: SOURCES)
    monkeypatch.setattr(planning, "metric_fingerprint", lambda name: EVALUATOR)


@pytest.fixture
def results(tmp_path) -> ResultsFolder:
    return ResultsFolder(tmp_path / "runs")


@pytest.fixture
def tiny() -> Suite:
    return load_suite_mapping(TINY)

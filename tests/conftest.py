"""What holds for all tests."""

import os
import sys
from collections.abc import Iterator

import pytest

from tests.calling import Call, caller
from tests.plugins.writing import forgotten
from vaebench.store.here import user_cache

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a worker for each core: torch's threads would fight over them

COMPILED = "TORCHINDUCTOR_CACHE_DIR"
LONG = (
    "tests/test_survival.py",
    "tests/test_faults.py",
    "tests/training/",
    "tests/test_shipped_suites.py",
    "tests/test_rendered_again.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes comes first, so that no worker ends long after the others."""
    items.sort(key=lambda item: next((place for place, start in enumerate(LONG) if item.nodeid.startswith(start)), 99))


@pytest.fixture(scope="session", autouse=True)
def _compiled_once(tmp_path_factory):
    """What fixtures of a whole file leave is no user's; compiled steps alone are taken from the user's cache."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(COMPILED, os.environ.get(COMPILED, str(user_cache() / "compiled")))
        patched.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path_factory):
    """No test sees what the runs of another have left: which results folders there are, how long models took."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def _arguments_are_checked() -> None:
    """torch's compiler turns the checks of its distributions off for the rest of a process."""
    if torch := sys.modules.get("torch"):
        torch.distributions.Distribution.set_default_validate_args(True)


@pytest.fixture(autouse=True)
def _own_catalog() -> Iterator[None]:
    """Plugins join the catalog of their process; here each test has a process, as it were, of its own."""
    with forgotten():
        yield


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The command line, in the process of the test."""
    return caller(monkeypatch, capsys)

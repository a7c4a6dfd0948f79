"""What holds for all tests."""

import os

import pytest

from vaebench.store.here import user_cache

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a worker for each core: torch's threads would fight over them

COMPILED = "TORCHINDUCTOR_CACHE_DIR"


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

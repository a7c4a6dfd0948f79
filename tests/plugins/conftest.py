"""Plugins join the catalog of their process; here each test has a process, as it were, of its own."""

from collections.abc import Iterator

import pytest

from tests.plugins.writing import forgotten


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    with forgotten():
        yield

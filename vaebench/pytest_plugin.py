"""A fixture for people who test their models: `def test_no_regression(vaebench_gate): vaebench_gate("mine.yaml", …)`.

pytest loads this wherever vaebench is installed, so it imports nothing of it before a test asks.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vaebench", "regression gates of vaebench")
    group.addoption(
        "--vaebench-update",
        action="store_true",
        help="let the numbers of this run be the baselines of all vaebench_gate tests that run",
    )


@pytest.fixture
def vaebench_gate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """Run a suite and fail with a line for everything that is worse than a baseline.

    vaebench_gate("suites/mine.yaml", baseline="baseline.csv")

    Relative paths begin at pytest's root folder. Keywords: `results`, a folder that is kept, so that only what changed
    is trained again (else a temporary one); `min_effect`, a number or {metric: number}; `metrics`, to look at some
    only. Every other one is a setting of vaebench.Settings, such as device="cpu", workers=1 or plugins=["mine.py"].
    """
    root = request.config.rootpath
    is_update = request.config.getoption("--vaebench-update")

    def gate(
        suite: str | Path | Mapping[str, Any],
        baseline: str | Path,
        *,
        results: str | Path | None = None,
        min_effect: float | Mapping[str, float] = 0.0,
        metrics: Sequence[str] | None = None,
        **settings: Any,
    ) -> None:
        __tracebackhide__ = True
        folder = root / results if results is not None else tmp_path_factory.mktemp("vaebench")
        chosen = {"results": folder, **_placed(settings, root)}
        _gate(_found(suite, root), root / baseline, min_effect, metrics, chosen, is_update)

    return gate


def _found(suite: str | Path | Mapping[str, Any], root: Path) -> str | Path | Mapping[str, Any]:
    """A file below the root folder; else what vaebench makes of the name, which may be that of a shipped suite."""
    if isinstance(suite, Mapping):
        return suite
    return root / suite if (root / suite).is_file() else suite


def _placed(settings: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Settings whose files begin at the root folder; a plugin may also be an installed module."""
    placed = dict(settings)
    if "data_root" in placed:
        placed["data_root"] = root / Path(placed["data_root"]).expanduser()
    if "plugins" in placed:
        placed["plugins"] = [root / one if (root / one).is_file() else one for one in placed["plugins"]]
    return placed


def _gate(
    suite: str | Path | Mapping[str, Any],
    baseline: Path,
    min_effect: float | Mapping[str, float],
    metrics: Sequence[str] | None,
    settings: Mapping[str, Any],
    is_update: bool,
) -> None:
    __tracebackhide__ = True
    from vaebench import project
    from vaebench.wrong_input import told_to_users

    lines, passed = [], False
    try:
        project.known_settings(settings)
        if not is_update:
            project.expected_by_gate(baseline, min_effect, metrics)  # before anything is trained for nothing
        done = project.run(suite, project.Settings(**settings))
        if done.outcome.interrupted:
            pytest.exit("vaebench was interrupted", returncode=130)
        if is_update:
            lines, passed = project.update_baseline(done.folder.path, baseline).lines, True
        else:
            found = project.gate(done.folder.path, baseline, min_effect, metrics)
            lines, passed = found.lines, found.passed
    except Exception as error:
        told = told_to_users(error)
        if told is None:
            raise
        lines = [told]
    if not passed:
        pytest.fail("\n".join(lines), pytrace=False)
    print("\n".join(lines))

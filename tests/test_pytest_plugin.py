"""The pytest plugin in a temporary project of somebody who tests their own suite."""

import functools
from pathlib import Path

import pandas as pd
import pytest
from matplotlib import figure, font_manager
from matplotlib.backends import backend_svg

from tests.engines.tiny import perform_with
from vaebench.project import choosing
from vaebench.reporting import baseline, write

pytest_plugins = ["pytester"]
LOADED = (baseline, write, figure, font_manager, backend_svg)
"""What a test inside this process imports for the first time is thrown away with it. That is slow with matplotlib, and
numpy cannot be loaded twice at all."""

SUITE = """\
suite: mine
datasets: [digits/binary]
seeds: 3
profile: cpu
variants:
  - {name: odd, extends: vae, latent: 3}
  - {name: even, extends: vae, latent: 4}
metrics: [elbo, kl]
rank_by: {binary: elbo}
"""
TEST = """\
def test_no_regression(vaebench_gate):
    vaebench_gate("suites/mine.yaml", baseline="baseline.csv", device="cpu", workers=1{more})
"""


BASELINE = """\
suite,dataset,view,measure,given,variant,stance,rank,group,seeds,failed,elbo,elbo_low,elbo_high
mine,digits,binary,counting,,odd,theory,1,,3,0,-20.0,-21.0,-19.0
"""


@pytest.fixture
def ours(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with a suite and a test of it, whose training is played: every number of a seed is the seed's own."""
    engine = functools.partial(choosing.LocalEngine, perform=perform_with("obedient"))
    monkeypatch.setattr(choosing, "LocalEngine", engine)
    pytester.mkdir("suites").joinpath("mine.yaml").write_text(SUITE)
    pytester.makepyfile(test_mine=TEST.format(more=""))
    return pytester


def worsen(baseline: Path, metric: str, amount: float) -> None:
    """Let the baseline have been better, at every seed."""
    runs_file = baseline.with_name("baseline.runs.csv")
    runs, board = pd.read_csv(runs_file), pd.read_csv(baseline)
    runs.loc[runs["metric"] == metric, "value"] += amount
    board[[metric, f"{metric}_low", f"{metric}_high"]] += amount
    runs.to_csv(runs_file, index=False)
    board.to_csv(baseline, index=False)


def test_the_first_baseline_is_written_when_asked_and_then_passes(ours: pytest.Pytester) -> None:
    missing = ours.runpytest("-p", "no:cacheprovider")
    missing.assert_outcomes(failed=1)
    missing.stdout.fnmatch_lines(["*baseline.csv: no such baseline; *--vaebench-update) writes the first one"])
    assert not (ours.path / "baseline.csv").exists()
    ours.runpytest("--vaebench-update").assert_outcomes(passed=1)
    assert {path.name for path in ours.path.glob("*.csv")} == {"baseline.csv", "baseline.runs.csv"}
    passed = ours.runpytest("-rP")
    passed.assert_outcomes(passed=1)
    passed.stdout.fnmatch_lines(["mine: no problem; 0 numbers tested against *, paired by seed; 8 the same to the *"])


def test_a_regression_fails_with_the_lines_of_the_gate_and_no_traceback(ours: pytest.Pytester) -> None:
    ours.runpytest("--vaebench-update")
    worsen(ours.path / "baseline.csv", "elbo", 0.5)
    worse = ours.runpytest()
    worse.assert_outcomes(failed=1)
    words = "0.5000 nats lower than the baseline (the same at every seed, p < 0.0001 after Holm, 3 seeds paired)"
    worse.stdout.fnmatch_lines([f"digits/binary odd elbo: {words}", "mine: 2 problems; *"])
    assert "pytest_plugin.py" not in worse.stdout.str()
    ours.runpytest("--vaebench-update").assert_outcomes(passed=1)
    ours.runpytest().assert_outcomes(passed=1)


def test_the_test_says_what_matters(ours: pytest.Pytester) -> None:
    cases = {
        "plain": ("", "FAILED"),
        "large_effect": (", min_effect=0.6", "PASSED"),
        "large_effect_of_the_metric": (", min_effect={'elbo': 0.6}", "PASSED"),
        "large_effect_of_another": (", min_effect={'kl': 0.6}", "FAILED"),
        "another_metric": (", metrics=['kl']", "PASSED"),
    }
    tests = [
        TEST.format(more=f", results='kept'{more}").replace("test_no_regression", f"test_{name}")
        for name, (more, _) in cases.items()
    ]
    ours.makepyfile(test_mine="\n".join(tests))
    ours.runpytest("--vaebench-update", "-k", "plain")
    worsen(ours.path / "baseline.csv", "elbo", 0.5)
    ours.runpytest("-v").stdout.fnmatch_lines([f"*::test_{name} {outcome}*" for name, (_, outcome) in cases.items()])


def test_a_given_results_folder_is_kept_and_nothing_is_trained_twice(ours: pytest.Pytester) -> None:
    ours.makepyfile(test_mine=TEST.format(more=", results='kept'"))
    ours.runpytest("--vaebench-update")
    records = {path: path.stat().st_mtime_ns for path in (ours.path / "kept" / "cells").glob("*/result.json")}
    assert len(records) == 6
    ours.runpytest().assert_outcomes(passed=1)
    assert {path: path.stat().st_mtime_ns for path in records} == records


def test_without_one_nothing_is_left_in_the_project(ours: pytest.Pytester) -> None:
    ours.runpytest("--vaebench-update", "-p", "no:cacheprovider")
    left = {path.name for path in ours.path.iterdir() if not path.name.startswith((".", "_"))}
    assert left == {"suites", "test_mine.py", "baseline.csv", "baseline.runs.csv"}


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        ({"suite": SUITE.replace("elbo, kl", "elbow, kl")}, ["*mine.yaml:8: metrics*0*: 'elbow' is no metric*"]),
        ({"test": TEST.format(more="").replace("mine.yaml", "nobody.yaml")}, ["suites/nobody.yaml: no such file*"]),
        (
            {"test": TEST.format(more=", metrics=['elbow']")},
            ["no metric in *baseline.csv: 'elbow'; did you mean 'elbo'?"],
        ),
        ({"test": TEST.format(more="").replace("baseline.csv", "base.csv")}, ["*base.csv: no such baseline; *"]),
        ({"test": TEST.format(more=", min_effect={'elbow': 1}")}, ["no metric 'elbow'; did you mean 'elbo'?"]),
        ({"test": TEST.format(more="").replace('"cpu"', '"gpu"')}, ["no device 'gpu'; valid: *"]),
        ({"test": TEST.format(more=", divice=1")}, ["no setting 'divice'; did you mean 'device'?"]),
        ({"test": TEST.format(more=", plugins=['mine.py']")}, ["mine.py: no such file; *"]),
        ({"test": TEST.format(more=", engine='rai'")}, ["no engine 'rai'; did you mean 'ray'?"]),
    ],
    ids=["suite", "file", "metric", "baseline", "effect", "device", "setting", "plugin", "engine"],
)
def test_wrong_input_fails_in_a_line_without_a_traceback(
    ours: pytest.Pytester, changed: dict[str, str], lines: list[str]
) -> None:
    ours.path.joinpath("baseline.csv").write_text(BASELINE)
    ours.path.joinpath("suites", "mine.yaml").write_text(changed.get("suite", SUITE))
    ours.makepyfile(test_mine=changed.get("test", TEST.format(more="")))
    found = ours.runpytest()
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(lines)
    assert not {"Traceback", "pytest_plugin.py", "Error"} & set(found.stdout.str().split())


def test_without_a_baseline_nothing_is_trained(ours: pytest.Pytester) -> None:
    ours.makepyfile(test_mine=TEST.format(more=", results='kept'"))
    ours.runpytest().stdout.fnmatch_lines(["*baseline.csv: no such baseline; *"])
    assert not (ours.path / "kept").exists()


def test_files_in_settings_begin_at_the_root_folder_too(ours: pytest.Pytester) -> None:
    """Wherever pytest is started: a plugin beside the suites, and a data folder."""
    ours.path.joinpath("suites", "mine.yaml").write_text(SUITE.replace("extends: vae, latent: 3", "extends: ours"))
    ours.makepyfile(parts_of_ours='import vaebench\n\nvaebench.variant("ours", extends="vae", latent=3)')
    ours.makepyfile(test_mine=TEST.format(more=", plugins=['parts_of_ours.py'], data_root='data'"))
    below = ours.mkdir("below")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(below)
        found = ours.runpytest("--rootdir", str(ours.path), "--vaebench-update", str(ours.path))
    found.assert_outcomes(passed=1)


def test_pytest_knows_the_fixture_and_the_option(pytester: pytest.Pytester) -> None:
    pytester.runpytest("--fixtures").stdout.fnmatch_lines(["vaebench_gate*", "*Run a suite and fail with a line for*"])
    pytester.runpytest("--help").stdout.fnmatch_lines(["*--vaebench-update*"])


def test_loading_the_plugin_imports_neither_torch_nor_the_rest_of_vaebench(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_modules(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("vaebench")
            loaded = {name for name in sys.modules if name.startswith("vaebench")}
            assert loaded == {"vaebench", "vaebench.pytest_plugin"}
            assert not {"torch", "pandas", "numpy", "sklearn", "pydantic"} & set(sys.modules)
        """
    )
    others = ("benchmark", "regressions", "datadir", "pytest-datadir", "hypothesispytest")
    pytester.runpytest_subprocess(*(f"-pno:{name}" for name in others)).assert_outcomes(passed=1)


def test_a_project_is_gated_from_the_command_line_alone(pytester: pytest.Pytester) -> None:
    """Nothing is played here: pPCA in closed form on digits, in processes of its own."""
    suite = {
        "suite": "mine",
        "datasets": ["digits/grey"],
        "seeds": 3,
        "variants": ["ppca"],
        "metrics": ["log_likelihood"],
    }
    pytester.makepyfile(
        f"""
        def test_no_regression(vaebench_gate):
            vaebench_gate({suite!r}, "baseline.csv", results="runs", device="cpu", workers=1)
        """
    )
    pytester.runpytest_subprocess("--vaebench-update").assert_outcomes(passed=1)
    worsen(pytester.path / "baseline.csv", "log_likelihood", 0.5)
    worse = pytester.runpytest_subprocess()
    worse.assert_outcomes(failed=1)
    worse.stdout.fnmatch_lines(["digits/grey ppca log_likelihood: 0.5000 nats lower than the baseline *"])

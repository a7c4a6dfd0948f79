"""vaebench as Python functions."""

import functools
import subprocess
import sys
from pathlib import Path

import pytest

import vaebench
from tests.engines.tiny import TINY, perform_with
from vaebench import project
from vaebench.engines.planning import Policy
from vaebench.project import choosing
from vaebench.project.locking import commit_of
from vaebench.store.files import read_json
from vaebench.suite.suite import Suite


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> vaebench.Settings:
    """Results go to a folder of the test's own, and workers only play at training."""
    engine = functools.partial(choosing.LocalEngine, perform=perform_with("obedient"))
    monkeypatch.setattr(choosing, "LocalEngine", engine)
    return vaebench.Settings(results=tmp_path / "runs", workers=1)


def test_a_suite_is_run_from_a_mapping(settings: vaebench.Settings) -> None:
    done = vaebench.run(TINY, settings)
    assert done.is_complete
    assert len(done.outcome.done) == 6
    assert list(done.leaderboard.table["variant"]) == ["odd", "even", "late"]
    again = vaebench.Leaderboard.read(done.folder.leaderboard)
    assert again.table.equals(done.leaderboard.table)


def test_settings_are_taken_as_they_come_and_wrong_ones_told(tmp_path: Path) -> None:
    taken = vaebench.Settings(results="runs", data_root="data", plugins="mine.py")
    assert (taken.results, taken.data_root, taken.plugins) == (Path("runs"), Path("data"), ("mine.py",))
    with pytest.raises(project.UnknownName, match="compiled must be auto, never, always, is 'x'"):
        vaebench.Settings(compiled="x")
    with pytest.raises(project.UnknownName, match="workers must be an integer from 1 on, is 0"):
        vaebench.Settings(workers=0)
    with pytest.raises(project.UnknownName, match=r"a suite is a file, .*; this is of the type list"):
        vaebench.run([], vaebench.Settings(results=tmp_path))


def test_somebody_who_watches_hears_of_every_fleet(settings: vaebench.Settings) -> None:
    heard: list[str] = []

    class Watcher(project.View):
        def update(self, event: dict) -> None:
            heard.append(event["event"])

    vaebench.run(TINY, settings, Watcher())
    assert (heard.count("start"), heard.count("end")) == (3, 3)


def test_a_pattern_that_matches_nothing_runs_nothing(settings: vaebench.Settings) -> None:
    with pytest.raises(project.NothingMatched):
        vaebench.run(TINY, vaebench.Settings(results=settings.results, policy=Policy(only="mnist/*")))
    assert not settings.results.exists()


def test_a_suite_comes_back_from_its_lock_file(settings: vaebench.Settings) -> None:
    done = vaebench.run(TINY, settings)
    assert Suite.from_json(read_json(done.folder.lock)["suite"]) == done.plan.suite


def test_the_module_offers_its_names_and_no_others() -> None:
    assert {name for name in vaebench.__all__ if getattr(vaebench, name) is not None} == set(vaebench.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = vaebench.nothing


def test_importing_vaebench_imports_nothing_heavy() -> None:
    script = "import vaebench, sys; assert not {'torch', 'pandas', 'pydantic', 'rich', 'typer'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_commit_is_that_of_the_repository_that_keeps_a_file(tmp_path):
    """Not of one that it merely lies in, as a package does in a virtual environment."""

    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    kept, other = tmp_path / "kept.yaml", tmp_path / "other.yaml"
    kept.write_text("suite: a")
    assert project.git_state(kept) is None
    git("init")
    git("add", "kept.yaml")
    git("commit", "-m", "first")
    other.write_text("suite: b")
    state = project.git_state(kept)
    assert len(state["commit"]) == 40
    assert not state["dirty"]
    assert project.git_state(other) is None
    kept.write_text("suite: c")
    assert project.git_state(kept) == {**state, "dirty": True}


def test_a_report_names_the_commits_of_vaebench_and_of_a_suite_that_is_kept_elsewhere():
    ours, theirs = {"commit": "a" * 40, "dirty": False}, {"commit": "b" * 40, "dirty": True}
    assert commit_of({"git": ours, "suite_git": theirs}) == {
        "vaebench_commit": "a" * 40,
        "suite_commit": "b" * 40 + " with changes",
    }
    assert commit_of({"git": ours, "suite_git": ours}) == {"vaebench_commit": "a" * 40}
    assert commit_of({"git": None}) == {}

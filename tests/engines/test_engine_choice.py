"""`--engine`: what is wrong with the choice is said in one line, before anything runs."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vaebench import cli
from vaebench.project import Settings, UnknownName, check_engine, choosing, parsed_slurm

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Exit code of `vaebench run quickstart …`, and what it says of mistakes."""
    monkeypatch.chdir(tmp_path)

    def run(*options: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["vaebench", "run", "quickstart", *options])
        with pytest.raises(SystemExit) as ending:
            cli.main()
        return int(ending.value.code or 0), capsys.readouterr().err

    return run


@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_an_engine_that_is_not_installed_names_its_extra(
    engine: str, package: str, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == package else find(name, *rest))
    said = f"--engine {engine}: {package} is not installed; pip install 'vaebench[{engine}]'\n"
    assert call("--engine", engine) == (2, said)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--address", "auto"], "--address is for --engine ray, and this is --engine local\n"),
        (["--detach"], "--detach is for --engine slurm, and this is --engine local\n"),
        (["--engine", "ray", "--detach"], "--detach is for --engine slurm, and this is --engine ray\n"),
        (["--slurm", "gpu"], "--slurm gpu: must be NAME=VALUE, as in partition=gpu,time=60\n"),
        (["--slurm", "time=soon"], "--slurm time=soon: no time of Slurm's; minutes, or [DAYS-]HOURS:MINUTES:SECONDS\n"),
    ],
)
def test_an_option_of_another_engine_is_refused(options: list[str], message: str, call: Call) -> None:
    assert call(*options) == (2, message)


def test_a_certain_device_is_refused_where_others_choose_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "NEEDED", {})
    with pytest.raises(UnknownName, match="--device cuda:1: where others choose the machine, valid are auto, cpu"):
        check_engine(Settings(engine="ray", device="cuda:1"))
    check_engine(Settings(engine="slurm", device="cuda"))


def test_an_engine_that_there_is_not_has_a_nearest() -> None:
    with pytest.raises(UnknownName, match="no engine 'rai'; did you mean 'ray'"):
        check_engine(Settings(engine="rai"))


def test_parameters_for_slurm_are_numbers_where_they_look_like_some() -> None:
    assert parsed_slurm(["partition=gpu,time=60", "mem_gb=16"]) == {"partition": "gpu", "time": 60, "mem_gb": 16}

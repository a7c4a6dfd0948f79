"""Tab in a shell: what is offered, by the very functions that the shell calls."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.writing import write
from vaebench import cli_completion
from vaebench.catalog.catalog import load_catalog
from vaebench.suite.loading import shipped

VAEBENCH = Path(sys.executable).with_name("vaebench")
SUITE = "suite: mine\nplugins: [danger.py]\ndatasets: [digits/grey]\nvariants: [ppca]\nmetrics: [elbo]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder: a suite file here and one below, results of two suites, a baseline."""
    monkeypatch.chdir(tmp_path)
    for suite in ("runs/mine", "runs/other"):
        (tmp_path / suite).mkdir(parents=True)
        (tmp_path / suite / "suite.lock.json").write_text("{}")
    (tmp_path / "runs" / "cells").mkdir()
    (tmp_path / "suites").mkdir()
    write(tmp_path, SUITE, "quiet.yaml")
    write(tmp_path / "suites", SUITE, "below.yaml")
    write(tmp_path, "x", "baseline.csv")
    write(tmp_path, "from pathlib import Path\nPath('touched').touch()\n", "danger.py")
    return tmp_path


def test_suites_are_offered_by_name_and_by_file(folder: Path) -> None:
    assert cli_completion.suites("qui") == ["quickstart", "quiet.yaml"]
    assert cli_completion.suites("suites/") == ["suites/below.yaml"]
    assert cli_completion.suites("") == [*shipped(), "quiet.yaml", "suites/below.yaml"]
    assert cli_completion.suites(f"{folder}/q") == [f"{folder}/quiet.yaml"]
    assert not (folder / "touched").exists(), "nothing of a suite is run because somebody pressed Tab"


def test_results_are_offered_as_dir_and_suite(folder: Path) -> None:
    for typed in ("", "ru", "runs", "runs/"):
        assert cli_completion.suite_folders(typed) == ["runs/mine", "runs/other"]
    assert cli_completion.suite_folders("runs/o") == ["runs/other"]
    assert cli_completion.suite_folders("nowhere/") == []


def test_names_are_those_of_the_catalog() -> None:
    catalog = load_catalog()
    assert set(cli_completion.described("vae-m")) == {name for name in catalog.variants if name.startswith("vae-m")}
    assert {*catalog.variants, *catalog.metrics, *catalog.columns, *catalog.datasets, *catalog.recipes} <= {
        *cli_completion.described("")
    }
    assert cli_completion.metrics("sharpness.m") == ["sharpness.mean", "sharpness.mean_ratio"]
    assert cli_completion.sources("digits/st") == ["digits/static-binary"]
    assert cli_completion.file_datasets("") == [name for name in catalog.datasets if "mnist" in name]


def test_of_a_list_of_metrics_the_last_is_completed_and_none_is_named_twice() -> None:
    assert cli_completion.metric_list("elbo,active") == ["elbo,active_units"]
    assert cli_completion.metric_list("log_likelihood:samples=9,log_") == [
        "log_likelihood:samples=9,log_likelihood_ais"
    ]


@pytest.mark.skipif(
    shutil.which("bash") is None or not VAEBENCH.exists(), reason="needs bash and the installed command"
)
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("vaebench comp", ["compare"]),
        ("vaebench run qui", ["quickstart", "quiet.yaml"]),
        ("vaebench describe vmi-v", ["vmi-vae", "vmi-vae-prior-entropy"]),
        ("vaebench gate runs/o", ["runs/other"]),
        ("vaebench gate runs/mine --metric active", ["active_units"]),
        ("vaebench gate runs/mine --baseline ba", []),
        ("vaebench merge int", []),
        ("vaebench list su", ["suites"]),
        ("vaebench export runs/mine --table con", ["contrasts"]),
        ("vaebench run quickstart --compile n", ["never"]),
        ("vaebench run quickstart --keep", ["--keep-stale"]),
    ],
)
def test_bash_gets_what_the_installed_completion_offers(folder: Path, line: str, offered: list[str]) -> None:
    """The script that `--show-completion` prints, in a bash; where nothing is offered it completes names of files."""
    words = line.split()
    script = (
        'eval "$(vaebench --show-completion bash)"\n'
        f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}\n"
        '_vaebench_completion vaebench\nprintf "%s\\n" "${COMPREPLY[@]}"\ncomplete -p vaebench\n'
    )
    environment = {"PATH": f"{VAEBENCH.parent}:/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, check=True, env=environment, cwd=folder
    )
    *answer, how = done.stdout.splitlines()
    assert [word for word in answer if word] == offered
    assert "-o default" in how
    assert not done.stderr


@pytest.mark.skipif(not VAEBENCH.exists(), reason="needs the installed command")
def test_completing_imports_no_torch(folder: Path) -> None:
    script = (
        "import sys\nfrom vaebench import cli_completion as offers\n"
        "for offer in (offers.suites, offers.suite_folders, offers.listed, offers.described, offers.metrics,"
        " offers.metric_list, offers.sources, offers.file_datasets, offers.budgets, offers.tables, offers.schemas):\n"
        "    offer('')\n"
        "heavy = {'torch', 'pandas', 'sklearn', 'scipy', 'numpy'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=folder)

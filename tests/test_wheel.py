"""The built wheel is all that is needed: in an empty folder it finds its catalog, suites, templates and classifiers."""

import importlib.util
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BACKEND = "hatchling"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

pytestmark = pytest.mark.skipif(importlib.util.find_spec(BACKEND) is None, reason=f"builds need {BACKEND}")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from the sources as they are, with what is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("vaebench-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with the wheel's content and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--no-index", "--target", folder, wheel)
    return folder


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A folder that knows nothing of the clone."""
    return tmp_path_factory.mktemp("elsewhere")


def pip(verb, *arguments):
    command = [
        sys.executable,
        "-m",
        "pip",
        verb,
        "--quiet",
        "--no-deps",
        "--disable-pip-version-check",
        *map(str, arguments),
    ]
    subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT.parent)


def python(installed, elsewhere, *arguments):
    """What a process prints that has the installed folder before every other vaebench, and not the clone."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1", "XDG_CACHE_HOME": str(elsewhere)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def vaebench(installed, elsewhere, *arguments):
    return python(installed, elsewhere, "-m", "vaebench", *arguments)


def test_it_is_the_installed_one_that_runs(installed, elsewhere):
    where = python(installed, elsewhere, "-c", "import vaebench; print(vaebench.__file__)").strip()
    assert Path(where).parent == installed / "vaebench"


def test_the_command_knows_its_version_suites_and_catalog(installed, elsewhere):
    assert vaebench(installed, elsewhere, "--version").strip() == VERSION
    assert "no mistakes" in vaebench(installed, elsewhere, "check", "quickstart")
    variants = {line.split()[0] for line in vaebench(installed, elsewhere, "list", "variants").splitlines()}
    assert {"vae", "vae-mse", "gmm", "vmi-joint-vae"} <= variants
    assert "Kingma & Welling 2014" in vaebench(installed, elsewhere, "describe", "vae")
    plan = vaebench(installed, elsewhere, "plan", "quickstart")
    assert plan.startswith("quickstart: 30 cells (30 to train)")


def test_it_trains_scores_and_reports_with_what_it_brings(installed, elsewhere):
    """Closed forms, so seconds: the templates of the report, and the classifier whose features `frechet` sees."""
    (elsewhere / "small.yaml").write_text(
        "suite: small\ndatasets: [digits/grey]\nseeds: 1\nprofile: cpu\nvariants: [{extends: ppca, latent: 8}]\n"
        "metrics: [log_likelihood, frechet]\n",
        encoding="utf-8",
    )
    vaebench(installed, elsewhere, "run", "small.yaml", "--debug", "--device", "cpu")
    report = (elsewhere / "runs" / "small" / "report.md").read_text(encoding="utf-8")
    assert "frechet.mean" in report
    assert "1 model, all complete" in report
    runs = (elsewhere / "runs" / "small" / "runs.csv").read_text(encoding="utf-8")
    assert ",done,frechet.mean," in runs


def test_every_file_of_the_package_is_in_it_and_nothing_else_of_the_clone(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names} == {"vaebench", f"vaebench-{VERSION}.dist-info"}
    ours = {path for path in (ROOT / "vaebench").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {str(path.relative_to(ROOT)) for path in ours} <= names
    for folder in ("suites", "report_templates"):
        shipped = {f"vaebench/shipped/{path.relative_to(ROOT)}" for path in (ROOT / folder).iterdir()}
        assert shipped <= names

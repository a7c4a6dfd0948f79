"""Plugins at the command line: what a user types, what they read, and that a suite file alone runs no code."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.calling import Call, caller
from tests.plugins.writing import LAPLACE, LIGHT, write
from vaebench import project
from vaebench.suite import json_schema

SUITE = """\
suite: mine
datasets: [digits/grey]
seeds: 1
recipe: {extends: quick, epochs: 1, batch: 400}
variants: [vae-gaussian, vae-laplace]
metrics: [elbo, bits_per_dim, ink]
"""
INK = """\
import torch
import vaebench
from vaebench.metrics.answer import Answer


@vaebench.metric("ink", title="Ink of the mean image", unit="pixels", better="none")
def ink(subject, protocol):
    images = subject.images(protocol)
    return [Answer(float(images.x.sum(-1).mean()), 0.0)]
"""
DANGER = "from pathlib import Path\nPath('touched').write_text('')\n"


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command in a folder that holds laplace.py, ink.py and mine.yaml."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, LAPLACE, "laplace.py")
    write(tmp_path, INK, "ink.py")
    write(tmp_path, SUITE, "mine.yaml")
    return caller(monkeypatch, capsys)


BOTH = ("--plugin", "laplace.py", "--plugin", "ink.py")


def test_a_suite_runs_with_parts_of_plugins_in_workers(call: Call, tmp_path: Path) -> None:
    """Trained and scored in processes of their own; then everything that is known of it names the plugins."""
    said = call("run", "mine.yaml", *BOTH, "--workers", "1", "--device", "cpu")
    assert (said.code, said.err) == (0, "")
    with Path("runs/mine/leaderboard.csv").open() as stream:
        rows = {row["variant"]: row for row in csv.DictReader(stream)}
    assert rows["vae-laplace"]["seeds"] == "1"
    assert float(rows["vae-laplace"]["ink"]) == float(rows["vae-gaussian"]["ink"]) > 10
    assert float(rows["vae-laplace"]["bits_per_dim"]) < 4.1  # log₂ 17 is 4.09, what knowing nothing costs

    lock = json.loads(Path("runs/mine/suite.lock.json").read_text())
    assert [(kept["plugin"], kept["installed"]) for kept in lock["plugins"]] == [
        ("laplace.py", False),
        ("ink.py", False),
    ]
    command = "vaebench run mine.yaml --plugin laplace.py --plugin ink.py"
    for page in ("report.md", "report.html"):
        text = Path("runs/mine", page).read_text()
        assert f"{command} --only digits/grey/vae-laplace --seeds 1" in text
        assert lock["plugins"][0]["hash"] in text

    records = {path.parent.name: json.loads(path.read_text()) for path in Path("runs/cells").glob("*/result.json")}
    assert sorted("plugins" in record["fingerprints"] for record in records.values()) == [False, True]

    assert call("report", "runs/mine").err == (
        "runs/mine: likelihood laplace, metric ink: brought by a plugin that is not loaded; "
        "add --plugin laplace.py --plugin ink.py\n"
    )


def test_a_changed_plugin_makes_its_own_results_stale_and_no_others(call: Call, tmp_path: Path) -> None:
    call("run", "mine.yaml", *BOTH, "--debug")
    write(tmp_path, f"{LAPLACE}\n# changed\n", "laplace.py")
    planned = json.loads(call("plan", "mine.yaml", *BOTH, "--json").out)
    states = {cell["variant"]: (cell["state"], cell["why"]) for cell in planned["cells"]}
    assert states == {
        "vae-gaussian": ("cached", ""),
        "vae-laplace": ("stale", "changed since it was trained: plugins"),
    }
    assert call("report", "runs/mine", *BOTH).code == 0
    assert "changed since it was trained: plugins" in Path("runs/mine/runs.csv").read_text()
    write(tmp_path, LAPLACE, "laplace.py")
    write(tmp_path, f"{INK}\n# changed\n", "ink.py")
    planned = json.loads(call("plan", "mine.yaml", *BOTH, "--json").out)
    assert {cell["why"] for cell in planned["cells"]} == {"ink changed since"}
    assert call("compare", "runs/mine", "runs/mine", *BOTH).code == 0
    assert call("compare", "runs/mine", "runs/mine").code == 2


def test_without_the_plugin_its_names_are_unknown(call: Call) -> None:
    said = call("check", "mine.yaml")
    assert said.code == 2
    assert said.err.splitlines()[0].startswith("mine.yaml:5: variants[1]: 'vae-laplace' is no variant to extend")


def test_list_and_describe_know_what_a_plugin_brings(call: Call) -> None:
    assert "VAE with a Laplace decoder" in call("list", "variants", "--plugin", "laplace.py").out
    assert "ink" in call("list", "metrics", "--plugin", "ink.py").out
    assert "Σ_d −|x_d − μ_d(z)|/b_d(z)" in call("describe", "laplace", "--plugin", "laplace.py").out
    assert "likelihood: laplace (scale_floor 0.01)" in call("describe", "vae-laplace", "--plugin", "laplace.py").out
    assert "Ink of the mean image" in call("describe", "ink", "--plugin", "ink.py").out
    schema = json.loads(call("schema", "suite", "--plugin", "laplace.py").out)
    assert "laplace" in json.dumps(schema["$defs"]["likelihood"])


def test_a_suite_that_lists_a_plugin_is_refused_until_somebody_trusts_it(call: Call, tmp_path: Path) -> None:
    write(tmp_path, DANGER + LIGHT, "sub/light.py")
    write(
        tmp_path, f"plugins: [light.py]\n{SUITE.replace('vae-laplace', 'vae-light').replace(', ink', '')}", "sub/s.yaml"
    )
    said = call("check", "sub/s.yaml")
    assert said.code == 2
    assert said.err == (
        "sub/s.yaml:1: plugins[0]: a suite file alone runs no code; if you trust sub/light.py, "
        "add --trust-plugins, or --plugin sub/light.py\n"
    )
    assert not Path("touched").exists()
    assert call("check", "sub/s.yaml", "--trust-plugins").code == 0
    assert Path("touched").exists()


def test_a_listed_plugin_that_its_user_names_needs_no_trust(call: Call, tmp_path: Path) -> None:
    write(tmp_path, f"plugins: [laplace.py, ./ink.py]\n{SUITE}", "listed.yaml")
    assert call("check", "listed.yaml", *BOTH).code == 0


@pytest.mark.parametrize("command", ["run", "plan", "check"])
def test_no_command_runs_what_a_suite_lists(call: Call, tmp_path: Path, command: str) -> None:
    write(tmp_path, DANGER + LIGHT, "light.py")
    write(tmp_path, f"plugins: [light.py]\n{SUITE}", "listed.yaml")
    assert call(command, "listed.yaml").code == 2
    assert not Path("touched").exists()


def test_mistakes_of_shape_are_told_with_the_refusal(call: Call, tmp_path: Path) -> None:
    write(
        tmp_path, f"plugins: [gone.py, laplace.py]\nseeds: many\n{SUITE.replace('seeds: 1', 'colour: red')}", "s.yaml"
    )
    lines = call("check", "s.yaml").err.splitlines()
    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == [
        "plugins[0]",
        "plugins[1]",
        "seeds",
        "colour",
    ]
    assert "gone.py: no such file" in lines[0]


@pytest.mark.parametrize("value", ["laplace.py", "[]", "{a: b}", "[3]", "null"])
def test_plugins_must_be_a_list_of_names(call: Call, tmp_path: Path, value: str) -> None:
    write(tmp_path, f"plugins: {value}\n{SUITE}", "s.yaml")
    said = call("check", "s.yaml", "--trust-plugins")
    assert said.code == 2
    assert said.err.splitlines()[0].startswith("s.yaml:1: plugins")


def test_a_plugin_that_cannot_be_used_is_wrong_input(call: Call, tmp_path: Path) -> None:
    write(tmp_path, "import vaebench\nvaebench.variant('vae', extends='beta-vae')\n", "shadow.py")
    said = call("list", "variants", "--plugin", "shadow.py")
    assert (said.code, said.out) == (2, "")
    assert said.err == "shadow.py:2: variant 'vae': shadows vaebench's own; give it another name\n"


def test_check_without_anything_says_what_it_takes(call: Call) -> None:
    said = call("check")
    assert said.code == 2
    assert "vaebench check --plugin my_plugin.py" in said.err


def test_a_plugin_that_changes_while_its_suite_runs_is_noticed(call: Call, tmp_path: Path) -> None:
    """A worker reads the file after the plan was made: its numbers would stand under the wrong fingerprint."""
    made = project.plan("mine.yaml", project.Settings(plugins=BOTH[1::2]))
    (job,) = [job for job in made.jobs if job.cells[0].cell.composition["likelihood"]["name"] == "laplace"]
    write(tmp_path, f"{LAPLACE}\n# changed\n", "laplace.py")
    text = f"from vaebench.plugins.loading import load_as_planned\nload_as_planned({job.plugins!r})\n"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert "laplace.py: has changed since this run was planned; run the suite again" in done.stderr


def test_an_installed_package_brings_its_parts_by_itself(tmp_path: Path) -> None:
    """As `pip install` would leave it: a module, and an entry point in its metadata."""
    site = tmp_path / "site"
    write(site, LIGHT, "lightbench/parts.py")
    write(site, "", "lightbench/__init__.py")
    write(site, "[vaebench.plugins]\nlight = lightbench.parts\n", "lightbench-1.2.dist-info/entry_points.txt")
    write(site, "Metadata-Version: 2.1\nName: lightbench\nVersion: 1.2\n", "lightbench-1.2.dist-info/METADATA")
    program = f"import sys; sys.path.append({str(site)!r}); from vaebench.cli import main; main()"

    def said(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=tmp_path)

    assert "light" in said("describe", "vae-light").stdout
    suite = SUITE.replace("vae-laplace", "vae-light").replace(", ink", "")
    write(tmp_path, suite, "mine.yaml")
    assert json.loads(said("plan", "mine.yaml", "--json").stdout)["cells"][1]["fingerprints"].keys() >= {"plugins"}

    write(site, LIGHT.replace('"light"', '"bernoulli"'), "lightbench/parts.py")
    broken = said("list", "variants")
    assert broken.returncode == 2
    assert "likelihood 'bernoulli': shadows vaebench's own" in broken.stderr
    write(site, "import no_such_thing\n", "lightbench/parts.py")
    broken = said("list", "variants")
    assert broken.returncode == 2
    assert len(broken.stderr.splitlines()) == 1
    assert "importing lightbench.parts (lightbench 1.2, entry point light) raised ModuleNotFoundError" in broken.stderr


def test_help_imports_no_plugin_and_declaring_no_torch(tmp_path: Path) -> None:
    write(tmp_path, LIGHT, "light.py")
    text = (
        "import sys, vaebench\nfrom vaebench.plugins.loading import load_plugins\n"
        "load_plugins('light.py')\nassert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", text], check=True, cwd=tmp_path)


def test_the_schema_of_suites_allows_plugins() -> None:
    assert json_schema.suite_schema()["properties"]["plugins"]["items"] == {"minLength": 1, "type": "string"}

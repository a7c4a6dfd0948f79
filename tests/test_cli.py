"""The command line as a user meets it: what is printed where, and every exit code. Training is played by a stand-in."""

import csv
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.calling import Call, caller
from tests.engines.tiny import perform_with
from vaebench import cli, project
from vaebench.data.mnist import FILES
from vaebench.project import choosing

SUITE = """\
suite: tiny
datasets: [digits/binary, digits/grey]
seeds: 2
profile: cpu
defaults: {latent: 4}
variants:
  - {name: odd, extends: vae, latent: 3}
  - {extends: beta-vae, objective: {beta: [0.5, 4]}}
  - ppca
metrics: [elbo, kl, active_units, bits_per_dim]
"""

MISTAKEN = """\
suite: not a slug
datasets: [digits/binery]
seeds: 0
profil: cpu
recipe: {extends: quick, epochs: -1}
variants:
  - {extends: veh}
  - {extends: vae, objective: {beta: lots}}
  - {extends: vae, latent: 3, latent: 4}
  - {extends: beta-vae, objective: {beta: []}}
metrics: [elbow]
contrasts:
  - {question: "?", theory: vae, practice: nobody}
"""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command in an empty folder that holds `tiny.yaml`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(SUITE)
    return caller(monkeypatch, capsys)


@pytest.fixture
def performing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets workers do one of tests.engines.performances instead of training."""
    engine = choosing.LocalEngine

    def choose(name: str) -> None:
        monkeypatch.setattr(choosing, "LocalEngine", functools.partial(engine, perform=perform_with(name)))

    choose("obedient")
    return choose


def test_run_trains_scores_and_reports(call: Call, performing: Callable) -> None:
    said = call("run", "tiny.yaml")
    assert (said.code, said.err) == (0, "")
    assert "tiny: 14 cells (14 to train) in 5 fleets" in said.out
    assert "digits/binary  odd: training 2 models" in said.out
    assert "14 of 14 complete" in said.out
    assert "beta-vae[beta=0.5]" in said.out
    assert "report:      runs/tiny/report.html (or report.md)" in said.out
    for name in (
        "plan.json",
        "suite.lock.json",
        "leaderboard.csv",
        "runs.csv",
        "contrasts.csv",
        "report.md",
        "report.html",
    ):
        assert Path("runs/tiny", name).exists()
    with Path("runs/tiny/runs.csv").open() as stream:
        statuses = {row["status"] for row in csv.DictReader(stream)}
    assert statuses == {"done", "n/a"}


def test_without_a_terminal_there_are_no_control_characters(call: Call, performing: Callable) -> None:
    said = call("run", "tiny.yaml")
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", said.out)


def test_a_second_run_trains_nothing(call: Call, performing: Callable) -> None:
    call("run", "tiny.yaml")
    performing("killed")
    said = call("run", "tiny.yaml")
    assert said.code == 0
    assert "tiny: 14 cells (14 cached) in 0 fleets" in said.out


def test_failed_cells_make_exit_code_3_and_are_told(call: Call, performing: Callable) -> None:
    performing("raising")
    said = call("run", "tiny.yaml")
    assert said.code == 3
    assert "4 failed" in said.out
    assert "error: ValueError: no such thing" in said.out
    assert "Traceback" not in said.out + said.err
    status = call("status", "runs/tiny")
    assert "10 done, 4 failed, 0 open" in status.out
    assert "failed in 4 cells: error: ValueError: no such thing" in status.out
    advice = "4 cells are not complete (4 failed); `vaebench run tiny.yaml --retry-failed` trains again what failed"
    assert call("report", "runs/tiny").out.splitlines()[-1] == advice
    assert call("run", "tiny.yaml").code == 3
    performing("obedient")
    assert call("run", "tiny.yaml", "--retry-failed").code == 0


def test_a_report_of_failed_and_open_cells_says_how_to_get_both(call: Call, performing: Callable) -> None:
    performing("raising")
    assert call("run", "tiny.yaml", "--only", "*/ppca", "--only", "*/odd", "--workers", "1").code == 3
    assert call("report", "runs/tiny").out.splitlines()[-1] == (
        "12 cells are not complete (4 failed, 8 missing); `vaebench run tiny.yaml` completes the rest, "
        "`vaebench run tiny.yaml --retry-failed` trains again what failed"
    )


def test_every_missing_file_of_every_data_set_is_named_before_anything_trains(call: Call, performing: Callable) -> None:
    names = ("mnist", "fashion-mnist")
    Path("two.yaml").write_text(SUITE.replace("[digits/binary, digits/grey]", "[mnist/binary, fashion-mnist/grey]"))
    said = call("run", "two.yaml", "--data-root", "nowhere")
    assert said.code == 2
    folders = [Path("nowhere", FILES[name].torchvision, "raw").resolve() for name in names]
    assert [line.partition(": ")[0] for line in said.err.splitlines()] == [
        str(folder / file.name) for folder, name in zip(folders, names, strict=True) for file in FILES[name]
    ]


def test_a_failed_metric_makes_exit_code_3_too(call: Call, performing: Callable) -> None:
    performing("broken")
    assert call("run", "tiny.yaml").code == 3
    assert "failed in 14 cells" in call("status", "runs/tiny").out


def test_only_runs_a_part_and_the_rest_stays_planned(call: Call, performing: Callable) -> None:
    said = call("run", "tiny.yaml", "--only", "digits/binary/beta-vae[beta=4]")
    assert said.code == 0
    assert "tiny: 2 of 14 cells (2 to train) in 1 fleet" in said.out
    assert "2 done, 0 failed, 12 open" in call("status", "runs/tiny").out
    assert call("run", "tiny.yaml", "--only", "*/odd", "--only", "digits/grey/ppca").code == 0
    assert "8 done, 0 failed, 6 open" in call("status", "runs/tiny").out


def test_a_pattern_that_matches_nothing_is_exit_code_5(call: Call, performing: Callable) -> None:
    for verb in ("run", "plan"):
        said = call(verb, "tiny.yaml", "--only", "mnist/*")
        assert said.code == 5
        assert "matches none of the 14 planned cells" in said.err
    said = call("plan", "tiny.yaml", "--only", "*/odd", "--only", "*/od", "--only", "mnist/*")
    assert [line.split()[1] for line in said.err.splitlines()] == ["'*/od'", "'mnist/*'"]
    assert not Path("runs").exists()


def test_seeds_take_the_place_of_the_suites_own(call: Call) -> None:
    assert "tiny: 21 cells" in call("plan", "tiny.yaml", "--seeds", "3").out


def test_what_cannot_be_planned_for_one_reason_stands_in_one_line(call: Call) -> None:
    Path("odd.yaml").write_text(
        "suite: odd\ndatasets: [digits/binary, digits/grey]\nvariants: [vae, ppca, linear-vae, ae]\nmetrics: [kl]\n"
    )
    lines = [line for line in call("plan", "odd.yaml").out.splitlines() if line.startswith("not planned: ")]
    shared = "not planned: ppca, linear-vae on digits/binary: likelihood gaussian-shared is for the views"
    assert [line.startswith(shared) for line in lines] == [True, False]


def test_the_plan_tells_the_time_for_as_many_fleets_as_are_asked_for(call: Call, monkeypatch):
    asked = []
    monkeypatch.setattr("vaebench.engines.planning.estimate_seconds", lambda *given: asked.append(given[-1]) or 7200.0)
    for workers in ("1", "3"):
        assert "about 2 h" in call("plan", "tiny.yaml", "--workers", workers).out
    assert asked == [1, 3]
    assert call("plan", "tiny.yaml", "--workers", "0").code == cli.WRONG_INPUT


def test_plan_shows_what_would_run_and_touches_nothing(call: Call, performing: Callable) -> None:
    said = call("plan", "tiny.yaml")
    assert said.code == 0
    assert "14 train: never trained" in said.out
    assert "digits/grey  ppca: 2 to fit" in said.out
    assert "not planned: ppca on digits/binary: likelihood gaussian-shared is for the views" in said.out
    assert "digits/binary  beta-vae[beta=0.5], beta-vae[beta=4]: 4 to train for" in said.out
    assert not Path("runs").exists()
    call("run", "tiny.yaml")
    content = json.loads(call("plan", "tiny.yaml", "--json").out)
    assert content["counts"] == {"cached": 14}
    assert [pair["variant"] for pair in content["impossible"]] == ["ppca"]


def test_check_prints_every_mistake_on_a_line_of_its_own(call: Call) -> None:
    Path("wrong.yaml").write_text(MISTAKEN)
    said = call("check", "wrong.yaml")
    assert (said.code, said.out) == (2, "")
    lines = said.err.splitlines()
    assert len(lines) >= 10
    assert all(re.match(r"wrong\.yaml(:\d+)?: ", line) for line in lines)
    assert "did you mean 'digits/binary'?" in said.err
    assert "did you mean 'elbo'?" in said.err
    assert "Traceback" not in said.err


def test_check_of_a_sound_file_says_so(call: Call) -> None:
    said = call("check", "tiny.yaml")
    assert said.code == 0
    assert said.out == "tiny.yaml: no mistakes; 4 variants, 2 data set views, 2 seeds\n"


def test_a_question_that_the_seeds_cannot_answer_is_told_before_anything_is_trained(call: Call) -> None:
    asked = f"{SUITE}contrasts:\n  - {{question: Why?, theory: odd, practice: 'beta-vae[beta=4]', primary: elbo}}\n"
    Path("tiny.yaml").write_text(asked)
    line = "contrasts: no verdict below 5 seeds, and the suite has 2"
    assert call("check", "tiny.yaml").out.splitlines()[1:] == [line]
    assert call("plan", "tiny.yaml").out.splitlines()[-1] == line
    assert "no verdict" not in call("plan", "tiny.yaml", "--seeds", "5").out


def test_a_folder_that_is_not_there_is_answered_with_the_one_that_is(call: Call, performing: Callable) -> None:
    call("run", "tiny.yaml")
    for command in ("status", "report"):
        assert "runs/tinny: there is no such folder; did you mean runs/tiny?" in call(command, "runs/tinny").err
    assert "there is no such folder; give DIR/SUITE" in call("status", "runs/elsewhere").err
    Path("runs/tiny/leaderboard.csv").unlink()
    said = call("export", "runs/tiny", "--to", "board.md")
    assert (said.code, said.err.strip()) == (
        2,
        "runs/tiny: leaderboard.csv is not written yet; `vaebench report runs/tiny` makes it of what has been scored",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.yaml"], "no such file"),
        (["check", "."], "is a folder"),
        (["describe", "bta-vae"], "did you mean 'beta-vae'?"),
        (["list", "variant"], "did you mean 'variants'?"),
        (["status", "runs/tiny"], "give DIR/SUITE"),
        (["report", "runs/tiny"], "give DIR/SUITE"),
        (["run", "tiny.yaml", "--device", "gpu"], "no device 'gpu'"),
        (["plan", "tiny.yaml", "--device", "gpu"], "no device 'gpu'"),
        (["run"], "Missing argument"),
        (["rum", "tiny.yaml"], "Did you mean 'run'?"),
        (["run", "tiny.yaml", "--workers", "none"], "--workers"),
        (["run", "tiny.yaml", "--seeds", "0"], "--seeds"),
        (["run", "tiny.yaml", "--colour"], "vaebench run: No such option: --colour"),
        (["run", "tiny.yaml", "--engine", "rayy"], "vaebench run: --engine: "),
        (["run", "tiny.yaml", "--compile", "often"], "is not one of 'auto', 'never', 'always'"),
    ],
)
def test_wrong_input_is_exit_code_2_and_never_a_traceback(arguments: list[str], message: str, call: Call) -> None:
    said = call(*arguments)
    assert said.code == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    assert "internal error" not in said.err


def test_a_damaged_record_is_named_stops_nobody_and_is_made_again(call: Call, performing: Callable) -> None:
    call("run", "tiny.yaml")
    record = next(Path("runs/cells").glob("*/result.json"))
    record.write_text("{")
    assert "14 cells (1 to train, 13 cached)" in call("plan", "tiny.yaml").out
    assert call("status", "runs/tiny").code == 0
    assert call("report", "runs/tiny").code == 0
    assert f"{record.parent.name}/result.json: damaged" in Path("runs/tiny/runs.csv").read_text()
    assert call("run", "tiny.yaml").code == 0
    assert "damaged" not in Path("runs/tiny/runs.csv").read_text()


def test_a_results_folder_that_is_a_file_is_wrong_input(call: Call, performing: Callable) -> None:
    Path("taken").write_text("")
    for verb in ("run", "plan"):
        said = call(verb, "tiny.yaml", "--results", "taken")
        assert (said.code, said.err) == (2, "taken: taken is a file; name a folder with --results\n")


def test_an_internal_error_is_one_line_with_the_way_to_its_traceback(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistake(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(project, "plan", mistake)
    said = call("plan", "tiny.yaml")
    assert said.code == 1
    assert said.err.startswith("internal error: ZeroDivisionError: division by zero (")
    assert "vaebench --debug" in said.err
    assert len(said.err.splitlines()) == 1
    monkeypatch.setattr(sys, "argv", ["vaebench", "--debug", "plan", "tiny.yaml"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_debug_runs_in_this_process_and_shows_the_error(
    call: Call, performing: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    performing("raising")
    monkeypatch.setattr(sys, "argv", ["vaebench", "run", "tiny.yaml", "--debug"])
    with pytest.raises(ValueError, match="no such"):
        cli.main()


def test_what_is_wrong_with_the_input_is_a_line_with_debug_too(call: Call) -> None:
    said = call("run", "tiny.yaml", "--engine", "nowhere-near", "--debug")
    assert (said.code, "Traceback" in said.err) == (2, False)
    said = call("run", "tiny.yaml", "--only", "nothing/*", "--debug")
    assert (said.code, len(said.err.splitlines())) == (5, 1)


def test_report_says_what_is_not_there(call: Call, performing: Callable) -> None:
    call("run", "tiny.yaml")
    shutil.rmtree(next(Path("runs/cells").iterdir()))
    said = call("report", "runs/tiny")
    assert said.code == 0
    assert said.out.splitlines()[2:] == [
        "1 cell is not complete (1 missing); `vaebench run tiny.yaml` completes the suite"
    ]


def test_a_suite_whose_cells_are_gone_is_told_by_its_tables_and_says_so(call: Call, performing: Callable) -> None:
    call("run", "tiny.yaml")
    before = Path("runs/tiny/runs.csv").read_text()
    shutil.rmtree("runs/cells")
    assert call("status", "runs/tiny").out == f"tiny: 14 done, 0 failed, 0 open ({project.FROM_TABLES})\n"
    assert project.FROM_TABLES in call("report", "runs/tiny").out
    assert Path("runs/tiny/runs.csv").read_text() == before


def test_status_of_a_published_suite_is_that_of_its_table(call: Call, performing: Callable) -> None:
    performing("raising")
    call("run", "tiny.yaml")
    here = call("status", "runs/tiny")
    call("publish", "tiny", "--to", "results", "--incomplete")
    there = call("status", "results/tiny")
    assert f"{here.out.splitlines()[0]} ({project.FROM_TABLES})" == there.out.splitlines()[0]
    assert " 0 open" in there.out
    assert "failed in" in there.out


def test_cells_that_a_table_lost_are_open_and_a_table_that_was_cut_off_is_none(
    call: Call, performing: Callable
) -> None:
    call("run", "tiny.yaml")
    call("publish", "tiny", "--to", "results")
    table = Path("results/tiny/runs.csv")
    whole = table.read_text()
    rows = whole.splitlines(keepends=True)
    models = {row.split(",")[5] for row in rows[1:]}
    first = [row for row in rows[1:] if row.split(",")[5] == rows[1].split(",")[5]]
    table.write_text("".join([rows[0], *first]))
    assert f"tiny: 1 done, 0 failed, {len(models) - 1} open" in call("status", "results/tiny").out
    cut = whole.rsplit(",", 3)[0]
    for ending, what in (("", "its last line has no end"), ("\n", "has 9 cells, the first has 12")):
        table.write_text(cut + ending)
        said = call("status", "results/tiny")
        assert said.code == 2
        assert what in said.err


def test_report_is_written_anew_from_the_records(call: Call, performing: Callable) -> None:
    call("run", "tiny.yaml")
    written = {path.name: path.read_text() for path in Path("runs/tiny").glob("*.*") if "json" not in path.name}
    for name in written:
        Path("runs/tiny", name).unlink()
    Path("tiny.yaml").unlink()
    said = call("report", "runs/tiny")
    assert (said.code, said.out) == (0, "runs/tiny/report.md\nruns/tiny/report.html\n")
    assert {name: Path("runs/tiny", name).read_text() for name in written} == written


def test_the_lock_file_says_what_a_rerun_needs_to_know(call: Call, performing: Callable) -> None:
    call("run", "tiny.yaml", "--device", "cpu")
    lock = json.loads(Path("runs/tiny/suite.lock.json").read_text())
    assert lock["suite"]["seeds"] == [0, 1]
    assert lock["device"] == "cpu"
    assert set(lock["versions"]) >= {"vaebench", "torch", "numpy"}
    assert lock["data"] == {"digits": "abc"}
    assert lock["suite_git"] is None


@pytest.mark.parametrize("kind", sorted(project.LISTED))
def test_lists_are_one_name_and_title_a_line(kind: str, call: Call) -> None:
    lines = call("list", kind).out.splitlines()
    entries = json.loads(call("list", kind, "--json").out)
    assert [re.split(r"\s{2,}", line, maxsplit=1) for line in lines] == [
        [entry["name"], entry["title"]] for entry in entries
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("beta-vae", "For β ≠ 1 the objective is no longer the ELBO"),
        ("elbo", "metric elbo"),
        ("elbo", "objective elbo"),
        ("digits", "data set digits"),
        ("quick", "recipe quick"),
        ("gaussian-fixed", "σ of every pixel"),
        ("grey", "view grey"),
        ("sharpness", "sharpness.mean_ratio"),
    ],
)
def test_describe_shows_anything_by_its_name(name: str, text: str, call: Call) -> None:
    assert text in call("describe", name).out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["--version"],
        ["list", "variants"],
        ["describe", "vae"],
        ["check", "quickstart"],
        ["plan", "quickstart"],
    ],
    ids=" ".join,
)
def test_asking_imports_no_torch(arguments: list[str], tmp_path: Path) -> None:
    script = (
        "import sys\nfrom vaebench.cli import main\n"
        f"sys.argv = ['vaebench', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as ending:\n    assert not ending.code\n"
        "heavy = {'torch', 'pandas', 'sklearn', 'scipy', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    finished = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_help_comes_in_less_than_half_a_second() -> None:
    """Of a processor's time, which other work on the machine stretches less than the clock's."""

    def seconds() -> float:
        before = os.times()
        subprocess.run([sys.executable, "-m", "vaebench", "--help"], capture_output=True, check=True)
        after = os.times()
        return after.children_user - before.children_user + after.children_system - before.children_system

    assert 0 < min(seconds() for _ in range(3)) < 0.5


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m vaebench list metrics | head -n 1"
    finished = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert finished.stderr == ""
    assert len(finished.stdout.splitlines()) == 1


def test_in_a_terminal_there_is_a_live_view_that_survives_narrow_windows(
    performing: Callable, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    from vaebench import cli_view

    def terminal() -> Console:
        return Console(file=sys.stdout, force_terminal=True, width=40)

    monkeypatch.setattr(cli_view, "console", terminal)
    said = call("run", "tiny.yaml")
    assert said.code == 0
    assert "\x1b[" in said.out
    assert "14 of 14 complete" in said.out

"""docs/plugins.md is run as it stands: its files are written, its commands typed, and what it shows is what comes."""

import csv
import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from vaebench import cli

PAGE = Path(__file__).resolve().parents[2] / "docs" / "plugins.md"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHORT = ("--debug", "--device", "cpu", "--seeds", "1")
"""In this process and with one seed, so that a test is a matter of seconds."""
FEW_EPOCHS = "recipe: {extends: quick, epochs: 2}\nbudget: quick"


def test_the_tutorial_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = []
    for language, name, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if name:
            shortened = text.replace("profile: cpu", FEW_EPOCHS) if language == "yaml" else text
            with Path(name).open("a", encoding="utf-8") as stream:  # a block of the same name goes on with its file
                stream.write(shortened)
        elif language == "console":
            for command, shown in commands(text):
                typed.append(command)
                assert_as_shown(command, shown, monkeypatch, capsys)
    assert len(typed) == 8
    assert "vae-laplace" in Path("board.tex").read_text()
    with Path("runs/my_suite/leaderboard.csv").open() as stream:
        rows = [row["variant"] for row in csv.DictReader(stream)]
    assert sorted(rows) == ["vae-gaussian", "vae-gaussian-shared", "vae-laplace", "vae-mse"]
    assert "vaebench run my_suite.yaml --plugin my_laplace.py" in Path("runs/my_suite/report.md").read_text()
    with Path("runs/my_bars/leaderboard.csv").open() as stream:
        assert {float(row["ink_error"]) > 0 for row in csv.DictReader(stream)} == {True}
    lock = json.loads(Path("runs/my_bars/suite.lock.json").read_text())
    assert [kept["plugin"] for kept in lock["plugins"]] == ["my_extras.py"]


def plugin() -> str:
    """`my_laplace.py`, as the page has it."""
    (text,) = (text for _, name, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if name == "my_laplace.py")
    return str(text)


def test_the_variant_takes_less_than_thirty_lines() -> None:
    assert len([line for line in plugin().splitlines() if line.strip()]) < 30


def test_the_mistake_that_the_page_shows_is_told_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    right, wrong = "self.scale_floor + softplus(scale)", "scale"
    assert right in plugin()
    Path("my_laplace.py").write_text(plugin().replace(right, wrong), encoding="utf-8")
    shown = re.findall(r"^    (my_laplace\.py:\d+: .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(shown) == 2
    assert_as_shown(
        "vaebench check --plugin my_laplace.py", [*shown, "checks: 1 passed, 2 failed"], monkeypatch, capsys
    )


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Each command of a block, and the lines that it is said to print."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        else:
            found[-1][1].append(line)
    return found


def assert_as_shown(
    command: str, shown: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every line that is shown is printed, an ellipsis standing for any text, and the exit code is that of its word."""
    arguments = shlex.split(command)
    more = SHORT if arguments[1] == "run" else ()
    monkeypatch.setattr(sys, "argv", [*arguments, *more])
    with pytest.raises(SystemExit) as ending:
        cli.main()
    said = capsys.readouterr()
    assert (ending.value.code or 0) == (2 if any(" failed" in line for line in shown) else 0), said.err
    printed = said.out.splitlines()
    for line in shown:
        pattern = ".*".join(re.escape(part) for part in line.split("…"))
        assert any(re.fullmatch(pattern, candidate) for candidate in printed), (line, printed)

"""Exports: the same numbers in every format, and nothing in them that another program would execute."""

import csv
import importlib.util
import json
import re

import jsonschema
import numpy as np
import pandas as pd
import pytest

from tests.reporting.fabrication import TINY, fabricate, failed
from vaebench.reporting.contrasts import contrasts_table
from vaebench.reporting.dictionary import TABLES, json_schema, read
from vaebench.reporting.export import export, harmless, latin
from vaebench.reporting.leaderboard import leaderboard_table
from vaebench.reporting.runs import runs_table
from vaebench.reporting.tables import write_table
from vaebench.store.files import StoreError
from vaebench.suite.loading import load_suite, load_suite_mapping, shipped

EVIL = "=HYPERLINK('https://example.org')"


@pytest.fixture
def folder(results):
    """A suite's folder with its tables; a question is a formula and a Greek letter at once, and a row has failed."""
    contrasts = [
        {**contrast, "question": f"@SUM(A1) σ² & 5 % of | {place}"} for place, contrast in enumerate(TINY["contrasts"])
    ]
    suite = load_suite_mapping({**TINY, "contrasts": contrasts})
    fabricate(suite, results, instead={"vae-mse": lambda planned: failed(planned, kind="error", message=EVIL)})
    runs = runs_table(suite, results)
    made = results.suite(suite.name)
    write_table(made.runs, runs)
    write_table(made.leaderboard, leaderboard_table(suite, runs))
    write_table(made.contrasts, contrasts_table(suite, runs))
    return made


def table_of(folder, name):
    return read(folder.path / f"{name}.csv", name)


@pytest.mark.parametrize("name", TABLES)
def test_csv_has_the_same_numbers_to_the_last_digit(folder, tmp_path, name):
    path = export(folder, tmp_path / "out" / "table.csv", name)
    pd.testing.assert_frame_equal(read(path, name), table_of(folder, name))


@pytest.mark.parametrize("name", TABLES)
def test_json_has_the_same_numbers_and_rows_as_the_schema_says(folder, tmp_path, name):
    content = json.loads(export(folder, tmp_path / "table.json", name).read_text())
    assert (content["table"], content["version"]) == (name, TABLES[name].version)
    validator = jsonschema.Draft202012Validator(json_schema(name))
    for row in content["rows"]:
        validator.validate(row)
    expected = table_of(folder, name)
    for column in expected.select_dtypes("float").columns:
        found = [np.nan if row[column] is None else row[column] for row in content["rows"]]
        np.testing.assert_array_equal(found, expected[column])


@pytest.mark.parametrize("name", TABLES)
def test_parquet_has_the_same_numbers_and_knows_its_version(folder, tmp_path, name):
    pytest.importorskip("pyarrow")
    found = pd.read_parquet(export(folder, tmp_path / "table.parquet", name))
    pd.testing.assert_frame_equal(found, table_of(folder, name), check_dtype=False)
    assert found.attrs == {"vaebench": {"table": name, "version": TABLES[name].version}}


def test_without_pyarrow_the_message_says_what_to_do(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StoreError, match=r"Parquet needs the package pyarrow; pip install 'vaebench\[parquet\]'"):
        export(folder, tmp_path / "table.parquet")
    assert not (tmp_path / "table.parquet").exists()


def test_no_text_of_a_csv_is_a_formula_and_numbers_are_left_alone(folder, tmp_path):
    """Also where somebody has written into the tables by hand."""
    spoiled = pd.read_csv(folder.runs, dtype=str, keep_default_na=False)
    spoiled["note"] = [EVIL, "+1", "-1", "@x", "\tx", *spoiled["note"][5:]]
    spoiled.to_csv(folder.runs, index=False)
    with export(folder, tmp_path / "table.csv", "runs").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["note"] for row in rows[:5]] == [f"'{EVIL}", "'+1", "'-1", "'@x", "'\tx"]
    texts = [row[name] for row in rows for name in TABLES["runs"].of_type("text")]
    assert not [text for text in texts if text.startswith(("=", "+", "-", "@", "\t", "\r"))]
    values = [row["value"] for row in rows if row["value"]]
    assert any(value.startswith("-") for value in values)
    assert all(float(value) for value in values)


@pytest.mark.parametrize(
    ("cell", "written"),
    [("=1+1", "'=1+1"), ("@a", "'@a"), ("-b", "'-b"), ("+c", "'+c"), ("d=1", "d=1"), ("", ""), ("'=1", "'=1")],
)
def test_only_what_begins_like_a_formula_gets_an_apostrophe(cell, written):
    assert harmless(cell) == written


def test_markdown_is_one_pipe_table(folder, tmp_path):
    lines = export(folder, tmp_path / "table.md", "contrasts").read_text().splitlines()
    assert len(lines) == 2 + len(table_of(folder, "contrasts"))
    assert all(line.startswith("|") and line.endswith("|") for line in lines)
    assert r"of \| 0" in lines[2]
    board = export(folder, tmp_path / "board.md").read_text()
    assert "| `vae-mse`" in board


def test_latex_is_a_booktabs_table_with_everything_escaped(folder, tmp_path):
    text = export(folder, tmp_path / "table.tex", "contrasts").read_text()
    assert text.startswith("% contrasts.csv of vaebench, version 1; needs \\usepackage{booktabs}\n\\begin{tabular}")
    assert r"SUM(A1) $\sigma$$^2$ \& 5 \% of" in text
    assert r"theory\_mean" in text
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 1
    board = export(folder, tmp_path / "board.tex").read_text()
    assert "vae-gaussian" in board
    assert text.isascii()
    assert board.isascii()


def test_greek_letters_and_signs_have_commands_of_latex():
    assert latin("σ(z) ≥ Λ²") == r"$\sigma$(z) $\geq$ $\Lambda$$^2$"
    assert latin("Σ w̃ ln w, σ̂, x₁ − x₂ → 0") == (r"$\Sigma$ $\tilde{w}$ ln w, $\hat{\sigma}$, x$_1$ $-$ x$_2$ $\to$ 0")


def test_no_sign_of_a_shipped_question_is_strange_to_latex():
    questions = {contrast.question for path in shipped().values() for contrast in load_suite(path).contrasts}
    assert len(questions) > 100
    assert [question for question in questions if any(ord(sign) > 255 for sign in latin(question))] == []


def test_negative_numbers_of_every_table_have_the_minus_of_mathematics(folder, tmp_path):
    for name in TABLES:
        text = export(folder, tmp_path / f"{name}.tex", name).read_text()
        assert re.search(r"& +\$-\$\d", text), name
        assert not re.search(r"& +-\d", text), name


def test_the_command_writes_the_file_and_names_it(folder, tmp_path, call):
    to = tmp_path / "runs.json"
    assert call("export", folder.path, "--to", to, "--table", "runs") == (0, f"{to}\n", "")
    assert json.loads(to.read_text())["table"] == "runs"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}", "--to", "table.xlsx"], "table.xlsx: no format '.xlsx'; valid: .parquet, .tex, .csv, .json, .md"),
        (["{folder}", "--to", "table"], "table: no format 'without an ending'"),
        (["{folder}", "--to", "table.md", "--table", "run"], "no table 'run'; did you mean 'runs'?"),
        (["nowhere", "--to", "table.md"], "nowhere: there is no such folder; give DIR/SUITE"),
        (
            ["{folder}", "--to", "{folder}/leaderboard.csv"],
            "is a file of the suite itself; export the table to another one",
        ),
        (["{folder}", "--to", "{folder}/runs.csv"], "is a file of the suite itself; export the table to another one"),
    ],
)
def test_wrong_input_is_one_clear_line(folder, tmp_path, monkeypatch, call, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = call("export", *(word.format(folder=folder.path) for word in arguments))
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert message in err
    assert not list(tmp_path.glob("table*"))

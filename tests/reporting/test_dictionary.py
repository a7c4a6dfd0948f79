"""The data dictionary: it says what every column holds, page and schemas follow it, and older files are read."""

import dataclasses
import json
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

from tests.reporting.fabrication import fabricate, failed
from vaebench import project
from vaebench.catalog.catalog import load_catalog
from vaebench.reporting import contrasts, dictionary, leaderboard, runs, statistics
from vaebench.reporting.dictionary import (
    LEADERBOARD,
    RUNS,
    TABLES,
    VERSIONS,
    Column,
    completed,
    json_schema,
    page,
    read,
)
from vaebench.reporting.tables import write_table
from vaebench.store.files import StoreError, read_json, write_json
from vaebench.suite.suite import Suite

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "csv.md"


@pytest.fixture
def tables(tiny, results) -> dict[str, pd.DataFrame]:
    """The three tables of a suite, one row of which has failed."""
    fabricate(tiny, results, instead={"vae-mse": failed})
    made = runs.runs_table(tiny, results)
    return {
        "leaderboard": leaderboard.leaderboard_table(tiny, made),
        "runs": made,
        "contrasts": contrasts.contrasts_table(tiny, made),
    }


def test_the_committed_page_is_not_stale():
    made = page()
    assert COMMITTED.read_text(encoding="utf-8") == made, "run python -m vaebench.reporting.dictionary again"


def test_the_columns_are_those_that_the_tables_have_in_their_order():
    names = {name: [column.name for column in table.columns] for name, table in TABLES.items()}
    assert names == {
        "leaderboard": [*leaderboard.TEXT, *leaderboard.WHOLE],
        "runs": list(runs.COLUMNS),
        "contrasts": list(contrasts.COLUMNS),
    }


def test_the_words_are_those_that_the_tables_use():
    catalog = load_catalog()
    by_name = {(table.name, column.name): column.values for table in TABLES.values() for column in table.columns}
    assert set(by_name["runs", "status"]) == {runs.DONE, runs.STALE, runs.FAILED, runs.MISSING, runs.NOT_APPLICABLE}
    assert set(by_name["leaderboard", "stance"]) == {entry.stance for entry in catalog.variants.values()}
    parts = catalog.parts["likelihood"].values()
    measures = {view.measure for view in catalog.views.values()} | {part.measure for part in parts if part.measure}
    assert set(by_name["leaderboard", "measure"]) == measures
    assert set(by_name["contrasts", "verdict"]) == {
        statistics.PRACTICE_BETTER,
        statistics.THEORY_BETTER,
        statistics.PRACTICE_HIGHER,
        statistics.PRACTICE_LOWER,
        statistics.NOT_DISTINGUISHABLE,
        statistics.NOT_COMPARABLE,
    }


@pytest.mark.parametrize("name", TABLES)
def test_every_row_satisfies_its_schema_and_a_wrong_one_does_not(name, tables):
    schema = json_schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    rows = json.loads(tables[name].to_json(orient="records", double_precision=15))
    assert rows
    for row in rows:
        validator.validate(row)
    for wrong in ({"view": 3}, {"seeds" if name != "runs" else "seed": "many"}, {"unheard_of": "text"}):
        assert not validator.is_valid({**rows[0], **wrong})
    assert not validator.is_valid({key: value for key, value in rows[0].items() if key != "view"})


@pytest.mark.parametrize("name", TABLES)
def test_a_table_reads_as_it_was_written(name, tables, tmp_path):
    write_table(tmp_path / "t.csv", tables[name])
    pd.testing.assert_frame_equal(read(tmp_path / "t.csv", name), tables[name], check_dtype=False)


NEWER = dataclasses.replace(
    RUNS,
    columns=(
        *RUNS.columns[:5],
        Column("machine", "text", "where", since=2),
        Column("tries", "integer", "how often", since=2),
        Column("share", "number", "of what", since=3),
        *RUNS.columns[5:],
    ),
)


def test_an_older_file_gets_the_newer_columns_empty_and_in_their_places(tables, tmp_path, monkeypatch):
    """A file of version 1, read by a version of vaebench that knows three more columns."""
    write_table(tmp_path / "runs.csv", tables["runs"])
    monkeypatch.setitem(dictionary.TABLES, "runs", NEWER)
    found = read(tmp_path / "runs.csv", "runs")
    assert list(found.columns) == [column.name for column in NEWER.columns]
    assert found[["machine", "tries", "share"]].iloc[0].tolist()[0] == ""
    assert found[["tries", "share"]].isna().all(axis=None)
    assert found["cell"].tolist() == tables["runs"]["cell"].tolist()
    assert NEWER.version == 3


def test_a_column_of_the_first_version_must_be_there(tables, tmp_path):
    write_table(tmp_path / "runs.csv", tables["runs"].drop(columns="cell"))
    with pytest.raises(StoreError, match="no column cell"):
        read(tmp_path / "runs.csv", "runs")


def test_a_newer_file_is_refused_where_the_lock_says_so_and_read_by_its_columns_elsewhere(tables, tmp_path):
    newer = tables["runs"].assign(later="some text")
    write_table(tmp_path / "runs.csv", newer)
    assert list(read(tmp_path / "runs.csv", "runs").columns) == list(newer.columns)
    write_json(tmp_path / "suite.lock.json", {"tables": {**VERSIONS, "runs.csv": RUNS.version + 1}})
    with pytest.raises(StoreError, match=r"runs.csv: version 2 is newer than this vaebench reads \(1\); upgrade it"):
        read(tmp_path / "runs.csv", "runs")
    (tmp_path / "runs.csv").rename(tmp_path / "kept.csv")
    assert len(read(tmp_path / "kept.csv", "runs")) == len(newer)


def test_a_leaderboard_of_metrics_that_nobody_knows_is_read(tables, tmp_path):
    board = tables["leaderboard"].assign(theirs=1.5, theirs_low=1.0, theirs_high=2.0)
    write_table(tmp_path / "board.csv", board)
    assert read(tmp_path / "board.csv", "leaderboard")["theirs"].tolist() == [1.5] * len(board)


def test_a_table_that_is_complete_stays_as_it_is(tables):
    pd.testing.assert_frame_equal(completed(tables["leaderboard"].copy(), LEADERBOARD), tables["leaderboard"])


def test_rendering_notes_the_versions_in_the_lock_file(tiny: Suite, results):
    fabricate(tiny, results)
    folder = results.suite(tiny.name)
    write_json(folder.lock, {"suite": tiny.to_json(), "source": "tiny"})
    project.report(folder.path)
    assert read_json(folder.lock)["tables"] == VERSIONS == {"leaderboard.csv": 1, "runs.csv": 1, "contrasts.csv": 1}
    assert read_json(folder.lock)["suite"] == json.loads(json.dumps(tiny.to_json()))

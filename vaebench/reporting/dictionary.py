"""What stands in every column of the CSV files: the one source of docs/csv.md, of their JSON Schemas and versions.

python -m vaebench.reporting.dictionary > docs/csv.md
"""

import csv
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from vaebench.catalog.catalog import Catalog, load_catalog
from vaebench.catalog.consistency import STANCES
from vaebench.reporting.tables import read_table
from vaebench.store.files import Damaged, StoreError, read_json
from vaebench.store.folders import SuiteFolder

ColumnType = Literal["text", "integer", "number", "boolean"]
ENDS = {"": "", "_low": "lower end of the 95 % interval of", "_high": "upper end of the 95 % interval of"}
"""What follows a metric's name in leaderboard.csv, and what it stands for."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True)
class Column:
    name: str
    type: ColumnType
    meaning: str
    empty: str = ""
    """When the cell is empty; "" where it never is."""
    values: tuple[str, ...] = ()
    """The only ones that there are, where they can be listed."""
    since: int = 1
    """Version of the table that has it for the first time."""


@dataclass(frozen=True)
class Table:
    """One CSV file of a suite."""

    name: str
    row: str
    """What one row is."""
    columns: tuple[Column, ...]
    metrics: bool = False
    """Whether a mean and its interval follow for every metric of the suite."""

    @property
    def version(self) -> int:
        """It rises when a column is added. None is ever renamed, removed, or given another meaning."""
        return max(column.since for column in self.columns)

    @property
    def file(self) -> str:
        return f"{self.name}.csv"

    def of_type(self, kind: ColumnType) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if column.type == kind)


STATUSES = ("done", "stale", "failed", "missing", "n/a")
VERDICTS = (
    "practice better",
    "theory better",
    "practice higher",
    "practice lower",
    "not distinguishable",
    "not comparable",
)
NO_NUMBER = "there is no number"
UNRANKED = "the row is not ranked"
FEW = "fewer than three seeds are shared"

PLACE = (
    Column("suite", "text", "name of the suite"),
    Column("dataset", "text", "data set, such as `digits`"),
    Column("view", "text", "what of it is observed, such as `binary`"),
)

LEADERBOARD = Table(
    "leaderboard",
    "one data set view and variant",
    (
        *PLACE,
        Column(
            "measure",
            "text",
            "what likelihoods are taken against; rows of different measures are never ranked together",
            values=("counting", "density", "levels"),
        ),
        Column("given", "text", "what the models are told beside the image", "they are told nothing", ("", "label")),
        Column("variant", "text", "name of the variant in the suite"),
        Column(
            "stance",
            "text",
            "faithful to its source, a popular departure from it, or held against both",
            values=STANCES,
        ),
        Column("rank", "integer", "place in its ranking, from 1; ties share it", UNRANKED),
        Column(
            "group", "integer", "rows that their seeds cannot tell from the first of them", f"{UNRANKED} or grouped"
        ),
        Column("seeds", "integer", "seeds at which every metric that applies has a number"),
        Column("failed", "integer", "the other seeds: failed, missing or stale; such a row is not ranked"),
    ),
    metrics=True,
)
RUNS = Table(
    "runs",
    "one planned model (a row of the leaderboard at one seed) and metric",
    (
        *PLACE,
        Column("variant", "text", "name of the variant in the suite"),
        Column("seed", "integer", "seed of the training"),
        Column("cell", "text", "the model: hash of data set view, composition, recipe and seed"),
        Column("status", "text", "whether there is a number, and why not", values=STATUSES),
        Column("metric", "text", "a metric or a part of one, as the columns of leaderboard.csv are called"),
        Column("value", "number", "the number", "the status is neither done nor stale"),
        Column(
            "stderr",
            "number",
            "its Monte Carlo standard error at fixed images; where the metric is a mean over images and a subset of "
            "them is scored, with the error of which those are",
            "it cannot be estimated",
        ),
        Column(
            "protocol",
            "text",
            "`name=value` of everything in the evaluation that moves the number",
            "the metric has no choices or does not apply",
        ),
        Column("note", "text", "why there is no number, or what must be known to read it", "there is nothing to say"),
    ),
)
CONTRASTS = Table(
    "contrasts",
    "one question of the suite on one data set view in one metric; a difference is practice minus theory",
    (
        Column("question", "text", "the question as the suite asks it"),
        Column("theory", "text", "`variant`, or `variant:metric` where the sides are compared in two metrics"),
        Column("practice", "text", "likewise"),
        *PLACE[1:],
        Column("metric", "text", "what is compared"),
        Column("theory_mean", "number", "mean over the shared seeds", "no seed is shared"),
        Column("practice_mean", "number", "mean over the shared seeds", "no seed is shared"),
        Column("difference", "number", "mean of the differences, paired by seed", "no seed is shared"),
        Column("low", "number", "lower end of its 95 % interval, not adjusted for many tests", FEW),
        Column("high", "number", "upper end", FEW),
        Column("p_value", "number", "of the paired t test, not adjusted", FEW),
        Column("seeds", "integer", "number of shared seeds"),
        Column("verdict", "text", "what the seeds say; for a primary test after Holm", values=VERDICTS),
        Column("differs_in", "text", "the choices in which the two variants differ, with commas", "in none"),
        Column("primary", "boolean", "whether this is the metric that decides the question; others are exploratory"),
        Column("p_holm", "number", "p after Holm over the suite's primary tests", "exploratory, or fewer than 5 seeds"),
        Column("effect_sd", "number", "the difference in standard deviations over seeds", f"{FEW}, or none varies"),
        Column("detectable", "number", "smallest difference that these seeds show with 80 % power", FEW),
    ),
)
TABLES = {table.name: table for table in (LEADERBOARD, RUNS, CONTRASTS)}
VERSIONS = {table.file: table.version for table in TABLES.values()}
"""What `suite.lock.json` says under `tables` of the files beside it."""


def read(path: Path, name: str) -> pd.DataFrame:
    """A table as it was written, also by an older version: what that did not have yet is empty.

    A file that a newer version has written is refused where the lock file beside it says so.
    """
    table = TABLES[name]
    _refuse_newer(path, table)
    text = {*table.of_type("text"), *table.of_type("boolean"), *_unknown(path, table)}
    required = [column.name for column in table.columns if column.since == 1]
    found = completed(read_table(path, text, table.of_type("integer"), required), table)
    _refuse_gaps(found, table, path)
    for column in table.of_type("boolean"):
        found[column] = found[column].map({"True": True, "False": False})
    return found


def completed(found: pd.DataFrame, table: Table) -> pd.DataFrame:
    """With the columns that the table has got since `found` was written, in their places, empty."""
    empty: dict[str, tuple[Any, str]] = {
        "text": ("", "str"),
        "boolean": ("", "object"),
        "integer": (pd.NA, "Int64"),
        "number": (float("nan"), "float64"),
    }
    for place, column in enumerate(table.columns):
        if column.name not in found.columns:
            value, kind = empty[column.type]
            found.insert(min(place, len(found.columns)), column.name, pd.Series([value] * len(found), dtype=kind))
    return found


def json_schema(name: str) -> dict[str, Any]:
    """JSON Schema of one row: text as it stands, numbers as numbers, an empty number as null."""
    table = TABLES[name]
    properties = {column.name: _property(column) for column in table.columns}
    closed: dict[str, Any] = {"additionalProperties": False}
    if table.metrics:
        properties |= _metric_properties(load_catalog())
        closed = {"additionalProperties": {"type": ["number", "null"], "description": "a metric of a plugin"}}
    return {
        "$schema": DIALECT,
        "$id": f"urn:vaebench:{table.name}:{table.version}",
        "title": f"A row of {table.file}, version {table.version}",
        "description": f"{table.row[0].upper()}{table.row[1:]}.",
        "type": "object",
        "properties": properties,
        "required": [column.name for column in table.columns],
        **closed,
    }


def _refuse_newer(path: Path, table: Table) -> None:
    """A file called as the suite's folder calls it is described by the lock file there."""
    lock = SuiteFolder(path.parent).lock
    if path.name != table.file or not lock.is_file():
        return
    try:
        tables = read_json(lock).get("tables")
    except Damaged:
        return
    version = tables.get(table.file) if isinstance(tables, dict) else None
    if isinstance(version, int) and version > table.version:
        raise StoreError(f"{path}: version {version} is newer than this vaebench reads ({table.version}); upgrade it")


def _refuse_gaps(found: pd.DataFrame, table: Table, path: Path) -> None:
    """A count that every row has, and this one lacks."""
    for column in table.columns:
        is_always_there = column.type in ("integer", "number") and not column.empty and column.since == 1
        gaps = found[column.name].isna() if is_always_there else None
        if gaps is not None and gaps.any():
            where = f"line {int(gaps.to_numpy().argmax()) + 2}, column {column.name}: empty"
            raise StoreError(f"{path}: cannot be read as a table of vaebench ({where})")


def _unknown(path: Path, table: Table) -> list[str]:
    """Columns that only a newer version knows; every further column of a leaderboard is a number."""
    if table.metrics or not path.is_file():
        return []
    with path.open(encoding="utf-8", errors="replace", newline="") as stream:
        header = next(csv.reader(stream), [])
    return [name for name in header if name not in {column.name for column in table.columns}]


def _property(column: Column) -> dict[str, Any]:
    meaning = f"{column.meaning}; empty where {column.empty}" if column.empty else column.meaning
    if column.values:
        return {"enum": list(column.values), "description": meaning}
    kind = {"text": "string"}.get(column.type, column.type)
    optional = column.empty and column.type != "text"
    return {"type": [kind, "null"] if optional else kind, "description": meaning}


def _metric_properties(catalog: Catalog) -> dict[str, Any]:
    found = {}
    for name in catalog.columns:
        column = catalog.column(name)
        better = {"none": "no direction is better", "one": "best at 1"}.get(column.better, f"{column.better} is better")
        for end, word in ENDS.items():
            meaning = (
                f"{word} the mean of {name}" if word else f"mean over seeds: {column.title}, {column.unit}; {better}"
            )
            found[f"{name}{end}"] = {"type": ["number", "null"], "description": meaning}
    return found


HEADER = """# The CSV files

Made by `python -m vaebench.reporting.dictionary > docs/csv.md`; a test fails when it is stale.

`vaebench run` leaves three tables in `DIR/SUITE/`. They are UTF-8 with one header line, commas, and line feeds; numbers
have as many digits as it takes to read back the same float, and a cell without a value is empty. Everything in them
can be made again from the records (`vaebench report DIR/SUITE`).

- `vaebench schema leaderboard` (`runs`, `contrasts`) prints the JSON Schema of a row, with what stands below.
- `vaebench export DIR/SUITE --to FILE` writes a table as `.parquet`, `.tex`, `.csv`, `.json` or `.md`.
- In Python, `vaebench.Leaderboard.read("runs/quickstart")`.

## Versions

| file | version |
|---|---|
{versions}

`suite.lock.json` beside the tables says which versions they are (`tables`). A version rises when a column is added. No
column is renamed, removed or given another meaning. So a program that picks columns by name goes on working, and
vaebench reads older files, in which the newer columns are empty. A file that stands alone, such as the baseline of a
gate, is known by its columns. Where the lock file says that a table is newer than vaebench itself, it is refused.

## Spreadsheets

A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula. Notes and questions are free text, so in
`runs.csv`, in `contrasts.csv` and in what `export` writes as `.csv` such a text cell begins with an apostrophe instead.
Names cannot begin so, and numbers are left alone: `-27.2` is a number.
"""
METRICS = """\
Then three columns of numbers for every metric `m` of the suite, in its order: `m`, the mean over the seeds that have a
number; `m_low` and `m_high`, its Student-t 95 % interval over seeds, empty below three seeds. All are empty where there
is no number, and `runs.csv` says why.

| column | what | unit | better |
|---|---|---|---|
{rows}
"""


def page() -> str:
    """docs/csv.md."""
    header = HEADER.format(versions="\n".join(f"| `{name}` | {version} |" for name, version in VERSIONS.items()))
    return "\n".join([header, *(section(table) for table in TABLES.values())])


def section(table: Table) -> str:
    rows = [_row(column) for column in table.columns]
    lines = [
        f"## {table.file}",
        "",
        f"A row is {table.row}.",
        "",
        "| column | type | what | empty where |",
        "|---|---|---|---|",
    ]
    text = "\n".join([*lines, *rows, ""])
    return f"{text}\n{_metric_section(load_catalog())}" if table.metrics else text


def _row(column: Column) -> str:
    listed = [f"`{value}`" for value in column.values if value]
    what = f"{column.meaning} ({', '.join(listed)})" if listed else column.meaning
    since = f" (since version {column.since})" if column.since > 1 else ""
    return f"| `{column.name}`{since} | {column.type} | {what} | {column.empty} |"


def _metric_section(catalog: Catalog) -> str:
    rows = [
        f"| `{name}` | {_cell(column.title)} | {column.unit} | {'' if column.better == 'none' else column.better} |"
        for name in catalog.columns
        for column in [catalog.column(name)]
    ]
    return METRICS.format(rows="\n".join(rows))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())

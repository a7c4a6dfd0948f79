"""Tables on disk: CSV written whole, read back with the same numbers and the same names."""

import csv
import io
import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from vaebench.reporting.text import one_line
from vaebench.store.files import StoreError, write_text


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Numbers with as many digits as it takes to read back the same float; an empty cell where there is none."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_table(
    path: Path, text: Collection[str], whole: Collection[str], required: Collection[str] = ()
) -> pd.DataFrame:
    """Read what `write_table` wrote. In the columns `text` a cell is what it says, also where it says `NA` or `1e5`.

    Columns in `whole` are integers or empty; all others are numbers or empty. The `required` ones must be there.
    """
    try:
        cells = pd.read_csv(io.StringIO(_whole_table(path)), dtype=str, keep_default_na=False)
        missing = [name for name in required if name not in cells.columns]
        if missing:
            raise ValueError(f"no column {', '.join(missing)}")
        return pd.DataFrame(
            {str(name): column if name in text else _numbers(column, name in whole) for name, column in cells.items()}
        )
    except (OSError, ValueError, OverflowError, csv.Error) as error:
        raise StoreError(f"{path}: cannot be read as a table of vaebench ({one_line(str(error))})") from error


def _whole_table(path: Path) -> str:
    """The text of a table; ValueError where it was cut off."""
    with path.open(encoding="utf-8", newline="") as stream:
        text = stream.read()
    if text and not text.endswith("\n"):
        raise ValueError("its last line has no end: was it cut off?")
    reader = csv.reader(io.StringIO(text, newline=""))
    columns = len(next(reader, []))
    for row in reader:
        if row and len(row) != columns:
            raise ValueError(f"line {reader.line_num} has {len(row)} cells, the first has {columns}")
    return text


def each_row(table: pd.DataFrame) -> Iterator[Any]:
    """The rows, with their columns as attributes."""
    return iter(table.itertuples(index=False))


def _numbers(cells: pd.Series, whole: bool) -> pd.Series:
    """Empty cells are no numbers; ValueError names the column and line of one that should be."""
    read, empty, kind = (_whole, pd.NA, "Int64") if whole else (_finite, math.nan, "float64")
    found: list[Any] = []
    for place, cell in enumerate(cells):
        try:
            found.append(read(cell) if cell else empty)
        except ValueError:
            what = "whole number" if whole else "number"
            raise ValueError(f"line {place + 2}, column {cells.name}: {cell!r} is no {what}") from None
    return pd.Series(found, dtype=kind)


def _whole(cell: str) -> int:
    number = int(cell)
    if abs(number) >= 1 << 63:
        raise ValueError
    return number


def _finite(cell: str) -> float:
    number = float(cell)
    if not math.isfinite(number):
        raise ValueError
    return number

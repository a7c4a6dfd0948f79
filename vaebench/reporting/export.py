"""A suite's tables in the formats of other programs."""

import importlib.util
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from vaebench.engines.lockfile import no_suite
from vaebench.reporting.dictionary import TABLES, Table, read
from vaebench.reporting.leaderboard import Leaderboard, latex_table
from vaebench.reporting.tables import write_table
from vaebench.reporting.text import ABSENT, escape_markdown, markdown_table, number
from vaebench.store.files import StoreError, replacing, write_text
from vaebench.store.folders import SuiteFolder

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell of text that begins so is a formula to a spreadsheet."""
COMMANDS = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega
Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega neq leq geq infty cdot times
"""
SIGNS = {
    **dict(zip("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ≠≤≥∞·×", (f"\\{name}" for name in COMMANDS.split()), strict=True)),
    **{sign: f"_{digit}" for digit, sign in enumerate("₀₁₂₃₄₅₆₇₈₉")},
    **{"²": "^2", "³": "^3", "⁻": "^-", "−": "-", "→": "\\to", "…": "\\dots", "‖": "\\|", "∇": "\\nabla", "½": "1/2"},
}
"""Sign → what it is in LaTeX's mathematics."""
ACCENTS = {"\u0302": "hat", "\u0303": "tilde", "\u0304": "bar"}
"""Mark that follows its letter → LaTeX's command."""


def export(folder: SuiteFolder, to: Path, name: str = "leaderboard") -> Path:
    """Write a table of a suite's folder to `to`, whole; the ending of its name says how."""
    table, write = TABLES[name], WRITERS.get(to.suffix.lower())
    if write is None:
        raise StoreError(f"{to}: no format {to.suffix or 'without an ending'!r}; valid: {', '.join(WRITERS)}")
    path = folder.path / table.file
    if not path.is_file() and folder.lock.is_file():
        made = f"`vaebench report {folder.path}` makes it of what has been scored"
        raise StoreError(f"{folder.path}: {table.file} is not written yet; {made}")
    if not path.is_file():
        raise no_suite(folder.path, table.file)
    own = [*(folder.path / each.file for each in TABLES.values()), folder.plan, folder.lock, folder.report, folder.page]
    if to.exists() and any(one.exists() and to.samefile(one) for one in own):
        raise StoreError(f"{to}: is a file of the suite itself; export the table to another one")
    write(read(path, name), table, to)
    return to


def _parquet(found: pd.DataFrame, table: Table, to: Path) -> None:
    """Numbers as they are, an empty one null; name and version of the table in the file's metadata."""
    if importlib.util.find_spec("pyarrow") is None:
        hint = "pip install 'vaebench[parquet]', or export to .csv or .json"
        raise StoreError(f"{to}: Parquet needs the package pyarrow; {hint}")
    found.attrs = {"vaebench": {"table": table.name, "version": table.version}}
    with replacing(to) as temporary:
        found.to_parquet(temporary, engine="pyarrow", index=False)


def _csv(found: pd.DataFrame, table: Table, to: Path) -> None:
    known = {column.name for column in table.columns}
    texts = [*table.of_type("text"), *(name for name in found.columns if name not in known and _is_text(found[name]))]
    write_table(to, found.assign(**{name: found[name].map(harmless) for name in texts}).rename(columns=harmless))


def _is_text(cells: pd.Series) -> bool:
    """Of a column that only a newer version knows."""
    return not pd.api.types.is_numeric_dtype(cells)


def harmless(cell: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def _json(found: pd.DataFrame, table: Table, to: Path) -> None:
    """Rows as objects, every digit of a number kept; `vaebench schema` describes a row."""
    rows = [{str(name): _plain(value) for name, value in row.items()} for row in found.to_dict("records")]
    content = {"table": table.name, "version": table.version, "rows": rows}
    write_text(to, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    return None if value is pd.NA or (isinstance(value, float) and math.isnan(value)) else value


def _markdown(found: pd.DataFrame, table: Table, to: Path) -> None:
    if table.metrics:
        write_text(to, Leaderboard(found).to_markdown() + "\n")
        return
    columns, rows, right = _readable(found, table)
    write_text(to, markdown_table(columns, [list(map(escape_markdown, row)) for row in rows], right) + "\n")


def _latex(found: pd.DataFrame, table: Table, to: Path) -> None:
    """A `tabular` for the package booktabs, without a float around it."""
    if table.metrics:
        text = Leaderboard(found).to_latex()
    else:
        columns, rows, right = _readable(found, table)
        align = ["right" if place in right else "left" for place in range(len(columns))]
        text = latex_table(columns, rows, align)
    write_text(
        to, f"% {table.file} of vaebench, version {table.version}; needs \\usepackage{{booktabs}}\n{latin(text)}\n"
    )


def latin(text: str) -> str:
    r"""Greek letters and signs as LaTeX's own commands, so that any engine sets them: σ becomes $\sigma$."""
    accented = re.sub(
        f"(\\w)([{''.join(ACCENTS)}])",
        lambda found: f"$\\{ACCENTS[found[2]]}{{{SIGNS.get(found[1], found[1])}}}$",
        text,
    )
    return "".join(f"${SIGNS[sign]}$" if sign in SIGNS else sign for sign in accented)


def _readable(found: pd.DataFrame, table: Table) -> tuple[list[str], list[list[str]], tuple[int, ...]]:
    """Columns, cells as people read them, and which columns are numbers."""
    columns = [str(name) for name in found.columns]
    numbers = {*table.of_type("number"), *table.of_type("integer")}
    rows = [[_cell(row[name]) for name in columns] for row in found.to_dict("records")]
    return columns, rows, tuple(place for place, name in enumerate(columns) if name in numbers)


def _cell(value: Any) -> str:
    value = _plain(value)
    if value is None:
        return ABSENT
    if isinstance(value, bool | str):
        return str(value)
    return number(value)


WRITERS: dict[str, Callable[[pd.DataFrame, Table, Path], None]] = {
    ".parquet": _parquet,
    ".tex": _latex,
    ".csv": _csv,
    ".json": _json,
    ".md": _markdown,
}
"""Ending of a file → what writes it."""

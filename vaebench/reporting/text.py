"""Numbers and names as people read them: sensible digits, escaped Markdown, cells that no spreadsheet executes."""

import math
import re
from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

ABSENT = "–"
LARGE, SMALL = 1e7, 1e-4
"""From here up, and below here, a number is written with an exponent."""
NEGLIGIBLE = 1e-9
"""A half-width below this share of its mean is rounding of a number that does not vary."""
ROUNDED = 1e-7
"""What is less than this, its error included, is what rounding leaves of 0; the tables that programs read keep it."""
COARSE = 10.0
"""From this half-width on, whole numbers lose digits."""
LEAST_P = 1e-4
"""Smaller ones are only said to be smaller."""
LONGEST_NOTE = 500


class Markdown(str):
    """Text that is Markdown already; any other string is escaped before it enters a report."""


def number(value: float, digits: int = 4) -> str:
    """`value` to so many significant digits; whole numbers in full."""
    if value != 0 and not SMALL <= abs(value) < LARGE:
        return f"{value:.{digits - 1}e}"
    if float(value).is_integer():
        return f"{value + 0.0:,.0f}"
    return _fixed(value, digits - 1 - _exponent(value, digits))


def with_error(mean: float, low: float | None, high: float | None) -> str:
    """`mean ± half-width`: the half-width to two significant digits, the mean to the same place.

    Without an interval, or where the number does not vary, the mean alone.
    """
    half = half_width(low, high)
    if abs(mean) + (half or 0.0) < ROUNDED:
        return "0"
    if half is None or is_constant(half, mean):
        return number(mean)
    if abs(mean) >= LARGE or half < SMALL:
        return f"{mean:.3e} ± {half:.1e}"
    places = 1 - _exponent(half, 2)
    return f"{_fixed(mean, places)} ± {_fixed(half, places)}"


def to_the_place_of(half: float | None, value: float) -> str:
    """`value` written to the decimal place that an error of `half` makes sensible."""
    if half is None or is_constant(half, value) or abs(value) >= LARGE or half < SMALL:
        return number(value)
    return _fixed(value, 1 - _exponent(half, 2))


def beside(half: float | None, value: float) -> str:
    """One side of a difference, to the place of that; by its own digits where tens or more would leave less than two of
    them: a model that exploded makes no 0 of the other."""
    if half is not None and half >= COARSE and abs(value) < 10.0 ** _exponent(half, 2):
        return number(value)
    return to_the_place_of(half, value)


def is_constant(half: float | None, value: float) -> bool:
    """Whether a number, or a difference, is the same at every seed, but for rounding."""
    return half is not None and half <= NEGLIGIBLE * abs(value)


def half_width(low: float | None, high: float | None) -> float | None:
    return None if absent(low) or absent(high) else (high - low) / 2  # type: ignore[operator]


def absent(value: float | None) -> bool:
    """Whether a table's cell holds no number."""
    return value is None or math.isnan(value)


def probability(p_value: float) -> Markdown:
    """`= 0.012`, or `< 0.0001`, to stand behind a p; 0 is what a constant difference has, and no seed proves it."""
    return Markdown(f"< {LEAST_P:.4f}" if p_value < LEAST_P else f"= {p_value:.2g}")


def counted(count: int, noun: str) -> str:
    """1 seed, 5 seeds"""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def escape_markdown(text: str, starts_line: bool = True) -> Markdown:
    """User text as one line of Markdown that renders as exactly that text: no markup, no HTML, no table cells."""
    line = one_line(text)
    line = re.sub(r"([\\`*\[|$#]|(?<!\s)~|~(?!\s)|<(?!\s|$)|&(?=[#\w]+;))", r"\\\1", line)
    line = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", line)
    return Markdown(re.sub(r"^(\d*)([-+=.)](?=\s|$|[-=\s]+$)|>)", r"\1\\\2", line) if starts_line else line)


def code(name: str) -> Markdown:
    """A name or an equation as a code span, whatever backticks it holds."""
    line = one_line(name)
    if not line:
        return Markdown("")
    fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", line)), default=0))
    padding = " " if "`" in line else ""
    return Markdown(f"{fence}{padding}{line}{padding}{fence}")


def code_cell(name: str) -> Markdown:
    """A code span inside a table, where a bar would end the cell."""
    return Markdown(code(name).replace("|", "\\|"))


def setting(choice: Any) -> str:
    """A choice of a variant in one line: `gaussian-fixed (sigma 1)`, `32`."""
    if not isinstance(choice, dict):
        return _value(choice)
    details = ", ".join(f"{name} {_value(value)}" for name, value in choice.items() if name != "name")
    return " ".join(filter(None, (choice.get("name"), f"({details})" if details and "name" in choice else details)))


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "-".join(_value(entry) for entry in value)
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def one_line(text: str) -> str:
    """Without line breaks and control characters."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", text).split())


def note(text: str) -> str:
    """Free text as a cell of a CSV file: one line, not endless, and never taken for a formula by a spreadsheet."""
    line = one_line(text)
    line = line if len(line) <= LONGEST_NOTE else line[: LONGEST_NOTE - 1] + "…"
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: tuple[int, ...] = ()) -> Markdown:
    """A pipe table of ready-made Markdown cells; the columns in `right` are numbers."""
    align = tuple("right" if place in right else "left" for place in range(len(columns)))
    alignment = align if rows else None
    return Markdown(tabulate(rows, headers=columns, tablefmt="pipe", colalign=alignment, disable_numparse=True))


def _exponent(value: float, digits: int) -> int:
    """Decimal exponent after rounding to so many digits: 0 for 9.94, 1 for 9.99 at two digits."""
    return 0 if value == 0 else int(f"{abs(value):.{digits - 1}e}".partition("e")[2])


def _fixed(value: float, places: int) -> str:
    rounded = round(value, places)
    return f"{rounded + 0.0:,.{max(places, 0)}f}"

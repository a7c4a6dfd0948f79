"""What a report says, before it is Markdown or HTML.

Text from users is plain `str` everywhere; each format escapes it when it writes it. What is more than text is one of
the kinds below, which every format knows how to write: Markdown in `text.py`, HTML by `__html__` and the templates.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from vaebench.reporting.text import one_line


class Code(str):
    """A name, an equation or a command, shown as it is typed."""

    def __html__(self) -> Markup:
        return Markup("<code>{}</code>").format(one_line(self))


class Badge(str):
    """A word that is to be seen at a glance: a verdict, a stance."""

    def __html__(self) -> Markup:
        kind = "-".join(one_line(self).split())
        return Markup('<span class="badge {}">{}</span>').format(kind, one_line(self))


class Phrase(tuple[str, ...]):
    """Words with names between them: plain text and `Code`, to be written one after the other."""

    def __new__(cls, *parts: "Text") -> "Phrase":
        """A phrase among the parts is taken apart."""
        flat = [inner for part in parts for inner in (part if isinstance(part, Phrase) else (part,))]
        return super().__new__(cls, filter(None, flat))

    def __str__(self) -> str:
        return "".join(str(part) for part in self)

    def __html__(self) -> Markup:
        return Markup("").join(part if hasattr(part, "__html__") else _inline(part) for part in self)


Text = str | Phrase


def _inline(text: str) -> str:
    """One line that keeps a blank at either end, since words stand there."""
    return " " * text[:1].isspace() + one_line(text) + " " * text[-1:].isspace()


def listed(items: Sequence[Text]) -> Phrase:
    """a · a and b · a, b and c"""
    return separated([separated(items[:-1]), *items[-1:]], " and ") if len(items) > 1 else Phrase(*items)


def separated(items: Iterable[Text], separator: str = ", ") -> Phrase:
    """a, b, c"""
    return Phrase(*[part for item in items for part in (separator, item)][1:])


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: Text
    numeric: bool = False
    about: str = ""
    """What the name stands for."""
    names_row: bool = False
    """Its cells say what their rows are about."""


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table."""

    content: Text
    key: float | str | None = None
    """What the column is sorted by; None comes last."""
    bar: tuple[float, float, float] | None = None
    """Low end, mean and high end of an interval as shares of the range of its column, for a format that can draw."""
    about: str = ""
    """Where in the report more is said of it, for a format that has links: `question-1`, `variant-3`."""


@dataclass(frozen=True)
class Row:
    cells: tuple[Cell, ...]
    group: int | None = None
    """Rows of one group belong together."""
    below: bool = False
    """Stands below the others however they are sorted."""


@dataclass(frozen=True)
class Table:
    """A table with a caption that says what it holds."""

    caption: Phrase
    columns: tuple[Column, ...]
    rows: tuple[Row, ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.rows)


def plain(text: Text) -> Cell:
    """A cell of words, sorted by them."""
    return Cell(text, str(text))


def badge(word: str) -> Cell:
    """A cell with a word that is to be seen."""
    return Cell(Badge(word), str(word))


def named(name: str) -> Cell:
    """A cell that holds a name."""
    return Cell(Code(name), name)

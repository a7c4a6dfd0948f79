"""A report as Markdown: how each kind of content is written, and report.md."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vaebench.reporting.content import Badge, Code, Phrase, Table, Text
from vaebench.reporting.templates import render
from vaebench.reporting.text import Markdown, code, code_cell, escape_markdown, markdown_table, one_line

TEMPLATE = "report.md.jinja"


def render_markdown(content: Mapping[str, Any], templates: Path | None = None) -> str:
    """report.md of what `report_content` found. Every expression of a template is escaped, unless it is Markdown."""
    filters: dict[str, Callable[..., Any]] = {"code": Code, "ready": ready, "markdown": Markdown}
    return _tidy(render(TEMPLATE, content, templates, filters, finalize=written, autoescape=False))


def written(value: Any) -> Markdown:
    """Any value of a template as Markdown."""
    if isinstance(value, Markdown):
        return value
    if isinstance(value, Table):
        return table(value)
    return inline(value if isinstance(value, Phrase) else Phrase(value if isinstance(value, str) else str(value)))


def inline(text: Text) -> Markdown:
    """Words and names within a line."""
    parts = text if isinstance(text, Phrase) else Phrase(text)
    return Markdown("".join(_part(part, starts_line=place == 0) for place, part in enumerate(parts)))


def table(content: Table) -> Markdown:
    """A pipe table; its caption is left to the words around it."""
    columns = [_cell(column.name) for column in content.columns]
    rows = [[_cell(cell.content) for cell in row.cells] for row in content.rows]
    return markdown_table(columns, rows, right=tuple(i for i, column in enumerate(content.columns) if column.numeric))


def ready(text: str) -> Markdown:
    """For text that a template has put together itself, or that stands in a code block: one line, not escaped again."""
    return Markdown(one_line(text))


def _part(part: str, starts_line: bool) -> str:
    if isinstance(part, Code):
        return code(part)
    if isinstance(part, Badge):
        return f"*{escape_markdown(part, starts_line=False)}*"
    before, after = " " * part[:1].isspace(), " " * part[-1:].isspace()
    return f"{before}{escape_markdown(part, starts_line)}{after}" if part.strip() else " "


def _cell(text: Text) -> str:
    """Within a table a bar would end the cell, also in a code span."""
    parts = text if isinstance(text, Phrase) else Phrase(text)
    return "".join(code_cell(part) if isinstance(part, Code) else _part(part, starts_line=False) for part in parts)


def _tidy(text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip() + "\n"

"""What the site needs beyond Markdown as GitHub reads it: formulas as MathML, which every browser draws by itself; the
bars in code within tables; and no links to files that are not part of the site (on GitHub they lead to the source)."""

import html
import re
from typing import Any

from latex2mathml.converter import convert

FORMULA = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\|.*$", re.MULTILINE)
BARRED = re.compile(r"`([^`\n]*\\\|[^`\n]*)`")
OUTSIDE = re.compile(
    r"\[([^\]\n]*)\]\((?:\.\./)+(?:vaebench|tests|suites|results|report_templates|README|CONTRIBUTING)[^)\s]*\)"
)


def on_page_markdown(markdown: str, page: Any, **others: Any) -> str:
    """A page as MkDocs is to read it."""
    drawn = FORMULA.sub(_drawn, markdown)
    barred = ROW.sub(lambda row: BARRED.sub(_barred, row[0]), drawn)
    return OUTSIDE.sub(r"\1", barred)


def _drawn(formula: re.Match[str]) -> str:
    drawn = convert(formula[1].strip(), display="block")
    for word in ("ln", "det"):  # a function's name stands apart from what it is of
        drawn = drawn.replace(f"<mi>{word}</mi>", f'<mo lspace="0.17em" rspace="0.17em">{word}</mo>')
    return f'<div class="formula">{drawn}</div>'


def _barred(code: re.Match[str]) -> str:
    text = html.escape(code[1]).replace("\\|", "&#124;")
    return f"<code>{text}</code>"

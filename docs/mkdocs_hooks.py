"""What the site needs beyond Markdown as GitHub reads it: formulas as MathML, which every browser draws by itself; the
bars in code within tables; the published results with their reports; and no links to files that are not part of the
site (on GitHub they lead to the source)."""

import html
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

FORMULA = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\|.*$", re.MULTILINE)
BARRED = re.compile(r"`([^`\n]*\\\|[^`\n]*)`")
OUTSIDE = re.compile(
    r"\[([^\]\n]*)\]\((?:\.\./)+(?:vaebench|tests|suites|results|report_templates|README|CONTRIBUTING)[^)\s]*\)"
)


RESULTS = re.compile(r"\]\(\.\./((?:\.\./)*)results/README\.md")
REPORT = re.compile(r"\]\(\.\./((?:\.\./)*)results/([\w.-]+)/report\.md")
OWN_REPORT = re.compile(r"\]\(([\w.-]+)/report\.md\)")


def on_files(files: Files, config: Any) -> Files:
    """The index of results as a page, and below it the report of each suite as it was written."""
    results = Path(config.config_file_path).parent / "results"
    index = (results / "README.md").read_text(encoding="utf-8")
    page = OWN_REPORT.sub(r"](results/\1/report.html)", index.replace("](../docs/", "]("))
    files.append(
        File.generated(config, "results.md", content=page.replace("[summaries.yaml](summaries.yaml)", "summaries.yaml"))
    )
    for report in sorted(results.glob("*/report.html")):
        name = report.relative_to(results.parent).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(report)))
    return files


def on_page_markdown(markdown: str, page: Any, **others: Any) -> str:
    """A page as MkDocs is to read it."""
    drawn = FORMULA.sub(_drawn, markdown)
    barred = ROW.sub(lambda row: BARRED.sub(_barred, row[0]), drawn)
    inside = REPORT.sub(r"](\1results/\2/report.html", RESULTS.sub(r"](\1results.md", barred))
    return OUTSIDE.sub(r"\1", inside)


def _drawn(formula: re.Match[str]) -> str:
    drawn = convert(formula[1].strip(), display="block")
    for word in ("ln", "det"):  # a function's name stands apart from what it is of
        drawn = drawn.replace(f"<mi>{word}</mi>", f'<mo lspace="0.17em" rspace="0.17em">{word}</mo>')
    return f'<div class="formula">{drawn}</div>'


def _barred(code: re.Match[str]) -> str:
    text = html.escape(code[1]).replace("\\|", "&#124;")
    return f"<code>{text}</code>"

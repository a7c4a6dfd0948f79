"""Whoever is cited, by name and year, stands on the page of references."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("README.md", "docs/**/*.md", "suites/*.yaml", "vaebench/**/*.yaml", "vaebench/**/*.py", "report_templates/*")
NAME = r"[A-Z][\w-]+"
CITED = re.compile(rf"({NAME}(?:, (?:van den )?{NAME})*(?: & {NAME})?)(?: et al\.)? \(?((?:19|20)\d\d)\b")
DATES = {"January", "November", "December"}
PAGE = "docs/references.md"


def citations() -> set[tuple[str, str]]:
    """All (authors, year) that are cited."""
    paths = {path for place in PLACES for path in ROOT.glob(place) if path.is_file()} - {ROOT / PAGE}
    words = (" ".join(re.sub(r"^ *#|\n *#", " ", path.read_text(encoding="utf-8")).split()) for path in paths)
    return {found for text in words for found in CITED.findall(text) if found[0] not in DATES}


def references() -> list[str]:
    """The first column of the page: authors and year."""
    lines = (ROOT / PAGE).read_text(encoding="utf-8").splitlines()
    return [line.split("|")[1].strip() for line in lines if line.startswith("|")][2:]


@pytest.mark.parametrize(("authors", "year"), sorted(citations()))
def test_who_is_cited_has_a_line_with_a_title(authors: str, year: str) -> None:
    names = re.findall(NAME, authors)
    assert [line for line in references() if line.endswith(year) and all(name in line for name in names)]


def test_every_line_is_of_somebody_who_is_cited() -> None:
    cited = citations()
    for line in references():
        if found := CITED.fullmatch(line):
            first = found[1].split(",")[0].split(" &")[0]
            assert any(first in authors and year == found[2] for authors, year in cited), line


def test_the_lines_are_in_order() -> None:
    found = references()[5:]
    assert found == sorted(found)

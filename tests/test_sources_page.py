"""docs/sources.md names nothing that does not exist, and leaves out no number of a document."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from vaebench.catalog.catalog import load_catalog

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
SUITES = {path.stem for path in (ROOT / "suites").glob("*.yaml")}
VARIANTS = load_catalog().variants

PLACES, SLIPS = ("place", "code", "test", "suite"), ("place", "right", "why", "card")
"""Some of the columns by which the two kinds of table are known."""


class Row(NamedTuple):
    line: int
    heading: str
    """The nearest above."""
    cells: dict[str, str]


def rows(page: str) -> Iterator[Row]:
    """The rows of every table, their cells by the names of the columns."""
    heading, columns = "", []
    for number, line in enumerate(page.splitlines(), start=1):
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if not line.startswith("|"):
            columns = []
        elif not columns:
            columns = split(line)
        elif set(line) - set("|-"):
            cells = split(line)
            assert len(cells) == len(columns), f"docs/sources.md:{number}: {len(cells)} cells in {len(columns)} columns"
            yield Row(number, heading, dict(zip(columns, cells, strict=True)))


def split(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def table(page: str, columns: tuple[str, ...]) -> list[Row]:
    return [row for row in rows(page) if set(columns) <= row.cells.keys()]


@functools.cache
def defined(path: str) -> set[str]:
    """Functions and classes of a module, and `Class.method`; nothing where there is no such file."""
    if not (ROOT / path).is_file():
        return set()
    found = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found |= {node.name}
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return found


def said_by_its_card(variant: str) -> bool:
    """Whether a card, or one that it extends, has something under `mended` or `departs`."""
    entry = VARIANTS[variant]
    return bool({"mended", "departs"} & entry.mapping.keys()) or bool(entry.extends and said_by_its_card(entry.extends))


def mistakes(page: str) -> list[str]:
    found = [f"{row.line}: {said}" for row in table(page, PLACES) for said in wrong_names(row)]
    for row in rows(page):
        for text, variant in re.findall(r"\[`([^`]+)`\]\(variants\.md#([^)]+)\)", " ".join(row.cells.values())):
            if text != variant or variant not in VARIANTS:
                found.append(f"{row.line}: there is no variant {text!r}, or it is linked as {variant!r}")
    for row in table(page, SLIPS):
        for variants in re.findall(r"says so: ([^;]*)", row.cells["card"]):
            for variant in re.findall(r"\[`([^`]+)`\]", variants):
                if variant in VARIANTS and not said_by_its_card(variant):
                    found.append(f"{row.line}: the card of {variant!r} says nothing of the kind")
    return found


def wrong_names(row: Row) -> Iterator[str]:
    code, test, suite = (row.cells[name] for name in ("code", "test", "suite"))
    if code.startswith("not covered: "):
        if (test, suite) != ("—", "—"):
            yield "what is not covered has neither test nor suite"
        return
    for cell, folder, otherwise in ((code, "vaebench/", None), (test, "tests/", "no test")):
        references = re.findall(r"`([^`]+)`", cell)
        if not references and cell != otherwise:
            yield f"{cell!r} names nothing"
        for reference in references:
            path, _, name = reference.partition("::")
            if not path.startswith(folder) or name.replace("::", ".") not in defined(path):
                yield f"{reference!r} does not exist"
            if folder == "tests/" and not name.rpartition("::")[2].startswith("test_"):
                yield f"{reference!r} is no test"
    named = re.findall(r"`([^`]+)`( \(planned\))?", suite)
    if not named and suite != "no suite":
        yield f"{suite!r} names no suite"
    for name, planned in named:
        if not planned and name not in SUITES:
            yield f"there is no suite {name!r}"


def test_every_name_on_the_page_exists():
    assert table(PAGE, PLACES)
    assert table(PAGE, SLIPS)
    assert mistakes(PAGE) == []


def test_a_suite_that_is_there_is_not_called_planned():
    called = {name for row in table(PAGE, PLACES) for name in re.findall(r"`([^`]+)` \(planned\)", row.cells["suite"])}
    assert not called & SUITES, "take ' (planned)' from behind these names in docs/sources.md"


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("elbo.py::ElboPlayer`", "elbo.py::ElboPlayers`", "'vaebench/objectives/elbo.py::ElboPlayers' does not exist"),
        ("GaussianMixture.log_prob`", "GaussianMixture.log_probs`", "GaussianMixture.log_probs' does not exist"),
        ("vaebench/training/gmm.py", "vaebench/training/gmn.py", "'vaebench/training/gmn.py::"),
        ("::test_a_mixtures_posterior_is_bayes_rule", "::test_bayes_rule", "test_bayes_rule' does not exist"),
        ("::TestMoments::test_dip_", "::TestCritics::test_dip_", "TestCritics::test_dip_adds_its_penalty_to_the_elbo'"),
        ("`theory_vs_practice`", "`theory_vs_practise`", "no suite 'theory_vs_practise'"),
        ("[`beta-vae`](variants.md#beta-vae)", "[`beta-vea`](variants.md#beta-vea)", "no variant 'beta-vea'"),
        ("[`gmm`](variants.md#gmm)", "[`gmm`](variants.md#pca)", "linked as 'pca'"),
        ("says so: [`beta-vae`](variants.md#beta-vae)", "says so: [`iwae`](variants.md#iwae)", "the card of 'iwae'"),
        ("a drawing | — |", "a drawing | no test |", "neither test nor suite"),
    ],
)
def test_a_wrong_name_is_found_with_its_line(right, wrong, complaint):
    assert right in PAGE
    found = mistakes(PAGE.replace(right, wrong))
    assert found
    assert all(complaint in said for said in found)
    lines = PAGE.replace(right, wrong).splitlines()
    assert all(wrong in lines[int(said.partition(":")[0]) - 1] for said in found)


def numbered(kind: str, last: int, chapter: str = "") -> list[str]:
    return [f"{kind} {chapter}{number}" for number in range(1, last + 1)]


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("Beaulac 2019", numbered("eq.", 9)),
        ("Beaulac 2019", numbered("fig.", 14)),
        ("Beaulac 2019", numbered("question", 7)),
        ("Chapter 2", numbered("eq.", 31, "2.")),
        ("Chapter 2", numbered("fig.", 3, "2.")),
        ("Chapter 3", numbered("eq.", 19, "3.")),
        ("Chapter 3", numbered("fig.", 5, "3.")),
        ("Chapter 4", numbered("eq.", 24, "4.")),
        ("Chapter 4", numbered("fig.", 11, "4.")),
        ("Chapter 4", numbered("algorithm", 1)),
        ("Chapter 5", numbered("eq.", 7, "5.")),
        ("Wang 2018", numbered("fig.", 4)),
        ("Series 9", [*numbered("problem", 7, "1."), *numbered("problem", 7, "2.")]),
        ("Series 9", ["fig. 1a", "fig. 1b"]),
    ],
)
def test_every_number_of_a_document_has_one_line_in_its_order(heading, expected):
    kind = expected[0].split()[0]
    places = [row.cells["place"].rpartition(", ")[2] for row in table(PAGE, PLACES) if row.heading == heading]
    assert [place for place in places if place.startswith(f"{kind} ")] == expected

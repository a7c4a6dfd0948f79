"""docs/reliability.md names, for each promise, a test that exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda text: text)
def test_a_test_that_guards_a_promise_exists(file, name):
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert not name or name in names


def test_every_row_of_the_tables_of_promises_names_its_test():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "::" not in line]
    written = {line for mark in ("faults", "fuzz", "growth", "drift") for line in _between(mark)}
    heads = ("| promise | test |", "| fault | what happens | test |")
    assert [row for row in rows if row not in written and row not in heads] == []


@pytest.mark.parametrize("mark", ["faults", "fuzz", "growth"])
def test_every_table_that_a_script_writes_has_its_place_and_command(mark):
    assert _between(mark)
    assert f"python -m tests.stress.{mark} " in PAGE


def _between(mark):
    return PAGE.partition(f"<!-- {mark} -->\n")[2].partition(f"\n<!-- /{mark} -->")[0].splitlines()

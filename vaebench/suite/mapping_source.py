"""A suite that Python code gives as a mapping, brought to the values that a file could hold."""

from collections.abc import Mapping
from typing import Any

from vaebench.suite.mistakes import Findings, Mistake, Path, SuiteError
from vaebench.suite.yaml_source import MOST_LEVELS, MOST_VALUES, UNPRINTABLE, Source, printable

FILE = "<suite>"


def read_mapping(mapping: Any) -> Source:
    """Copy `mapping`; what no file could hold is noted as a mistake."""
    lines: dict[Path, int | None] = {}
    odd: list[tuple[Path, str]] = []
    content = _copied(mapping, (), lines, odd)
    findings = Findings(FILE, lines)
    for path, what in odd:
        findings.add(path, what)
    return Source(FILE, content, lines, findings)


def _copied(value: Any, path: Path, lines: dict[Path, int | None], odd: list[tuple[Path, str]]) -> Any:
    lines[path] = None
    if len(path) > MOST_LEVELS:
        raise SuiteError([Mistake(FILE, None, "", f"nested deeper than {MOST_LEVELS} levels")])
    if len(lines) > MOST_VALUES:
        raise SuiteError([Mistake(FILE, None, "", f"more than {MOST_VALUES:,} values: not a suite")])
    if isinstance(value, Mapping):
        for key in value:
            if key is True:
                odd.append((path, "holds a key that is true: PyYAML reads a bare on so; quote it, or give the file"))
            elif not isinstance(key, str):
                odd.append((path, f"holds a key that is no text but {type(key).__name__}"))
            elif UNPRINTABLE.search(key):
                odd.append((path, "holds a key with an unprintable character"))
        texts = {printable(key): value[key] for key in value if isinstance(key, str)}
        return {key: _copied(inner, (*path, key), lines, odd) for key, inner in texts.items()}
    if isinstance(value, list | tuple):
        return [_copied(element, (*path, place), lines, odd) for place, element in enumerate(value)]
    if isinstance(value, str):
        if UNPRINTABLE.search(value):
            odd.append((path, "holds an unprintable character"))
        return printable(value)
    if value is not None and not isinstance(value, bool | int | float):
        odd.append((path, f"is a {type(value).__name__}, which no suite can hold; use text, numbers, lists, mappings"))
        return None
    return value

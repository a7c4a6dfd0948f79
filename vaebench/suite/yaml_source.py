"""YAML text to plain values and the line of each, refusing whatever could hang or surprise the reader.

The events of ruamel's parser are composed here and not by ruamel, so that nesting and aliases are counted before
anything is built, every duplicate key is found, and plain words mean what YAML 1.2 says (`on` is a word).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from vaebench.suite.mistakes import Findings, Mistake, Path, SuiteError

MOST_BYTES = 1_000_000
MERGE = "<<"
MOST_LEVELS = 20
MOST_VALUES = 50_000
"""Values in a file after its aliases are laid open."""

NULL = re.compile(r"~|null|Null|NULL|")
TRUE = re.compile(r"true|True|TRUE")
FALSE = re.compile(r"false|False|FALSE")
INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff")
PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


@dataclass
class Node:
    """A scalar, list or mapping of the file; an alias leads to the same node as its anchor."""

    line: int
    value: Any = None
    items: list["Node"] | None = None
    entries: list[tuple[str, int, "Node"]] | None = None
    """Key, its line, value; duplicates still in it."""
    size: int = 1
    """Values in it when every alias is laid open."""
    levels: int = 1
    """How deep it is nested, likewise."""


@dataclass(frozen=True)
class Source:
    """What a file says, and where."""

    file: str
    content: Any
    lines: dict[Path, int | None]
    """In the order of the file: path → line of the key, or of the element of a list."""
    findings: Findings = field(compare=False)
    """Duplicate keys and the like: mistakes that do not keep the rest from being checked."""


def read_source(path: FilePath, file: str) -> Source:
    """Read a suite file; raises SuiteError where it is not one YAML document of a reasonable size."""
    try:
        data = path.read_bytes() if path.stat().st_size <= MOST_BYTES else None
    except OSError as error:
        raise SuiteError([Mistake(file, None, "", f"cannot be read: {error.strerror or error}")]) from error
    if data is None:
        raise SuiteError([Mistake(file, None, "", f"larger than {MOST_BYTES:,} bytes: not a suite")])
    return parse_source(data, file)


def parse_source(data: bytes, file: str) -> Source:
    """What `read_source` does once the bytes are there."""
    text = _decoded(data, file)
    reader = _Reader(file)
    root = reader.document(text)
    lines: dict[Path, int | None] = {}
    duplicates: list[tuple[Path, int, str]] = []
    content = _laid_open(root, (), root.line, lines, duplicates)
    findings = Findings(file, lines)
    for at, line, what in [*duplicates, *(((), line, what) for line, what in reader.flaws)]:
        findings.add(at, what, line=line)
    for at in lines:
        if at[-1:] == (MERGE,):
            findings.add(at, f"merge keys ({MERGE}) are not read; write out what is meant, or use extends")
    return Source(file, content, lines, findings)


def _decoded(data: bytes, file: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"not UTF-8: byte 0x{data[error.start]:02x} is none of its characters; save the file as UTF-8"
        raise SuiteError([Mistake(file, line, "", what)]) from error
    found = [
        Mistake(file, number, "", f"holds the unprintable character {match.group()!r}; remove it")
        for number, line in enumerate(text.split("\n"), start=1)
        if (match := UNPRINTABLE.search(line))
    ]
    if found:
        raise SuiteError(found)
    return text


class _Reader:
    """Composes the parser's events to nodes."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.flaws: list[tuple[int, str]] = []
        self.anchors: dict[str, Node | None] = {}
        """None while the anchored node is still being read: an alias to it would be a circle."""
        self.values = 0

    def document(self, text: str) -> Node:
        events = self._events(text)
        start = next(event for event in events if isinstance(event, DocumentStartEvent | StreamEndEvent))
        if isinstance(start, StreamEndEvent):
            raise self._refusal(1, "empty; a suite needs at least suite, datasets, variants and metrics")
        root = self._node(next(events), events, 1)
        for event in events:
            if isinstance(event, DocumentStartEvent):
                raise self._refusal(_line(event), "a second document starts here; a suite is one")
        return root

    def _events(self, text: str) -> Iterator[Event]:
        try:
            yield from YAML(typ="safe", pure=True).parse(text)
        except YAMLError as error:
            raise self._syntax(error, text) from error
        except (ValueError, OverflowError, RecursionError) as error:  # seen on broken directives and escapes
            raise self._refusal(1, f"not YAML: {error}") from error

    def _node(self, event: Event, events: Iterator[Event], level: int) -> Node:
        line = _line(event)
        if level > MOST_LEVELS:
            raise self._refusal(line, f"nested deeper than {MOST_LEVELS} levels")
        if isinstance(event, AliasEvent):
            return self._alias(event, line, level)
        self._check_tag(event, line)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self.anchors[anchor] = None
        if isinstance(event, ScalarEvent):
            node = Node(line, value=self._scalar(event, line))
        elif isinstance(event, SequenceStartEvent):
            node = self._sequence(line, events, level)
        else:
            node = self._mapping(line, events, level)
        if anchor is not None:
            self.anchors[anchor] = node
        return self._counted(node, line)

    def _sequence(self, line: int, events: Iterator[Event], level: int) -> Node:
        items: list[Node] = []
        while not isinstance(event := next(events), SequenceEndEvent):
            items.append(self._node(event, events, level + 1))
        return _around(Node(line, items=items), items)

    def _mapping(self, line: int, events: Iterator[Event], level: int) -> Node:
        entries: list[tuple[str, int, Node]] = []
        while not isinstance(event := next(events), MappingEndEvent):
            key = self._key(event, events, level)
            entries.append((key, _line(event), self._node(next(events), events, level + 1)))
        return _around(Node(line, entries=entries), [value for _, _, value in entries])

    def _key(self, event: Event, events: Iterator[Event], level: int) -> str:
        line = _line(event)
        node = self._node(event, events, level + 1)
        if isinstance(event, ScalarEvent):
            return printable(_joined(event.value))
        if node.items is None and node.entries is None:
            return str(node.value)
        raise self._refusal(line, "a list or mapping stands where a key is expected")

    def _alias(self, event: AliasEvent, line: int, level: int) -> Node:
        if event.anchor not in self.anchors:
            raise self._refusal(line, f"*{event.anchor} refers to nothing; anchors are written &{event.anchor}")
        node = self.anchors[event.anchor]
        if node is None:
            raise self._refusal(line, f"*{event.anchor} stands inside of &{event.anchor}: a circle")
        if level + node.levels - 1 > MOST_LEVELS:
            raise self._refusal(line, f"nested deeper than {MOST_LEVELS} levels")
        return self._counted(node, line)

    def _counted(self, node: Node, line: int) -> Node:
        """The node; refused as soon as the aliases of the file lead to more values than a suite can have."""
        self.values += 1
        if max(node.size, self.values) > MOST_VALUES:
            raise self._refusal(line, f"more than {MOST_VALUES:,} values once aliases are laid open: not a suite")
        return node

    def _scalar(self, event: ScalarEvent, line: int) -> Any:
        text = _joined(event.value)
        if match := UNPRINTABLE.search(text):
            self.flaws.append((line, f"holds the unprintable character {match.group()!r}; remove it"))
            return printable(text)
        return text if event.style is not None else _plain(text)

    def _check_tag(self, event: Event, line: int) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None and str(tag) != "!":
            self.flaws.append((line, f"tags are not read; remove {str(tag)!r}"))

    def _syntax(self, error: YAMLError, text: str) -> SuiteError:
        line = _blamed_line(error, text)
        problem = getattr(error, "problem", None) or str(error)
        if "'\\t'" in problem:
            return self._refusal(line, "a tab stands where YAML expects spaces")
        context = getattr(error, "context", None)
        what = f"{problem} {context}" if context else problem
        return self._refusal(line, "not YAML: " + " ".join(what.split()))

    def _refusal(self, line: int, what: str) -> SuiteError:
        return SuiteError([Mistake(self.file, line, "", what)])


def printable(text: str) -> str:
    """With a question mark for what neither a file nor a terminal can show."""
    return UNPRINTABLE.sub("?", text)


def _joined(text: str) -> str:
    """JSON writes a character beyond 65,535 as two escapes, which YAML takes for two characters."""
    return PAIR.sub(lambda match: match.group().encode("utf-16-le", "surrogatepass").decode("utf-16-le"), text)


def _around(node: Node, children: list[Node]) -> Node:
    node.size = 1 + sum(child.size for child in children)
    node.levels = 1 + max((child.levels for child in children), default=0)
    return node


def _laid_open(
    node: Node, path: Path, line: int, lines: dict[Path, int | None], duplicates: list[tuple[Path, int, str]]
) -> Any:
    """The plain value of a node; fills `lines`, and `duplicates` with the keys that stand twice (the first counts)."""
    lines[path] = line
    if node.items is not None:
        return [_laid_open(item, (*path, place), item.line, lines, duplicates) for place, item in enumerate(node.items)]
    if node.entries is None:
        return node.value
    content: dict[str, Any] = {}
    first_lines: dict[str, int] = {}
    for key, key_line, value in node.entries:
        if key in content:
            what = f"stands twice, first on line {first_lines[key]}"
            duplicates.append(((*path, key), key_line, what))
            continue
        first_lines[key] = key_line
        content[key] = _laid_open(value, (*path, key), key_line, lines, duplicates)
    return content


def _plain(text: str) -> Any:
    """What an unquoted word means in YAML 1.2."""
    if NULL.fullmatch(text):
        return None
    if TRUE.fullmatch(text) or FALSE.fullmatch(text):
        return text.lower() == "true"
    if INTEGER.fullmatch(text):
        return int(text)
    if FLOAT.fullmatch(text):
        return float(text)
    if match := NOT_FINITE.fullmatch(text):
        return float("nan") if match.group(3) else float(f"{match.group(1)}inf")
    return text


def _blamed_line(error: YAMLError, text: str) -> int:
    """Where the parser gave up; what is still open at the end of the file is to blame where it began."""
    stopped, began = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    at_the_end = stopped is not None and stopped.index >= len(text.rstrip())
    mark = began if began is not None and (stopped is None or at_the_end) else stopped
    return mark.line + 1 if mark is not None else 1


def _line(event: Event) -> int:
    return event.start_mark.line + 1

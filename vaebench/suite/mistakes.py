"""What is wrong with a suite file: every mistake at once, each on a line of its own."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vaebench.catalog.names import enumerated, nearest
from vaebench.catalog.parameters import shown

MOST_SUGGESTIONS = 200
"""Mistakes after which no nearest name is looked for: a file made to be slow is refused as fast as any other."""

Path = tuple[str | int, ...]
"""Where something stands in a file: keys, and positions in lists."""


@dataclass(frozen=True)
class Mistake:
    file: str
    line: int | None
    """None where there is no file, or no one line is to blame."""
    path: str
    """Such as `variants[2].objective.beta`; empty for the file as a whole."""
    what: str
    """What was given, and what is valid."""
    suggestion: str | None = None
    """The nearest valid name."""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        path = f"{self.path}: " if self.path else ""
        hint = f" (did you mean {self.suggestion!r}?)" if self.suggestion is not None else ""
        return f"{place}: {path}{self.what}{hint}"


class SuiteError(Exception):
    """A suite that cannot be run as it is written: the user's mistakes, in the order of the file."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


class Findings:
    """Collects the mistakes of one file; the same mistake at the same place is kept once."""

    def __init__(self, file: str, lines: Mapping[Path, int | None], moved: Mapping[Path, Path] | None = None) -> None:
        """`moved`: where something is said to stand → where it stands in the file."""
        self._file = file
        self._lines = lines
        self._moved = moved or {}
        self._positions = {path: position for position, path in enumerate(lines)}
        self._found: dict[tuple[Path, int | None, str], str | None] = {}
        self._touched: set[Path] = set()

    def add(self, path: Path, what: str, suggestion: str | None = None, line: int | None = None) -> None:
        """Note a mistake at `path`; `line` where the path does not say which of two equal keys is meant."""
        path = self._in_file(path)
        self._found.setdefault((path, line, what), suggestion)
        self._touched.update(path[:end] for end in range(len(path) + 1))

    def unknown(self, path: Path, what: str, given: str, valid: Iterable[str]) -> None:
        """Note a name that is none of `valid`, with the nearest one of them, or all where none is near."""
        valid = list(dict.fromkeys(valid))
        near = nearest(given, valid) if len(self._found) < MOST_SUGGESTIONS else None
        self.add(path, what if near is not None else f"{what}; valid: {enumerated(valid)}", near)

    def touches(self, path: Path) -> bool:
        """Is something wrong at `path` or below it?"""
        return self._in_file(path) in self._touched

    def raise_if_any(self) -> None:
        if self._found:
            raise SuiteError(self.mistakes())

    def __len__(self) -> int:
        return len(self._found)

    def under(self, moved: Mapping[Path, Path] | None = None) -> "Findings":
        """A copy to go on with by itself, while some things stand elsewhere than they seem to (as they do here, for
        None)."""
        other = Findings(self._file, self._lines, self._moved if moved is None else moved)
        other._found, other._touched = dict(self._found), set(self._touched)
        return other

    def _in_file(self, path: Path) -> Path:
        """Where `path` stands: the longest beginning of it that has moved decides."""
        for end in range(len(path), 0, -1) if self._moved else ():
            if path[:end] in self._moved:
                return (*self._moved[path[:end]], *path[end:])
        return path

    def mistakes(self) -> list[Mistake]:
        """In the order of the file."""
        ordered = sorted(self._found.items(), key=lambda item: self._place(item[0][0], item[0][1]))
        return [
            Mistake(self._file, self._line(path, line), dotted(path), what, suggestion)
            for (path, line, what), suggestion in ordered
        ]

    def _place(self, path: Path, line: int | None) -> tuple[int, int]:
        return self._line(path, line) or 0, self._positions.get(self._known(path), -1)

    def _line(self, path: Path, line: int | None) -> int | None:
        return line if line is not None else self._lines.get(self._known(path))

    def _known(self, path: Path) -> Path:
        """The longest beginning of `path` that stands in the file: what is missing is missed in its parent."""
        while path and path not in self._positions:
            path = path[:-1]
        return path


def dotted(path: Path) -> str:
    """`("variants", 2, "objective")` → `variants[2].objective`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + _key(step)
    return text


def _key(key: str) -> str:
    plain = re.fullmatch(r"[\w<-][\w.<+-]{0,79}", key)
    return key if plain else shown(key)

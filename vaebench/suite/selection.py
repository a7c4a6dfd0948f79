"""Patterns of `dataset/view/variant`, as `--only` takes them: one, several, or none for everything."""

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

Patterns = str | Sequence[str] | None


def is_selected(source: str, variant: str, only: Patterns) -> bool:
    """Whether any pattern matches."""
    return not only or any(_matches(source, variant, pattern) for pattern in _each(only))


def idle(only: Patterns, rows: Iterable[tuple[str, str]]) -> list[str]:
    """The patterns that match none of the rows (dataset/view, variant)."""
    known = list(rows)
    return [pattern for pattern in _each(only) if not any(_matches(*row, pattern) for row in known)]


def _each(only: Patterns) -> Iterator[str]:
    yield from ([only] if isinstance(only, str) else only or [])


def _matches(source: str, variant: str, pattern: str) -> bool:
    """`[` stands for itself, since variants' names contain it."""
    return fnmatchcase(f"{source}/{variant}", pattern.replace("[", "[[]"))

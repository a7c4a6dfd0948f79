"""Names that people give: which are names at all, which was meant, and how a message lists the valid ones."""

import difflib
import re
from collections.abc import Iterable

from vaebench.catalog.parameters import shown

LONGEST_NAME = 80
RESERVED = "cells"


def mistake_of_name(name: str) -> str | None:
    """Why `name` cannot name a suite, a variant or a part; None if it can."""
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        return f"{shown(name)} is no name: names are made of the letters a to z, digits, '.', '_' and '-'"
    if name[0] in ".-":
        return f"{shown(name)} is no name: names begin with a letter, a digit or '_'"
    if len(name) > LONGEST_NAME:
        return f"{shown(name)} is {len(name)} characters long; names have at most {LONGEST_NAME}"
    if name.lower() == RESERVED:
        return f"{name!r} is reserved: the results folder keeps its cells there"
    return None


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that `name` was most likely meant to be, if one is near."""
    if len(name) > 100:
        return None
    valid = list(valid)
    by_words = {_words(candidate): candidate for candidate in reversed(valid)}
    if _words(name) in by_words:
        return by_words[_words(name)]
    by_lower_case = {candidate.lower(): candidate for candidate in valid}
    found = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.6)
    return by_lower_case[found[0]] if found else None


def _words(name: str) -> tuple[str, ...]:
    """Of a member of a grid, in whatever order it names its parameters."""
    return tuple(sorted(filter(None, re.split(r"[\[\], ]+", name.lower()))))


def enumerated(names: Iterable[str], most: int = 12) -> str:
    """The names with commas between them; a long list is cut, and says so."""
    names = list(names)
    if not names:
        return "none"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

"""The command line, called in the process of the test."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.plugins.writing import forgotten
from vaebench import cli


class Said(NamedTuple):
    code: int
    out: str
    err: str


Call = Callable[..., Said]


def caller(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *first: str) -> Call:
    """A function that calls `vaebench`, with the arguments `first` before all others; each call knows no plugin."""

    def call(*arguments: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["vaebench", *first, *map(str, arguments)])
        with forgotten(), pytest.raises(SystemExit) as ending:
            cli.main()
        captured = capsys.readouterr()
        return Said(int(ending.value.code or 0), captured.out, captured.err)

    return call

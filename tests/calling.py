"""The command line, called in the process of the test."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.plugins.writing import forgotten
from vaebench import cli


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Call = Callable[..., Said]


def caller(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *first: str) -> Call:
    """A function that calls `vaebench`, with the arguments `first` before all others; each call knows no plugin."""

    def call(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["vaebench", *first, *arguments])
        with forgotten(), pytest.raises(SystemExit) as ending:
            cli.main()
        captured = capsys.readouterr()
        return Said(int(ending.value.code or 0), captured.out, captured.err)

    return call

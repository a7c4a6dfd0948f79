"""docs/cli.md: every verb of the command line with its arguments and options, from the functions that the parser reads.

python -m vaebench.cli_reference > docs/cli.md
"""

import inspect
import sys
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

import typer

from vaebench import cli

HEADER = """# The command line

Made by `python -m vaebench.cli_reference` from what the parser itself reads; a test fails when it is stale.
`vaebench VERB --help` says the same in a terminal.

| exit code | means |
|---|---|"""
COMPLETION = """## Tab

After `vaebench --install-completion` and in a new shell (bash, zsh, fish or PowerShell; `--show-completion` prints what
it installs), Tab completes verbs and options, and names: shipped suites and suite files, what `describe` knows
(variants, metrics, data sets, recipes, parts), metrics, data set views, and the folders DIR/SUITE that runs have left.
Parts of plugins are not among them, since to look would run code."""
ENDINGS = {
    cli.COMPLETE: "complete",
    cli.INTERNAL: "a mistake of vaebench's own; `vaebench --debug …` shows where",
    cli.WRONG_INPUT: "wrong input: each mistake on a line of its own, with the nearest valid name",
    cli.INCOMPLETE: "of what was asked for: some cells failed, or some numbers are not there",
    cli.REGRESSION: "something became worse than a baseline, or came out differently when run again",
    cli.NOTHING_MATCHED: "nothing matched a pattern",
    cli.INTERRUPTED: "interrupted; the same command goes on",
}
WORDS = {Path: "PATH", int: "N", float: "X", str: "TEXT"}
"""What a value of a type is called, where the parameter has no word of its own."""


@dataclass(frozen=True)
class Parameter:
    """One argument or option."""

    name: str
    type: Any
    """Of one value; of an option that may be repeated, of each."""
    info: Any
    """typer's: its declaration, its word for the value, its help."""
    default: Any

    @property
    def is_argument(self) -> bool:
        return isinstance(self.info, typer.models.ArgumentInfo)

    @property
    def shown(self) -> str:
        """`SUITE`, `--results PATH` or, of a switch, `--force`"""
        if self.is_argument:
            return self.word
        declared = [*self.info.param_decls, self.info.default][0]  # typer keeps a single declaration as the default
        return str(declared) if self.type is bool else f"{declared} {self.word}"

    @property
    def word(self) -> str:
        """What the value is called: its own word, its choices, or that of its type."""
        if self.info.metavar is None and issubclass(self.type, Enum):
            return "|".join(entry.value for entry in self.type)
        return str(self.info.metavar or WORDS[self.type])

    @property
    def otherwise(self) -> str:
        """What holds where it is not given."""
        if self.default is inspect.Parameter.empty:
            return "must be given"
        value = getattr(self.default, "value", self.default)
        return "" if value is None or value is False else f"`{value}`"


def page() -> str:
    """The page as Markdown."""
    callback = cli.app.registered_callback
    assert callback is not None
    assert callback.callback is not None
    endings = [f"| {code} | {meaning} |" for code, meaning in ENDINGS.items()]
    parts = ["\n".join([HEADER, *endings]), f"Before the verb:\n\n{table(parameters(callback.callback))}", COMPLETION]
    parts += [section(name, function) for name, function in verbs(cli.app)]
    return "\n\n".join(parts) + "\n"


def verbs(app: typer.Typer, before: str = "") -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every verb with the function behind it, the verbs of a group behind its name."""
    for command in app.registered_commands:
        assert command.callback is not None
        yield before + (command.name or command.callback.__name__), command.callback
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from verbs(group.typer_instance, f"{before}{group.name} ")


def parameters(function: Callable[..., Any]) -> list[Parameter]:
    """What a verb takes, in its order."""
    hints = typing.get_type_hints(function, include_extras=True)
    signature = inspect.signature(function).parameters
    found = []
    for name, parameter in signature.items():
        kind, info = typing.get_args(hints[name])
        found.append(Parameter(name, of_one(kind), info, parameter.default))
    return found


def of_one(kind: Any) -> Any:
    """The type of a value, without `None` and without the list that repeating makes of it."""
    if typing.get_origin(kind) in (typing.Union, UnionType):
        return of_one(next(entry for entry in typing.get_args(kind) if entry is not NoneType))
    return typing.get_args(kind)[0] if typing.get_origin(kind) is list else kind


def section(name: str, function: Callable[..., Any]) -> str:
    """How a verb is called, what it does, and what it takes."""
    taken = parameters(function)
    usage = " ".join(["vaebench", name, *(one.shown for one in taken if one.is_argument), "[options]"])
    does = " ".join(inspect.getdoc(function).split())  # type: ignore[union-attr]
    return f"## {name}\n\n```text\n{usage}\n```\n\n{does}\n\n{table(taken)}"


def table(taken: list[Parameter]) -> str:
    """Arguments and options, one a line."""
    rows = [(f"`{one.shown}`", one.info.help or "", one.otherwise) for one in taken]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(["| | does | default |", "|---|---|---|", *lines])


if __name__ == "__main__":
    sys.stdout.write(page())

"""Small suite files for the tests, in which the comment `# here` marks the line that is wrong."""

import textwrap

from vaebench.catalog.catalog import load_catalog
from vaebench.suite.loading import resolve_suite
from vaebench.suite.mistakes import Mistake, SuiteError
from vaebench.suite.suite import Suite
from vaebench.suite.yaml_source import parse_source

FILE = "trial.yaml"
MARK = "# here"

SECTIONS = {
    "suite": "trial",
    "datasets": "[digits/binary, digits/grey]",
    "seeds": "2",
    "variants": "[vae]",
    "metrics": "[elbo, log_likelihood, bits_per_dim]",
}


def written(**sections: str | None) -> str:
    """A sound suite with some of its sections put differently; None leaves a section out."""
    chosen = {name: text for name, text in {**SECTIONS, **sections}.items() if text is not None}
    return "".join(_section(name, text) for name, text in chosen.items())


def _section(name: str, text: str) -> str:
    if "\n" not in text:
        return f"{name}: {text}\n"
    return f"{name}:\n{textwrap.indent(textwrap.dedent(text).strip(), '  ')}\n"


def loaded(text: str | None = None, **sections: str | None) -> Suite:
    text = written(**sections) if text is None else text
    return resolve_suite(parse_source(text.encode(), FILE), load_catalog())


def mistakes_in(text: str | bytes) -> list[Mistake]:
    """Every mistake that is found in a file of this content; none for a sound suite."""
    data = text if isinstance(text, bytes) else text.encode()
    try:
        resolve_suite(parse_source(data, FILE), load_catalog())
    except SuiteError as error:
        return error.mistakes
    return []


def marked_lines(text: str) -> list[int]:
    return [number for number, line in enumerate(text.splitlines(), start=1) if MARK in line]

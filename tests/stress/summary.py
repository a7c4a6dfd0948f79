"""What a stress script has found, as a table that it writes into a document itself."""

import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.outcome import commit
from vaebench.reporting.text import counted
from vaebench.store.files import write_text


def write_table(
    name: str, head: Sequence[str], rows: Sequence[Sequence[str]], seconds: float, document: Path | None
) -> None:
    """Print the table; in `document` it replaces the last one, between `<!-- NAME -->` and `<!-- /NAME -->`."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    made = f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    lines += ["", f"{made}, torch {version('torch')}, commit {commit()}; {counted(round(seconds / 60), 'minute')}."]
    table = "\n".join(lines)
    print(table)
    if document is None:
        return
    marked = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)", re.DOTALL)
    text = document.read_text(encoding="utf-8")
    if not marked.search(text):
        raise SystemExit(f"{document}: has no marks <!-- {name} --> and <!-- /{name} -->")
    write_text(document, marked.sub(lambda found: found.group(1) + table + found.group(2), text))

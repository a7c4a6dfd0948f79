"""What a benchmark leaves: the numbers as JSON, and their tables and pictures in docs/performance.md."""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from vaebench.store.files import write_text

HERE = Path(__file__).resolve().parents[2]
PAGE = HERE / "docs" / "performance.md"
FOLDER = PAGE.with_suffix("")
"""Of pictures and numbers."""
SOURCES = ("vaebench", "tests/benchmarks", "tests/stress")
"""What a measurement runs."""


def machine() -> dict[str, Any]:
    """Where and with what something was measured."""
    found: dict[str, Any] = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    for package in ("vaebench", "pythae"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {**found, "commit": commit(), "load": round(os.getloadavg()[0], 1)}


def command(module: str) -> str:
    return " ".join(["python -m", module, *sys.argv[1:]])


def keep(name: str, numbers: Mapping[str, Any], folder: Path | None) -> None:
    """`name`.json in the folder; nothing where there is none."""
    if folder is not None:
        write_text(folder / f"{name}.json", json.dumps(numbers, indent=1) + "\n")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Markdown; numbers with three significant digits, all but the first column to the right."""
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *[[_text(value) for value in row] for row in rows]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def origin(where: Mapping[str, Any], how: str) -> str:
    """A line that says where a table comes from."""
    said = ", ".join(f"{name} {value}" for name, value in where.items())
    return f"`{how}`; {said}\n"


def into_page(name: str, text: str, page: Path = PAGE) -> None:
    """Put a table in its place in docs/performance.md."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    content = page.read_text(encoding="utf-8")
    if begin not in content or end not in content:
        raise SystemExit(f"{page}: has no place for {name} ({begin.strip()} … {end.strip()})")
    place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    page.write_text(place.sub(lambda _: f"{begin}\n{text}\n{end}", content), encoding="utf-8")


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit(tree: Path = HERE) -> str:
    """The commit of a tree, with a + where the sources that ran are not those of the commit; a page that a measurement
    has written does not count."""
    name = _git(tree, "rev-parse", "--short", "HEAD")
    return name + "+" * bool(_git(tree, "status", "--porcelain", "--", *SOURCES)) if name else "unknown"


def _git(tree: Path, *words: str) -> str:
    found = subprocess.run(["git", "-C", str(tree), *words], capture_output=True, text=True, check=False)
    return found.stdout.strip()

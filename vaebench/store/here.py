"""This machine, as far as it can be known without torch: where a user's cache is, whether something compiles."""

import contextlib
import os
import shutil
from pathlib import Path

from vaebench.store.files import write_text

RESULTS_FILE = "results-folders.txt"
MOST_RESULTS = 8


def user_cache() -> Path:
    """Where vaebench keeps, for one user, what it can always make or fetch again."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "vaebench"


def missing_compiler() -> str | None:
    """The C++ compiler that torch would look for and that is not here; None where there is one."""
    wanted = os.environ.get("CXX", "g++")
    return None if any(shutil.which(name) for name in (wanted, "clang++")) else f"a C++ compiler ({wanted})"


def remember_results(folder: Path) -> None:
    """Let the plans of other results folders learn from what was trained in this one; the newest few are kept."""
    folders = [folder.resolve(), *(known for known in results_remembered() if known != folder.resolve())]
    file = user_cache() / RESULTS_FILE
    with contextlib.suppress(OSError):
        write_text(file, "".join(f"{known}\n" for known in folders[:MOST_RESULTS]))


def results_remembered() -> list[Path]:
    """Results folders of earlier runs, the latest first."""
    try:
        return [Path(line) for line in (user_cache() / RESULTS_FILE).read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        return []

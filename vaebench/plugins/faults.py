"""What goes wrong in the code of users, told in one line with their file and line."""

import sysconfig
import traceback
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
LIBRARIES = (PACKAGE, *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")))
"""Folders whose code is not the user's."""


def told(error: BaseException) -> str:
    """Type and message of an error, on one line."""
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(message.split())}".removesuffix(": ")


def place(error: BaseException, otherwise: str | None = None) -> str:
    """file:line of the last line of the user's that an error passed; `otherwise`, where it passed none of theirs."""
    if isinstance(error, SyntaxError) and error.filename and not is_library(error.filename):
        return f"{near_path(error.filename)}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not is_library(frame.filename)]
    if not own and otherwise is not None:
        return otherwise
    frame = own[-1] if own else frames[-1]
    return f"{near_path(frame.filename)}:{frame.lineno}"


def is_library(filename: str) -> bool:
    return filename.startswith("<") or any(folder in Path(filename).parents for folder in LIBRARIES)


def near_path(filename: str) -> str:
    """Relative to the folder at hand where the file lies in it."""
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename

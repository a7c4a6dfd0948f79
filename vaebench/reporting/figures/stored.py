"""Figures on disk: the numbers of each, and an index that says what it shows and which function draws it.

A picture is drawn from the numbers as they were stored, so that whoever has the folder draws the same picture again.
"""

import contextlib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from vaebench.reporting.figures.figure import Figure, Section, slug
from vaebench.reporting.tables import read_table, write_table
from vaebench.store.files import Damaged, StoreError, read_json, replacing, write_json

INDEX = "index.json"
LARGEST = 256_000_000
"""Bytes that the arrays of one picture may have once they are unpacked."""
TESTS: dict[str, Callable[[Any], bool]] = {
    "flag": pd.api.types.is_bool_dtype,
    "whole or none": lambda dtype: isinstance(dtype, pd.Int64Dtype),
    "whole": pd.api.types.is_integer_dtype,
    "number": pd.api.types.is_float_dtype,
}
"""What a column may be beside text."""


def drawer_name(drawer: Callable[..., Any]) -> str:
    """`differences.draw`"""
    return f"{drawer.__module__.rpartition('.')[2]}.{drawer.__name__}"


def data_file(figure: Figure, folder: Path) -> Path:
    return folder / "data" / f"{figure.name}{'.npz' if figure.is_image_grid else '.csv'}"


def write_data(figure: Figure, folder: Path) -> Path:
    """Store what is drawn."""
    path = data_file(figure, folder)
    if isinstance(figure.data, pd.DataFrame):
        write_table(path, figure.data)
    else:
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, **{name: _small(value) for name, value in figure.data.items()})  # type: ignore[arg-type]
    return path


def read_data(path: Path, kinds: dict[str, str]) -> pd.DataFrame | dict[str, np.ndarray]:
    """What `write_data` has stored; `kinds` are those of a table's columns."""
    if path.suffix == ".csv":
        of = {kind: [name for name, own in kinds.items() if own == kind] for kind in ("text", *TESTS)}
        table = read_table(path, [*of["text"], *of["flag"]], [*of["whole"], *of["whole or none"]], list(kinds))
        flags = {name: table[name] == "True" for name in of["flag"]}
        return table.assign(**flags).astype(dict.fromkeys(of["whole"], "int64"))
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > LARGEST:
            raise StoreError(f"{path}: larger than any picture")
    with np.load(path, allow_pickle=False) as stored:
        return {name: _wide(stored[name]) for name in stored.files}


def kinds_of(data: pd.DataFrame | dict[str, np.ndarray]) -> dict[str, str]:
    """Column → text, whole or number; nothing for arrays, which know it themselves."""
    if not isinstance(data, pd.DataFrame):
        return {}
    return {
        str(name): next((kind for kind, is_such in TESTS.items() if is_such(dtype)), "text")
        for name, dtype in data.dtypes.items()
    }


def files_of(folder: Path) -> set[Path]:
    """Pictures and data that the index names; those that somebody else put there are not among them."""
    with contextlib.suppress(StoreError, OSError, TypeError, KeyError):
        names = [str(entry["name"]) for entry in read_json(folder / INDEX)["figures"]]
        kinds = (("", ".svg"), ("", ".png"), ("data", ".csv"), ("data", ".npz"))
        return {folder / sub / f"{name}{end}" for name in names if name == slug(name) for sub, end in kinds}
    return set()


def write_index(figures: list[Figure], folder: Path) -> None:
    entries = [
        {
            "name": figure.name,
            "title": figure.title,
            "caption": figure.caption,
            "section": figure.section,
            "subject": figure.subject,
            "view": figure.view,
            "drawer": drawer_name(figure.drawer),
            "more": dict(figure.more),
            "columns": kinds_of(figure.data),
        }
        for figure in figures
    ]
    write_json(folder / INDEX, {"figures": entries})


def read_figures(folder: Path, drawers: Mapping[str, Callable[..., Any]]) -> Iterator[Figure]:
    """The figures of a folder in their order, to be drawn by those whom the index names.

    StoreError says what is wrong with the index or the data.
    """
    path = folder / INDEX
    if not path.exists():
        raise StoreError(f"{path}: missing, and with it what the pictures show; publish the suite again")
    entries: Any = read_json(path).get("figures")
    for entry in entries if isinstance(entries, list) else [entries]:
        try:
            yield _figure(entry, folder, drawers)
        except (KeyError, TypeError, ValueError, AttributeError, OSError, zipfile.BadZipFile) as error:
            name = entry.get("name") if isinstance(entry, dict) else entry
            what = f"figure {str(name)[:80]!r} ({type(error).__name__}: {error})"
            raise Damaged(f"{path}: cannot be used, {what}; publish the suite again") from error


def _figure(entry: dict[str, Any], folder: Path, drawers: Mapping[str, Callable[..., Any]]) -> Figure:
    words = {word: str(entry[word]) for word in ("name", "title", "caption", "section", "subject", "view")}
    if words["name"] != slug(words["name"]) or words["section"] not in get_args(Section):
        raise ValueError("not as vaebench writes it")
    kinds = dict(entry["columns"])
    stored = folder / "data" / f"{words['name']}{'.csv' if kinds else '.npz'}"
    drawer, more = drawers[entry["drawer"]], dict(entry["more"])
    return Figure(**words, data=read_data(stored, kinds), drawer=drawer, more=more)  # type: ignore[arg-type]


def _small(array: np.ndarray) -> np.ndarray:
    """Pixels in steps of 1/128, finer than a picture shows, which packs them to half the bytes."""
    if array.dtype.kind != "f" or array.ndim < 2:
        return array
    return (np.round(array.astype(np.float32) * 128) / 128).astype(np.float16)


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == np.float16 else array

"""The questions of a suite with what the seeds say, read from its tables: for Python and for notebooks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import pandas as pd
from markupsafe import Markup
from tabulate import tabulate

from vaebench.catalog.catalog import load_catalog
from vaebench.reporting import dictionary
from vaebench.reporting.questions import UNITLESS
from vaebench.reporting.runs import compared_values, read_runs
from vaebench.reporting.tables import each_row
from vaebench.reporting.text import (
    ABSENT,
    absent,
    beside,
    counted,
    half_width,
    is_constant,
    probability,
    to_the_place_of,
)
from vaebench.store.files import StoreError
from vaebench.store.folders import SuiteFolder
from vaebench.suite.suite import split_side

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = ("question", "on", "metric", "theory", "practice", "practice − theory", "95 %", "p", "seeds", "verdict")
NUMBERS = ("theory", "practice", "practice − theory", "95 %", "p", "seeds")
WIDE = Markup('<div style="overflow-x: auto">{}</div>')
"""A table that scrolls by itself where a notebook is narrower."""


@dataclass(frozen=True)
class Contrast:
    """One question on one data set view.

    `primary` is the row of contrasts.csv that decides it, `table` that row and those of the other metrics.
    """

    table: pd.DataFrame
    seeds: pd.DataFrame | None = None
    """seed, theory, practice in the metric that decides; None where runs.csv is not beside the table."""

    @cached_property
    def primary(self) -> Any:
        return _deciding(self.table)

    @property
    def question(self) -> str:
        return str(self.primary.question)

    @property
    def source(self) -> str:
        """Data set view, such as `digits/grey`."""
        return f"{self.primary.dataset}/{self.primary.view}"

    @property
    def verdict(self) -> str:
        return str(self.primary.verdict)

    @property
    def sentence(self) -> str:
        """The verdict and what it rests on, in a line."""
        row = self.primary
        if absent(row.difference):
            return f"{self.source}: {self.verdict}"
        half, unit = half_width(row.low, row.high), _unit(row.metric)
        size = " ".join(filter(None, (to_the_place_of(half, row.difference), unit)))
        parts = [f"95 % {_interval(row)}"] if half is not None else []
        p_value, after = (row.p_value, "") if absent(row.p_holm) else (row.p_holm, " after Holm")
        parts += [f"p {probability(p_value)}{after}"] if not absent(p_value) else []
        seeds = counted(int(row.seeds), "seed")
        constant = is_constant(half, row.difference)
        evidence = f"the same at each of {seeds}" if constant else ", ".join([*parts, seeds])
        differs = f"; they differ in {row.differs_in.replace(',', ', ')}" if row.differs_in else ""
        what = f"{row.practice} − {row.theory} is {size} in {row.metric}"
        return f"{self.source}: {self.verdict}: {what} ({evidence}){differs}"

    def plot(self) -> "list[Axes]":
        """Both sides at each seed, and each seed's difference: the two axes of one picture."""
        from vaebench.reporting.figures import differences

        if self.seeds is None or self.seeds.empty:
            raise StoreError(f"{self.question!r}: no seed has numbers here; they are read from the runs.csv beside")
        row = self.primary
        data = self.seeds.assign(difference=self.seeds["practice"] - self.seeds["theory"])
        heading = f"{self.question} {self.verdict[:1].upper()}{self.verdict[1:]}"
        return list(differences.draw(data, heading, row.theory, row.practice, known(row.metric)).axes)

    def __repr__(self) -> str:
        return f"{self.question}\n{self.sentence}"

    def _repr_html_(self) -> str:
        head = Markup("<p><strong>{}</strong><br>{}</p>").format(self.question, self.sentence)
        return str(head + _html(each_row(self.table), COLUMNS[2:]))


class Contrasts(Sequence[Contrast]):
    """The contrasts of a suite, in its order: `Contrasts.read("runs/quickstart")[0]`. Prints as a table."""

    def __init__(self, contrasts: Iterable[Contrast]) -> None:
        self._contrasts = tuple(contrasts)

    @classmethod
    def read(cls, path: str | Path) -> "Contrasts":
        """Those of a suite's folder, or of a file like its contrasts.csv, with the seeds of the runs.csv beside it."""
        file = SuiteFolder(Path(path)).contrasts if Path(path).is_dir() else Path(path)
        table = dictionary.read(file, "contrasts")
        runs = SuiteFolder(file.parent).runs
        values = compared_values(read_runs(runs)) if runs.is_file() else None
        keys = ["question", "theory", "practice", "dataset", "view"]
        groups = [rows.reset_index(drop=True) for _, rows in table.groupby(keys, sort=False)]
        return cls(Contrast(rows, _seeds(rows, values)) for rows in groups if rows["primary"].any())

    @overload
    def __getitem__(self, place: int) -> Contrast: ...
    @overload
    def __getitem__(self, place: slice) -> "Contrasts": ...
    def __getitem__(self, place: int | slice) -> "Contrast | Contrasts":
        return Contrasts(self._contrasts[place]) if isinstance(place, slice) else self._contrasts[place]

    def __iter__(self) -> Iterator[Contrast]:
        return iter(self._contrasts)

    def __len__(self) -> int:
        return len(self._contrasts)

    def __repr__(self) -> str:
        return _tabulated((each.primary for each in self), COLUMNS, "simple")

    def _repr_html_(self) -> str:
        return str(_html((each.primary for each in self), COLUMNS))


def _deciding(rows: pd.DataFrame) -> Any:
    """The row of the primary metric."""
    return next(each_row(rows[rows["primary"].astype(bool)]))


def _seeds(rows: pd.DataFrame, values: dict[Any, dict[str, dict[int, float]]] | None) -> pd.DataFrame | None:
    """Both sides at the seeds that they share; a side that names no metric is compared in the one of the row."""
    if values is None:
        return None
    row, sides = _deciding(rows), []
    for side in (row.theory, row.practice):
        variant, metric = split_side(side)
        sides.append(values.get((row.dataset, row.view, variant), {}).get(metric or row.metric, {}))
    shared = sorted({*sides[0]} & {*sides[1]})
    columns = {name: [side[seed] for seed in shared] for name, side in zip(("theory", "practice"), sides, strict=True)}
    return pd.DataFrame({"seed": shared, **columns})


def known(metric: str) -> str:
    """The metric's own name; StoreError where nobody here knows what it is."""
    if metric not in load_catalog().columns:
        raise StoreError(f"{metric}: no metric that is known here; vaebench.load_plugins brings those of a plugin")
    return metric


def _unit(metric: str) -> str:
    """Empty for shares and ratios, and for a metric whose plugin is not loaded."""
    catalog = load_catalog()
    unit = catalog.column(metric).unit if metric in catalog.columns else ""
    return "" if unit in UNITLESS else unit


def _cells(row: Any) -> dict[str, str]:
    """Column → what stands there."""
    half = half_width(row.low, row.high)

    def shown(value: float) -> str:
        return ABSENT if absent(value) else beside(half, value)

    p_value = row.p_value if absent(row.p_holm) else row.p_holm
    numbers = (
        *map(shown, (row.theory_mean, row.practice_mean)),
        ABSENT if absent(row.difference) else to_the_place_of(half, row.difference),
        ABSENT if half is None else _interval(row),
        ABSENT if absent(p_value) or is_constant(half, row.difference) else probability(p_value).removeprefix("= "),
        str(row.seeds),
    )
    names = {"question": row.question, "on": f"{row.dataset}/{row.view}", "metric": row.metric}
    return {**names, **dict(zip(NUMBERS, numbers, strict=True)), "verdict": row.verdict}


def _interval(row: Any) -> str:
    half = half_width(row.low, row.high)
    return " … ".join(to_the_place_of(half, end) for end in (row.low, row.high))


def _html(rows: Iterable[Any], columns: Sequence[str]) -> Markup:
    return WIDE.format(Markup(_tabulated(rows, columns, "html")))  # tabulate escapes what stands in the cells


def _tabulated(rows: Iterable[Any], columns: Sequence[str], form: str) -> str:
    cells = [[_cells(row)[column] for column in columns] for row in rows]
    align = tuple("right" if column in NUMBERS else "left" for column in columns) if cells else None
    return tabulate(cells, columns, form, disable_numparse=True, colalign=align)

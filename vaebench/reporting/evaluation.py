"""What was measured of one model, to be looked up by name and read as a table."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd
from tabulate import tabulate

from vaebench.catalog.catalog import load_catalog
from vaebench.reporting.runs import protocol_text
from vaebench.reporting.text import ABSENT, one_line, to_the_place_of
from vaebench.store.record import MetricValue
from vaebench.suite.mistakes import enumerated, nearest

COLUMNS = ("metric", "value", "±", "protocol", "note")
NARROWEST = 24
"""Characters that protocol and note have at least, before a table is wider than its terminal."""


class Evaluation(Mapping[str, MetricValue]):
    """Metric → its value, in the order of the question: `evaluation["elbo"].value`. Prints as a table."""

    def __init__(self, values: Iterable[MetricValue]) -> None:
        self._values = {value.metric: value for value in values}

    def __getitem__(self, metric: str) -> MetricValue:
        if metric not in self._values:
            near = nearest(metric, self._values)
            raise KeyError(f"no {metric!r} here" + (f"; did you mean {near!r}?" if near else f": {enumerated(self)}"))
        return self._values[metric]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def is_complete(self) -> bool:
        """Whether no metric failed; one that means nothing for this model is no failure."""
        return all(value.status != "failed" for value in self.values())

    def table(self, width: int | None = None) -> str:
        """metric, value, standard error, protocol, note; long cells are folded to make it `width` characters wide."""
        rows = self._rows()
        align = ("left", "right", "right", "left", "left")

        def drawn(folded: list[int | None] | None) -> str:
            return tabulate(rows, COLUMNS, "simple", disable_numparse=True, colalign=align, maxcolwidths=folded)

        whole = drawn(None)
        if width is None or max(map(len, whole.splitlines())) <= width:
            return whole
        narrow = [max(len(row[column]) for row in [*rows, COLUMNS]) for column in range(3)]
        left = (width - sum(narrow) - 2 * (len(COLUMNS) - 1)) // 2
        return drawn([None, None, None, max(left, NARROWEST), max(left, NARROWEST)])

    def to_frame(self) -> pd.DataFrame:
        """A row for each metric: metric, value, stderr, unit, better, status, protocol, note."""
        rows = [{**entry, "protocol": protocol_text(self[entry["metric"]].request)} for entry in self.to_json()]
        return pd.DataFrame(rows).drop(columns="details")

    def to_json(self) -> list[dict[str, Any]]:
        """The same as plain content, with the protocol taken apart and with what has no column of its own."""
        return [
            {
                "metric": value.metric,
                "value": value.value,
                "stderr": value.stderr,
                "unit": load_catalog().column(value.metric).unit,
                "better": load_catalog().column(value.metric).better,
                "status": value.status,
                "protocol": value.protocol,
                "note": value.note,
                "details": value.details,
            }
            for value in self.values()
        ]

    def __repr__(self) -> str:
        return self.table(shutil.get_terminal_size().columns)

    def _repr_html_(self) -> str:
        return str(tabulate(self._rows(), COLUMNS, "html", disable_numparse=True))

    def _rows(self) -> list[list[str]]:
        """Cells as text; the protocol stands beside the first number of its family."""
        rows, families = [], set[str]()
        for value in self.values():
            protocol = "" if value.family in families else protocol_text(value.request)
            families.add(value.family)
            rows.append([value.metric, _number(value), _error(value), protocol, one_line(value.note)])
        return rows


def _number(value: MetricValue) -> str:
    return value.status if value.value is None else to_the_place_of(value.stderr, value.value)


def _error(value: MetricValue) -> str:
    if value.stderr is None:
        return ABSENT
    return to_the_place_of(value.stderr, value.stderr) if value.stderr > 0 else "0"

"""leaderboard.csv: one row per data set view and variant, ranked where its seeds allow it."""

import bisect
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from tabulate import tabulate

from vaebench.catalog.catalog import load_catalog
from vaebench.reporting import dictionary, statistics
from vaebench.reporting.ranking import groups, scores
from vaebench.reporting.runs import DONE, NOT_APPLICABLE, STALE, RowKey, compared_values, values_by_seed, wanted_columns
from vaebench.reporting.sections import RANKING, Section, shown
from vaebench.reporting.tables import each_row, write_table
from vaebench.reporting.text import ABSENT, code_cell, escape_markdown, markdown_table
from vaebench.store.folders import SuiteFolder
from vaebench.suite.comparability import given, measure_of
from vaebench.suite.suite import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEXT = ("suite", "dataset", "view", "measure", "given", "variant", "stance")
WHOLE = ("rank", "group", "seeds", "failed")


def leaderboard_table(suite: Suite, runs: pd.DataFrame) -> pd.DataFrame:
    """Summarise `runs` and rank within data set, view, measure and `given`; incomplete rows stand below, unranked."""
    metrics = wanted_columns(suite)
    summaries = _summaries(suite, runs, metrics)
    rankings: dict[tuple[str, ...], list[_Summary]] = {}
    for summary in summaries:
        rankings.setdefault(summary.ranking, []).append(summary)
    ranked = [row for members in rankings.values() for row in _ranked_rows(suite, members, metrics)]
    intervals = [f"{metric}{end}" for metric in metrics for end in ("", "_low", "_high")]
    types = {**dict.fromkeys(WHOLE, "Int64"), **dict.fromkeys(intervals, "float64")}
    return pd.DataFrame(ranked, columns=[*TEXT, *WHOLE, *intervals]).astype(types)


@dataclass(frozen=True)
class Leaderboard:
    """A leaderboard in Python.

    >>> board = Leaderboard.read("runs/quickstart")
    >>> board.best("digits", "grey")
    >>> board.filter(view="grey").select("bits_per_dim", "kl").to_latex()

    Every method answers with a new leaderboard, or with a table or text; `table` is the pandas table itself.
    """

    table: pd.DataFrame

    @classmethod
    def read(cls, path: str | Path) -> "Leaderboard":
        """The leaderboard of a suite's folder, or of a file like its leaderboard.csv."""
        path = SuiteFolder(Path(path)).leaderboard if Path(path).is_dir() else path
        return cls(dictionary.read(Path(path), "leaderboard"))

    def write(self, path: str | Path) -> None:
        """A CSV file that `read` takes back to the last digit."""
        write_table(Path(path), self.table)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metric columns, without those of their intervals."""
        names = set(self.table.columns)
        return tuple(name for name in self.table.columns if {f"{name}_low", f"{name}_high"} <= names)

    def filter(self, **columns: Any) -> "Leaderboard":
        """The rows that have the given value, or one of the given values, in every column named.

        KeyError where no row at all has such a dataset, view, variant …
        """
        kept = pd.Series(True, index=self.table.index)
        for name, wanted in columns.items():
            allowed = list(wanted) if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
            column = self._column(name)
            if name in TEXT and len(column) and not column.isin(allowed).any():
                raise self._unknown(name, str(allowed[0]) if allowed else "", column.unique())
            kept &= column.isin(allowed)
        return Leaderboard(self.table[kept].reset_index(drop=True))

    def select(self, *metrics: str) -> "Leaderboard":
        """The same rows with these metrics only, in this order, each with its interval."""
        unknown = [metric for metric in metrics if metric not in self.metrics]
        if unknown:
            raise self._unknown("metric", unknown[0], self.metrics)
        kept = [f"{metric}{end}" for metric in metrics for end in ("", "_low", "_high")]
        return Leaderboard(self.table[[*TEXT, *WHOLE, *kept]].copy())

    def pivot(self, metric: str) -> pd.DataFrame:
        """Means of one metric: a row per variant, a column per data set view; NaN where there is no number."""
        self._column(metric)
        places = self.table["dataset"] + "/" + self.table["view"]
        wide = self.table.assign(source=places).pivot(index="variant", columns="source", values=metric)
        return wide.reindex(index=self.table["variant"].unique(), columns=places.unique())

    def best(self, dataset: str, view: str) -> "Leaderboard":
        """The rows ranked first on a data set view, and those that five seeds or more cannot tell from them.

        Where a view holds several rankings (another measure, models that are given the label), those of each.
        """
        rows = self.table[(self.table["dataset"] == dataset) & (self.table["view"] == view)]
        if rows.empty:
            known = (self.table["dataset"] + "/" + self.table["view"]).unique()
            raise self._unknown("rows of", f"{dataset}/{view}", known)
        first = (rows["rank"] == 1).fillna(False) | (rows["group"] == 1).fillna(False)
        return Leaderboard(rows[first.astype(bool)].reset_index(drop=True))

    def plot(self, metric: str) -> "Axes":
        """The rows' means of a metric with their 95 % intervals, in the order of the rows; of one ranking only.

        `axes.figure` is the picture that it stands in: `axes.figure.savefig("board.svg")`.
        """
        from vaebench.reporting.figures import intervals

        if metric not in self.metrics:
            raise self._unknown("metric", metric, self.metrics)
        rankings = self.table[list(RANKING)].drop_duplicates()
        if len(rankings) != 1:
            raise ValueError(f"a plot shows one ranking, and here are {len(rankings)}; filter(dataset=…, view=…) first")
        rows = [row for row in self.table.to_dict("records") if not pd.isna(row[metric])]
        if not rows:
            raise ValueError(f"no row here has a number for {metric}")
        dataset, view, measure, given_label = rankings.iloc[0]
        alone = tuple({**{str(name): cell for name, cell in row.items()}, "group": pd.NA} for row in rows)
        ranking = Section(dataset, view, measure, given_label, metric, alone)
        return intervals.draw(intervals.means(ranking, metric), f"{metric} on {ranking.title}").axes[0]

    def __repr__(self) -> str:
        return self._tabulated("simple")

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x: auto">{self._tabulated("html")}</div>'

    def _tabulated(self, form: str) -> str:
        columns, rows = self._readable()
        align = ["right" if name in self.metrics or name in WHOLE else "left" for name in columns]
        return tabulate(rows, columns, form, colalign=align if rows else None, disable_numparse=True)

    def to_markdown(self) -> str:
        """A pipe table with `mean ± half-width` for each metric; empty columns are left out."""
        columns, rows = self._readable()
        named = [
            [
                code_cell(cell) if name == "variant" else escape_markdown(cell)
                for name, cell in zip(columns, row, strict=True)
            ]
            for row in rows
        ]
        numbers = tuple(place for place, name in enumerate(columns) if name in self.metrics or name in WHOLE)
        return markdown_table([*map(escape_markdown, columns)], named, right=numbers)

    def to_latex(self) -> str:
        """A `tabular` of the same cells, for the package booktabs; what LaTeX would take for a command is escaped."""
        columns, rows = self._readable()
        align = ["right" if name in self.metrics or name in WHOLE else "left" for name in columns]
        return latex_table(columns, rows, align)

    def _readable(self) -> tuple[list[str], list[list[str]]]:
        kept = [name for name in (*TEXT[1:], *WHOLE) if (self.table[name].notna() & (self.table[name] != "")).any()]
        columns = [*kept, *(metric for metric in self.metrics if self.table[metric].notna().any())]
        cells = []
        for row in self.table.to_dict("records"):
            fixed = [ABSENT if pd.isna(row[name]) else str(row[name]) for name in kept]
            cells.append([*fixed, *(shown(row, metric) for metric in columns[len(kept) :])])
        return columns, cells

    def _column(self, name: str) -> pd.Series:
        if name not in self.table.columns:
            raise self._unknown("column", name, self.table.columns)
        return self.table[name]

    @staticmethod
    def _unknown(kind: str, name: str, valid: Iterable[str]) -> KeyError:
        near = get_close_matches(name, list(valid), n=1)
        suggestion = f" (did you mean {near[0]!r}?)" if near else ""
        return KeyError(f"this leaderboard has no {kind} {name!r}{suggestion}")


def latex_table(columns: list[str], rows: list[list[str]], align: list[str]) -> str:
    """A `tabular` for booktabs: cells escaped, the signs of numbers those of mathematics."""
    table = tabulate(rows, headers=columns, tablefmt="latex_booktabs", colalign=align, disable_numparse=True)
    signed = re.sub(r"(?<![\w-])-(?=\d)", "$-$", table)
    return signed.replace("±", r"$\pm$").replace(ABSENT, "--")


@dataclass(frozen=True)
class _Summary:
    """One row before it is ranked."""

    suite: str
    key: RowKey
    measure: str
    given: str
    stance: str
    seeds: int
    failed: int
    values: dict[str, dict[int, float]]
    """Metric → seed → value, of cells that are done and of models that did not explode."""
    displayed: dict[str, dict[int, float]]
    """The same with stale values and those at a cap, which are shown and never ranked."""

    @property
    def ranking(self) -> tuple[str, ...]:
        dataset, view, _ = self.key
        return dataset, view, self.measure, self.given

    def may_be_ranked(self, metric: str) -> bool:
        return self.failed == 0 and len(self.values.get(metric, {})) == self.seeds > 0

    def row(self, metrics: Iterable[str], rank: int | None, group: int | None) -> dict[str, Any]:
        dataset, view, variant = self.key
        row: dict[str, Any] = {
            "suite": self.suite,
            "dataset": dataset,
            "view": view,
            "measure": self.measure,
            "given": self.given,
            "variant": variant,
            "stance": self.stance,
            "rank": rank,
            "group": group,
            "seeds": self.seeds,
            "failed": self.failed,
        }
        for metric in metrics:
            values = list(self.displayed.get(metric, {}).values())
            if values:
                interval = statistics.estimate(values)
                row |= {metric: interval.mean, f"{metric}_low": interval.low, f"{metric}_high": interval.high}
        return row


def _summaries(suite: Suite, runs: pd.DataFrame, metrics: Iterable[str]) -> list[_Summary]:
    variants = {variant.name: variant for variant in suite.variants}
    done, displayed = compared_values(runs), values_by_seed(runs, (DONE, STALE))
    complete = _complete_cells(runs)
    return [
        _Summary(
            suite=suite.name,
            key=key,
            measure=measure_of(variants[key[2]], key[1]),
            given=given(variants[key[2]]),
            stance=variants[key[2]].stance,
            seeds=sum(complete[key].values()),
            failed=sum(not is_complete for is_complete in complete[key].values()),
            values=done[key],
            displayed=displayed[key],
        )
        for key in done
    ]


def _complete_cells(runs: pd.DataFrame) -> dict[RowKey, dict[int, bool]]:
    """Row → seed → whether every metric that applies has its number."""
    found: dict[RowKey, dict[int, bool]] = {}
    for run in each_row(runs):
        seeds = found.setdefault((run.dataset, run.view, run.variant), {})
        seeds[run.seed] = seeds.get(run.seed, True) and run.status in (DONE, NOT_APPLICABLE)
    return found


def _ranked_rows(suite: Suite, members: list[_Summary], metrics: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows of one ranking, best first; ties share a rank; then, in the order of the suite, what is not ranked."""
    metric = suite.rank_by.get(members[0].key[1])
    better = load_catalog().column(metric).better if metric else "none"
    if metric is None or better == "none":
        return [summary.row(metrics, None, None) for summary in members]
    by_seed = {
        summary.key: scores(summary.values[metric], better) for summary in members if summary.may_be_ranked(metric)
    }
    means = {key: statistics.estimate(list(found.values())).mean for key, found in by_seed.items()}
    ordered = sorted((summary for summary in members if summary.key in means), key=lambda summary: means[summary.key])
    numbers = groups([by_seed[summary.key] for summary in ordered])
    ascending = sorted(means.values())
    ranked = [
        summary.row(metrics, 1 + bisect.bisect_left(ascending, means[summary.key]), number)
        for summary, number in zip(ordered, numbers, strict=True)
    ]
    return ranked + [summary.row(metrics, None, None) for summary in members if summary.key not in means]

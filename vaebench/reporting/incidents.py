"""What went wrong, does not apply or must be known, each said once however many runs it concerns."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vaebench.reporting.content import Code, Phrase, listed, separated
from vaebench.reporting.runs import (
    DONE,
    FAILED,
    MISSING,
    NOT_APPLICABLE,
    STALE,
    MetricKey,
    exploded,
    values_by_seed,
)
from vaebench.reporting.tables import each_row
from vaebench.reporting.text import number
from vaebench.suite.expansion import expand
from vaebench.suite.suite import Suite

STATEMENT = re.compile(r"; (?!it |there )")
"""Between two statements of a note; one that speaks of the other stays with it."""
IN_PART = "for some of these numbers (runs.csv says which)"


@dataclass(frozen=True)
class Incident:
    """The same thing said of several runs."""

    status: str
    where: Phrase
    metrics: Phrase
    seeds: str
    """Empty where it holds of every seed or, of a remark, of all that was done; IN_PART where of some of that, and not
    by their seed."""
    note: str


def unfinished(runs: pd.DataFrame) -> list[Incident]:
    """What failed, is missing or stale, each said once however many seeds and metrics it concerns."""
    return _incidents(runs, lambda run: run.status in (FAILED, MISSING, STALE))


def failures(runs: pd.DataFrame) -> dict[MetricKey, str]:
    """Of which models a number failed → `5 of 5 models failed: diverged at step 208 … 303 of its training`."""
    asked = [run for run in each_row(runs) if run.status != NOT_APPLICABLE]
    failed = [run for run in asked if run.status == FAILED]
    statuses = _gathered(((_row(run), run.seed), run.status) for run in asked)
    models = _gathered((_key(run), run.seed) for run in asked)
    seeds = _gathered((_key(run), run.seed) for run in failed)
    scored_elsewhere = {_key(run) for run in failed if statuses[_row(run), run.seed] != (FAILED,)}
    notes = _gathered(((_key(run), _pattern(run.note)), run.note) for run in failed)
    said = _gathered((key, _joined([*alike])) for (key, _), alike in notes.items())
    what = {key: "gave no number" if key in scored_elsewhere else "failed" for key in seeds}
    return {key: f"{len(seeds[key])} of {len(models[key])} models {what[key]}: {'; '.join(said[key])}" for key in seeds}


def explosions(runs: pd.DataFrame) -> dict[MetricKey, str]:
    """Of which models a number exploded → `exploded at seed 0 (-1.329e+17)`."""
    found = {}
    for row, metrics in values_by_seed(runs).items():
        for metric, values in metrics.items():
            said = [f"at seed {seed} ({number(values[seed])})" for seed in sorted(exploded(values))]
            if said:
                found[*row, metric] = f"exploded {', '.join(said)}"
    return found


def not_applicable(runs: pd.DataFrame) -> list[Incident]:
    return _incidents(runs, lambda run: run.status == NOT_APPLICABLE)


def remarks(runs: pd.DataFrame) -> list[Incident]:
    """What must be known to read some of the numbers, each statement of a note by itself and once on a view.

    Where it does not hold of every number that the metrics, variants and seeds named together have, that is said.
    """
    done = [run for run in each_row(runs) if run.status == DONE]
    numbers = _gathered(((_row(run), run.metric), run.seed) for run in done)
    told = [(run, statement) for run in done if run.note for statement in STATEMENT.split(run.note)]
    everywhere = _gathered(_row(run) for run in each_row(runs))
    found = []
    for concerned in _gathered(zip(_texts(told), told, strict=True)).values():
        rows = dict.fromkeys(_row(run) for run, _ in concerned)
        metrics = dict.fromkeys(run.metric for run, _ in concerned)
        said = {(_row(run), run.metric, run.seed) for run, _ in concerned}
        all_done = {(row, name, seed) for row in rows for name in metrics for seed in numbers.get((row, name), ())}
        found.append(
            Incident(
                status=DONE,
                where=_places(rows, everywhere),
                metrics=listed([Code(name) for name in metrics]),
                seeds=_of_which(said, all_done),
                note=_joined([statement for _, statement in concerned]),
            )
        )
    return found


def _of_which(said: set[tuple[Any, str, int]], done: set[tuple[Any, str, int]]) -> str:
    """Of which of the numbers that are done a statement holds: all, those of some seeds, or some."""
    seeds = {seed for *_, seed in said}
    if said == done:
        return ""
    return seeds_text(seeds) if said == {number for number in done if number[-1] in seeds} else IN_PART


def impossible(suite: Suite) -> list[tuple[Phrase, str]]:
    """The pairs of variant and data set view that were not planned, by reason."""
    by_reason = _gathered((pair.reason, (pair.source, pair.variant)) for pair in expand(suite).impossible)
    return [(_places(pairs, everywhere={}), reason) for reason, pairs in by_reason.items()]


def seeds_text(seeds: Iterable[int]) -> str:
    ordered = sorted(seeds)
    return ("seed " if len(ordered) == 1 else "seeds ") + ", ".join(map(str, ordered))


def _incidents(runs: pd.DataFrame, concerns: Callable[[Any], Any]) -> list[Incident]:
    """The runs that `concerns` picks: those of one cell together, then of one row, then all of which the same is said.

    What differs only in its numbers (the step, the bytes) counts as the same within a data set view, and is shown with
    … between the least and the largest.
    """
    concerned = [run for run in each_row(runs) if concerns(run)]
    said_of = list(zip(_texts([(run, run.note) for run in concerned]), concerned, strict=True))
    notes = _gathered(((text, _row(run)), run.note) for text, run in said_of)
    by_cell = _gathered(((run.status, text, _row(run), run.seed), run.metric) for text, run in said_of)
    by_row = _gathered(((status, said, row, metrics), seed) for (status, said, row, seed), metrics in by_cell.items())
    asked = _gathered((_row(run), run.metric) for run in each_row(runs) if run.status != NOT_APPLICABLE)
    by_text = _gathered(
        ((status, said, () if metrics == asked.get(row) else metrics, seeds), row)
        for (status, said, row, metrics), seeds in by_row.items()
    )
    everywhere = _gathered(_row(run) for run in each_row(runs))
    every_seed = set(runs["seed"])
    return [
        Incident(
            status=status,
            where=_places(rows, everywhere),
            metrics=listed([Code(name) for name in metrics]) if metrics else Phrase("every metric"),
            seeds="" if set(seeds) == every_seed else seeds_text(seeds),
            note=_joined([note for row in rows for note in notes[said, row]]),
        )
        for (status, said, metrics, seeds), rows in by_text.items()
    ]


def _texts(told: list[tuple[Any, str]]) -> list[tuple[str, str]]:
    """Of each run and what is said of it: the words without numbers, and where, as numbers of two views are no range.

    What is said everywhere with the same numbers is said of no view.
    """
    variants = _gathered((_pattern(note), note) for _, note in told)
    return [
        (_pattern(note), "" if len(variants[_pattern(note)]) == 1 else f"{run.dataset}/{run.view}")
        for run, note in told
    ]


def _key(run: Any) -> MetricKey:
    return run.dataset, run.view, run.variant, run.metric


def _row(run: Any) -> tuple[str, str]:
    return f"{run.dataset}/{run.view}", run.variant


NUMBER = re.compile(r"(?:(?<!\w)[-+])?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")


def _pattern(note: str) -> str:
    return NUMBER.sub("…", note)


def _joined(notes: list[str]) -> str:
    """Notes that differ in their numbers as one, with the least and the largest: `4.2 … 6.0 of 100`."""
    found = [NUMBER.findall(note) for note in notes]
    ranges = iter([_range(place) for place in zip(*found, strict=True)])
    return NUMBER.sub(lambda _: next(ranges), notes[0])


def _range(numbers: tuple[str, ...]) -> str:
    least, largest = (choose(numbers, key=lambda text: float(text.replace(",", ""))) for choose in (min, max))
    return least if least == largest else f"{least} … {largest}"


def _gathered(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, tuple[Any, ...]]:
    """Key → its different values, both in the order in which they come."""
    found: dict[Any, dict[Any, None]] = {}
    for key, value in pairs:
        found.setdefault(key, {})[value] = None
    return {key: tuple(values) for key, values in found.items()}


def _places(rows: Iterable[tuple[str, str]], everywhere: dict[str, tuple[str, ...]]) -> Phrase:
    """`digits/grey` (vae, vae-mse); without names where it holds for every variant."""
    places = []
    for source, variants in _gathered(rows).items():
        complete = len(variants) > 1 and set(variants) == set(everywhere.get(source, ()))
        names = Phrase("every variant") if complete else separated([Code(name) for name in variants])
        places.append(Phrase(Code(source), " (", names, ")"))
    return listed(places)

"""Which figures a suite has: everything that applies to it, nothing whose data are missing."""

import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from vaebench.reporting.contrasts import contrast_tests
from vaebench.reporting.figures import (
    code_counts,
    code_training,
    curves,
    differences,
    intervals,
    latents,
    manifold,
    rate_distortion,
    reconstructions,
    samples,
    sharpness,
    stored,
    strips,
    style,
    traversals,
)
from vaebench.reporting.figures.figure import Figure, Written
from vaebench.reporting.figures.kept import Keeping
from vaebench.reporting.figures.scene import Place, Scene
from vaebench.reporting.runs import DONE, STALE, values_by_seed
from vaebench.reporting.sections import sections
from vaebench.reporting.tables import each_row
from vaebench.store.files import StoreError, replacing
from vaebench.store.folders import ResultsFolder
from vaebench.suite.suite import Suite

log = logging.getLogger(__name__)

OF_RANKINGS = (intervals.make, rate_distortion.make, sharpness.make)
OF_VARIANTS = (
    curves.make,
    samples.make,
    reconstructions.make,
    strips.make,
    latents.make,
    manifold.make,
    traversals.make_along,
    traversals.make_planes,
    traversals.make_categories,
    code_training.make,
    code_counts.make,
)
"""What shows one variant."""
OF_CONTRASTS = (code_training.make, code_counts.make)
"""What shows both sides of a contrast in one picture. Samples and strips have one scale everywhere, so there a question
shows those of either variant (vaebench.reporting.galleries), and a report of forty questions stays small."""


DRAWERS = {
    stored.drawer_name(drawer): drawer
    for drawer in (
        *(code_counts.draw, code_training.draw, curves.draw, differences.draw, intervals.draw, latents.draw),
        *(manifold.draw, rate_distortion.draw, reconstructions.draw, samples.draw, sharpness.draw, strips.draw),
        *(traversals.draw_along, traversals.draw_planes, traversals.draw_categories, traversals.draw_sweep),
    )
}
"""Name in the index of a published folder → what draws it."""


def figures(
    suite: Suite, results: ResultsFolder, runs: pd.DataFrame, leaderboard: pd.DataFrame, contrasts: pd.DataFrame
) -> Iterator[Figure]:
    """Overview, contrasts, variants, in the order of the suite. What cannot be made is said and left out."""
    taken: set[str] = set()
    for make in _makers(suite, results, runs, leaderboard, contrasts):
        try:
            figure = make()
        except Exception as error:  # a figure is never worth a report
            log.warning("a figure is left out (%s): %s: %s", _said(make), type(error).__name__, error)
            continue
        if figure is not None:
            name = _free(figure.name, taken)
            taken.add(name.lower())
            yield replace(figure, name=name)


def stored_figures(folder: Path) -> Iterator[Figure]:
    """The figures of a published folder, as `figures` made them once."""
    return stored.read_figures(folder, DRAWERS)


def write_figures(made: Iterable[Figure], folder: Path) -> list[Written]:
    """Write every picture and its data below `folder`, and remove those that an earlier report wrote and this one
    has no more.

    A figure that cannot be drawn is said and left out. Without matplotlib nothing is drawn and nothing removed.
    """
    if find_spec("matplotlib") is None:
        log.warning("no picture is drawn: matplotlib is not installed; pip install matplotlib")
        return []
    for path in (folder, folder / "data"):
        if path.is_symlink():
            raise StoreError(f"{path}: is a link, and pictures are written to plain folders only; remove it")
    written, kept, before = [], set(), stored.files_of(folder)
    for figure in made:
        try:
            drawn, path, data = _write(figure, folder)
        except Exception as error:  # a figure is never worth a report
            log.warning("the figure %s is left out: %s: %s", figure.name, type(error).__name__, error)
            continue
        kept |= {path, data}
        written.append(Written(drawn, path))
    stored.write_index([one.figure for one in written], folder)
    for path in before - kept:
        path.unlink(missing_ok=True)
    return written


def _makers(
    suite: Suite, results: ResultsFolder, runs: pd.DataFrame, leaderboard: pd.DataFrame, contrasts: pd.DataFrame
) -> "Iterator[functools.partial[Figure | None]]":
    """Everything that might be drawn; a maker finds out whether there is something to show."""
    scene = Scene(suite, Keeping.of(results, runs), values_by_seed(runs, (DONE, STALE)))
    for ranking in sections(suite, leaderboard):
        for make in OF_RANKINGS:
            yield functools.partial(make, scene, ranking)
    for source in suite.datasets:
        yield functools.partial(traversals.make_sweep, scene, source)
    tests = [(test, row.verdict) for test, row in zip(contrast_tests(suite, runs), each_row(contrasts), strict=True)]
    for number, contrast in enumerate(suite.contrasts, start=1):
        stem = f"contrast-{number}"
        for test, verdict in tests:
            if test.primary and test.contrast is contrast:
                yield functools.partial(differences.make, stem, test, verdict)
        sides = (contrast.theory_side[0], contrast.practice_side[0])
        for source in scene.sources(*sides) if sides[0] != sides[1] else ():
            place = Place(scene, source, sides, "contrast", contrast.question, stem)
            yield from _at(place, OF_CONTRASTS)
    for variant in suite.variants:
        for source in scene.sources(variant.name):
            place = Place(scene, source, (variant.name,), "variant", variant.name, variant.name)
            yield from _at(place, OF_VARIANTS)


def _at(
    place: Place, makers: Iterable[Callable[[Place], Figure | None]]
) -> "Iterator[functools.partial[Figure | None]]":
    for make in makers:
        yield functools.partial(make, place)


def _said(make: "functools.partial[Figure | None]") -> str:
    """Which kind of figure it is, and of what, for whoever has to find out what is wrong."""
    words = [make.func.__module__.rpartition(".")[2]]
    words += [subject.named for subject in make.args if isinstance(subject, Place)]
    return " of ".join(words)


def _free(name: str, taken: set[str]) -> str:
    """The name, or with a number behind it where another figure has it, in letters of either case."""
    candidates = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
    return next(candidate for candidate in candidates if candidate.lower() not in taken)


def _write(figure: Figure, folder: Path) -> tuple[Figure, Path, Path]:
    """The figure as it is stored, its picture's file and that of its data."""
    data = stored.write_data(figure, folder)
    kept = replace(figure, data=stored.read_data(data, stored.kinds_of(figure.data)))
    picture = kept.draw()
    path = folder / f"{figure.name}{'.png' if figure.is_image_grid else '.svg'}"
    content = style.png(picture) if figure.is_image_grid else style.svg(picture)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return kept, path, data

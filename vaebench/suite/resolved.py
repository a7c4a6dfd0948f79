"""A suite as a lock file tells it: somebody else may have written it, and it is used without being resolved again."""

import re

from vaebench.catalog.catalog import load_catalog
from vaebench.catalog.consistency import STANCES
from vaebench.store.shapes import Misshapen
from vaebench.suite.conditions import MOST_CELLS
from vaebench.suite.expansion import expand, requests
from vaebench.suite.schema import mistake_of_name
from vaebench.suite.suite import Contrast, Suite

VARIANT = re.compile(r"[A-Za-z0-9_][\w.+=,\[\]-]{0,199}", re.ASCII)
"""Names of variants, those of a grid included."""


UNUSABLE = (LookupError, TypeError, AttributeError, ValueError, OverflowError, RecursionError)
"""What comes of content that has the types of a suite and is none."""


def check_usable(suite: Suite) -> None:
    """Misshapen where a plan or a report of the suite could not be made."""
    _check_names(suite)
    try:
        _use(suite)
    except UNUSABLE as error:
        raise Misshapen(f"{type(error).__name__}: {error}") from error


def _check_names(suite: Suite) -> None:
    if what := mistake_of_name(suite.name):
        raise Misshapen(what)
    for variant in suite.variants:
        if not VARIANT.fullmatch(variant.name):
            raise Misshapen(f"{variant.name[:40]!r} is no name of a variant")
        if variant.stance not in STANCES:
            raise Misshapen(f"{str(variant.stance)[:40]!r} is no stance")
    if len(suite.variants) * len(suite.datasets) * len(suite.seeds) > MOST_CELLS:
        raise Misshapen(f"more than {MOST_CELLS:,} cells")


def _use(suite: Suite) -> None:
    """Look up in the catalog whatever a plan or a report looks up."""
    catalog = load_catalog()
    families = [catalog.metric_of(column) for column in suite.metrics]
    scored = {*suite.metrics, *(column for family in families for column in family.columns)}
    for column in suite.rank_by.values():
        catalog.column(column)
        if column not in scored:
            raise Misshapen(f"{column} ranks and is not scored")
    for contrast in suite.contrasts:
        _use_contrast(suite, contrast)
    asked: set[tuple[str, str]] = set()
    for planned in expand(suite).planned:
        place = (planned.cell.source, planned.variant)
        if place not in asked:
            asked.add(place)
            for request in requests(suite, planned):
                hash(request.key)
            hash(planned.cell.id)


def _use_contrast(suite: Suite, contrast: Contrast) -> None:
    catalog = load_catalog()
    for variant, metric in (contrast.theory_side, contrast.practice_side):
        suite.variant(variant)
        if metric:
            catalog.column(metric)
    if contrast.primary:
        catalog.column(contrast.primary)

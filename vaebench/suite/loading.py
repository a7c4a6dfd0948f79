"""From a suite file to a Suite, or to every mistake in it at once."""

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from vaebench.catalog.catalog import Catalog, load_catalog
from vaebench.suite.conditions import MOST_CELLS, resolve_budget, resolve_datasets, resolve_recipe, resolve_seeds
from vaebench.suite.contrasts import check_common_ground, named_contrasts
from vaebench.suite.mistakes import Findings, Mistake, Path, SuiteError, enumerated, nearest
from vaebench.suite.plain import plain
from vaebench.suite.schema import well_shaped
from vaebench.suite.scoring import Ground, covers, listed_metrics, resolve_ranking
from vaebench.suite.suite import Suite
from vaebench.suite.variants import resolve_variants
from vaebench.suite.yaml_source import Source, read_source

PACKAGE = FilePath(__file__).resolve().parent.parent
SUFFIXES = (".yaml", ".yml")


def load_suite(source: str | FilePath, *, seeds: int | None = None) -> Suite:
    """The suite in a file, or the shipped suite of this name; `seeds` takes the place of the file's own.

    Raises SuiteError with every mistake at once, in the order of the file.
    """
    path = _find(source)
    return resolve_suite(read_source(path, str(source) if FilePath(source) == path else str(path)), load_catalog(), seeds=seeds, path=path)

"""From a suite file to a Suite, or to every mistake in it at once."""

from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any

from vaebench.catalog.catalog import Catalog, load_catalog
from vaebench.plugins.loading import load_plugins
from vaebench.suite.batches import check_batch, check_images
from vaebench.suite.conditions import (
    MOST_CELLS,
    SEED_COUNT,
    resolve_budget,
    resolve_datasets,
    resolve_recipe,
    resolve_seeds,
)
from vaebench.suite.contrasts import check_common_ground, named_contrasts
from vaebench.suite.expected import resolve_expected
from vaebench.suite.figures import resolve_figures
from vaebench.suite.mapping_source import read_mapping
from vaebench.suite.mistakes import Findings, Mistake, SuiteError, enumerated, nearest
from vaebench.suite.plugged import bring_listed
from vaebench.suite.profiles import Reading, readings, united
from vaebench.suite.schema import well_shaped
from vaebench.suite.scoring import Ground, covers, listed_metrics, resolve_ranking
from vaebench.suite.suite import Suite
from vaebench.suite.trainers import check_recipe
from vaebench.suite.variants import resolve_variants
from vaebench.suite.yaml_source import Source, read_source

PACKAGE = FilePath(__file__).resolve().parent.parent


def load_suite(
    source: str | FilePath,
    *,
    seeds: int | None = None,
    profile: str | None = None,
    plugins: Iterable[str | FilePath] = (),
    trust_plugins: bool = False,
) -> Suite:
    """The suite in a file, or the shipped suite of this name; `seeds` takes the place of the file's own, `profile` is
    one of the suite's profiles or, where it has none, of the catalog's.

    `plugins` join the catalog first; those that the suite itself lists only where they are among them, or trusted.
    Raises SuiteError with every mistake at once, in the order of the file.
    """
    load_plugins(*plugins)
    path = _find(source)
    read = read_source(path, str(path))
    bring_listed(read.content, read.findings, path.parent, trust_plugins)
    return resolve_suite(read, load_catalog(), seeds=seeds, profile=profile, path=path)


def load_suite_mapping(
    mapping: Mapping[str, Any],
    *,
    seeds: int | None = None,
    profile: str | None = None,
    plugins: Iterable[str | FilePath] = (),
    trust_plugins: bool = False,
) -> Suite:
    """The suite that a mapping describes, with the keys of a suite file; paths begin at the folder at hand."""
    load_plugins(*plugins)
    read = read_mapping(mapping)
    bring_listed(read.content, read.findings, FilePath(), trust_plugins)
    return resolve_suite(read, load_catalog(), seeds=seeds, profile=profile)


def shipped() -> dict[str, FilePath]:
    """The suites that come with vaebench: name → file."""
    packaged = PACKAGE / "shipped" / "suites"
    folder = packaged if packaged.is_dir() else PACKAGE.parent / "suites"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def resolve_suite(
    source: Source,
    catalog: Catalog,
    *,
    seeds: int | None = None,
    profile: str | None = None,
    path: FilePath | None = None,
) -> Suite:
    """Everything looked up in the catalog and written out, under each profile of the suite; the one in force."""
    if seeds is not None and (what := SEED_COUNT.mistake(seeds)):
        raise SuiteError([Mistake("--seeds", None, "", what)])
    found = readings(well_shaped(source.content, source.findings), profile, catalog, source.findings)
    resolved: list[Suite | None] = []
    mistakes: dict[str | None, list[Mistake]] = {}
    for reading in found:
        findings = source.findings.under(reading.moved)
        resolved.append(_resolved(reading, catalog, findings, seeds, path))
        mistakes[reading.profile] = findings.mistakes()
    in_force = resolved[0]
    if any(mistakes.values()) or in_force is None:
        raise SuiteError(united(mistakes) if len(found) > 1 else mistakes[found[0].profile])
    return in_force


def _resolved(
    reading: Reading, catalog: Catalog, findings: Findings, seeds: int | None, path: FilePath | None
) -> Suite | None:
    """The suite under one profile; None where something is wrong, which is in `findings`."""
    content = reading.content
    datasets = resolve_datasets(content, catalog, findings)
    own_seeds = resolve_seeds(content, findings)
    recipe, recipe_name = resolve_recipe(content, catalog, findings)
    budget, budget_name = resolve_budget(content, catalog, findings)
    table = resolve_variants(content, datasets, catalog, findings, reading.sources)
    check_recipe(recipe, table.variants, catalog, findings)
    check_batch(recipe, table.variants, catalog, findings)
    check_images(recipe, datasets, catalog, findings)
    every = set(datasets) >= set(reading.sources) and not findings.touches(("datasets",))
    ground = Ground(catalog, datasets, table, datasets_are_sound=every)
    listed, budget = listed_metrics(content, budget, ground, findings)
    contrasts = named_contrasts(content, ground, findings)
    compared = [column for contrast in contrasts for column in contrast.columns()]
    rank_by, ranking = resolve_ranking(content, (*listed, *compared), ground, findings)
    check_common_ground(contrasts, rank_by, ground, findings)
    seed_numbers = own_seeds if seeds is None else tuple(range(seeds))
    _check_size(len(table.variants), len(datasets), len(seed_numbers), findings)
    metrics = listed
    for column in (*ranking, *compared):
        metrics += () if covers(metrics, column) else (column,)
    expected = resolve_expected(reading, metrics, ground, findings)
    figures = resolve_figures(reading, ground, findings)
    if len(findings):
        return None
    wanted = dict.fromkeys(metric.partition(".")[0] for metric in metrics)
    return Suite(
        name=content["suite"],
        description=" ".join(content.get("description", "").split()),
        datasets=datasets,
        seeds=seed_numbers,
        recipe=recipe,
        recipe_name=recipe_name,
        budget={family: budget[family] for family in wanted},
        budget_name=budget_name,
        variants=table.variants,
        metrics=metrics,
        rank_by=rank_by,
        contrasts=tuple(placed.contrast for placed in contrasts),
        expected=expected,
        figures=figures,
        profile=reading.profile,
        file=path,
    )


def _check_size(variants: int, datasets: int, seeds: int, findings: Findings) -> None:
    """A suite of more cells than anybody can train is a slip, and is refused before its cells are made."""
    cells = variants * datasets * seeds
    if cells > MOST_CELLS:
        what = f"seeds {seeds:,} × variants {variants:,} × data set views {datasets:,} = {cells:,} cells"
        findings.add(("seeds",), f"{what}; a suite has at most {MOST_CELLS:,}")


def _find(source: str | FilePath) -> FilePath:
    """The file that `source` means: a path, or the name of a shipped suite."""
    path = FilePath(source)
    known = shipped()
    try:
        if path.is_file():
            return path
        folder = path.is_dir()
    except OSError as error:
        raise SuiteError([Mistake(str(source), None, "", f"cannot be read: {error.strerror}")]) from error
    if str(source) in known:
        return known[str(source)]
    what = "is a folder, not a suite file" if folder else "no such file, and no suite of this name is shipped"
    near = nearest(str(source), known)
    shown_names = "" if near else f"; shipped: {enumerated(known)}"
    raise SuiteError([Mistake(str(source), None, "", what + shown_names, near)])

"""What a suite's numbers have lost or gained since a baseline."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vaebench.catalog.catalog import load_catalog
from vaebench.project.reports import opened
from vaebench.project.settings import UnknownName, known
from vaebench.store.files import StoreError
from vaebench.store.folders import ResultsFolder, SuiteFolder

if TYPE_CHECKING:
    from vaebench.reporting.baseline import Updated
    from vaebench.reporting.compare import Side
    from vaebench.reporting.gate import Gate, MinimumEffects


def gate(
    path: Path, baseline: Path, least: float | Mapping[str, float] = 0.0, metrics: Sequence[str] | None = None
) -> "Gate":
    """What a suite's present numbers have lost or gained since a baseline.

    `least` is the difference that does not matter yet: of every metric, or by metric, family, and `*` for the others.
    """
    from vaebench.reporting.baseline import baseline_file, present
    from vaebench.reporting.gate import gate as judge

    folder, suite, _ = opened(path)
    _refuse_own_leaderboard(folder, baseline_file(baseline))
    kept, effects = expected_by_gate(baseline, least, metrics)
    return judge(kept, present(suite, ResultsFolder(path.parent)), effects, metrics)


def expected_by_gate(
    baseline: Path, least: float | Mapping[str, float] = 0.0, metrics: Sequence[str] | None = None
) -> "tuple[Side, MinimumEffects]":
    """The baseline and the sizes that matter, refused where something is wrong with them: all that can be known before
    there are numbers."""
    from vaebench.reporting.baseline import read_baseline

    effects = _minimum_effects(least)
    kept = read_baseline(baseline)
    for metric in metrics or ():
        families = dict.fromkeys(name.partition(".")[0] for name in kept.board.metrics)
        known(f"metric in {kept.name}:", metric, dict.fromkeys((*families, *kept.board.metrics)))
    return kept, effects


def update_baseline(path: Path, baseline: Path) -> "Updated":
    """Let a suite's present numbers be the baseline, in place of what was one before."""
    from vaebench.reporting.baseline import baseline_file, present, update

    folder, suite, _ = opened(path)
    _refuse_own_leaderboard(folder, baseline_file(baseline))
    return update(baseline, present(suite, ResultsFolder(path.parent)))


def _refuse_own_leaderboard(folder: SuiteFolder, baseline: Path) -> None:
    if baseline.resolve() == folder.leaderboard.resolve():
        raise StoreError(f"{baseline}: is the suite's own, which every run writes anew; keep a baseline elsewhere")


def parsed_effects(texts: Sequence[str]) -> dict[str, float]:
    """Of `0.1`, for every metric that is not named, and `elbo=0.5`."""
    found = {}
    for text in texts:
        metric, _, size = text.rpartition("=")
        try:
            found[metric or "*"] = float(size)
        except ValueError:
            raise UnknownName(f"--min-effect {text}: must be a size such as 0.1, or METRIC=SIZE") from None
    return found


def _minimum_effects(least: float | Mapping[str, float]) -> "MinimumEffects":
    from vaebench.reporting.gate import MinimumEffects

    catalog, by_metric = load_catalog(), dict(least) if isinstance(least, Mapping) else {"*": least}
    for metric, size in by_metric.items():
        known("metric", metric, dict.fromkeys(("*", *catalog.metrics, *catalog.columns)))
        if not 0 <= size < math.inf:
            raise UnknownName(f"the minimum effect of {metric} must be 0 or more, is {size}")
    return MinimumEffects(by_metric.pop("*", 0.0), by_metric)

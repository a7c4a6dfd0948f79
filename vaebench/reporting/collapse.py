"""Posteriors that have collapsed: no latent is active, so a draw of the code says next to nothing about the image."""

import pandas as pd

from vaebench.reporting.content import Badge, Code, Phrase
from vaebench.reporting.incidents import seeds_text
from vaebench.reporting.runs import DONE, STALE, RowKey, values_by_seed

METRIC = "active_units"
BADGE = Badge("collapsed")


def collapsed(runs: pd.DataFrame) -> dict[RowKey, str]:
    """Row with a model of 0 active units → `every seed` or `seeds 1, 3`; empty where active units are not scored."""
    found = {}
    for row, metrics in values_by_seed(runs, (DONE, STALE)).items():
        values = metrics.get(METRIC, {})
        dead = [seed for seed, count in values.items() if count == 0]
        if dead:
            found[row] = "every seed" if len(dead) == len(values) else seeds_text(dead)
    return found


def with_badge(variant: str, where: str | None) -> Phrase:
    """The variant's name, and that it has collapsed where it has."""
    return Phrase(Code(variant), " ", BADGE) if where else Phrase(Code(variant))

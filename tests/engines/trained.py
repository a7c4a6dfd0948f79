"""A suite that really trains, small enough for every engine: two fleets of two seeds on the 8 × 8 digits."""

from typing import Any

from vaebench.engines.planning import Plan
from vaebench.store.folders import ResultsFolder
from vaebench.suite.loading import load_suite_mapping
from vaebench.suite.suite import Suite

Numbers = dict[tuple[str, int, str], float | None]


def digits(epochs: int = 2, **changes: Any) -> Suite:
    content = {
        "suite": "digits_everywhere",
        "datasets": ["digits/binary"],
        "seeds": 2,
        "recipe": {"extends": "quick", "epochs": epochs},
        "defaults": {"latent": 3, "network": {"hidden": [16]}},
        "variants": ["vae", {"name": "wide", "extends": "vae", "latent": 4}],
        "metrics": ["elbo", "kl", "log_likelihood", "active_units"],
    }
    return load_suite_mapping({**content, **changes})


def numbers(made: Plan, results: ResultsFolder) -> Numbers:
    """Every number of a plan's cells, with all its digits; None where there is no record."""
    found: Numbers = {}
    for planned in made.cells:
        record = results.cell(planned.cell.id).read_record()
        if record is None or record.failure:
            found[planned.variant, planned.cell.seed, "record"] = None
        for value in record.metrics if record else ():
            found[planned.variant, planned.cell.seed, value.metric] = value.value
    return found

"""A tiny suite and fabricated records for it."""

import hashlib
from collections.abc import Callable

import numpy as np

from vaebench.catalog.catalog import load_catalog
from vaebench.store.folders import ResultsFolder
from vaebench.store.record import Failure, MetricValue, Record
from vaebench.suite.expansion import Planned, expand, requests
from vaebench.suite.suite import Suite

SOURCES = {"data": "d1", "models": "m1", "objectives": "o1", "training": "t1"}
EVALUATOR = "e1"

TINY = {
    "suite": "tiny",
    "description": "Fabricated numbers; what a reader sees is the point.",
    "datasets": ["digits/grey", "digits/binary", "linear-gaussian/real"],
    "seeds": 5,
    "defaults": {"latent": 4},
    "variants": [
        {"extends": "vae-gaussian", "on": ["digits/grey"]},
        {"extends": "vae-mse", "on": ["digits/grey"]},
        "vae",
        {"extends": "beta-vae", "objective": {"beta": [0.25, 4]}, "on": ["digits/grey", "digits/binary"]},
        {"extends": "ppca", "on": ["digits/grey", "linear-gaussian/real"]},
    ],
    "metrics": [
        "elbo",
        "log_likelihood",
        "bits_per_dim",
        "kl",
        "active_units",
        "reconstruction",
        "probe_accuracy",
        "sharpness.mean_ratio",
        "train_seconds",
        "parameters",
    ],
    "contrasts": [
        {
            "question": "Does fixing σ(z) = 1 produce a more useful model?",
            "theory": "vae-gaussian",
            "practice": "vae-mse",
        },
        {"question": "What does β = 4 cost?", "theory": "vae", "practice": "beta-vae[beta=4]"},
        {"question": "How far is the ELBO from ln p(x)?", "theory": "vae:log_likelihood", "practice": "vae:elbo"},
    ],
}

CENTRES = {
    "elbo": -30.0,
    "log_likelihood": -28.0,
    "bits_per_dim": 3.0,
    "kl": 11.0,
    "active_units": 4.0,
    "reconstruction": -19.0,
    "reconstruction.squared_error": 2.5,
    "probe_accuracy.logistic": 0.9,
    "probe_accuracy.knn": 0.93,
    "sharpness.mean_ratio": 0.7,
    "train_seconds": 4.0,
    "parameters": 478592.0,
}
SHIFTS = {"vae-mse": 0.31, "beta-vae[beta=4]": 0.2, "beta-vae[beta=0.25]": 0.002, "ppca": 0.5}

Numbers = Callable[[Planned, str], float]


def plausible(planned: Planned, column: str) -> float:
    """A number that varies with the seed, unless the variant is fitted in closed form, and differs by variant."""
    centre = CENTRES[column]
    if column == "parameters":
        return centre
    word = f"{planned.cell.source} {planned.variant} {column} {planned.cell.seed}"
    generator = np.random.default_rng(int(hashlib.sha256(word.encode()).hexdigest()[:8], 16))
    noise = 0.0 if planned.variant == "ppca" else 0.01 * abs(centre) * generator.normal()
    worse = -1 if column in ("elbo", "log_likelihood", "reconstruction") else 1
    return centre + worse * SHIFTS.get(planned.variant, 0.0) * abs(centre) / 3 + noise


def done(suite: Suite, planned: Planned, numbers: Numbers = plausible, **changes) -> Record:
    """A record that answers every request of the suite; parts without a centre are said not to apply."""
    metrics = [
        MetricValue(
            column, request.metric, request.protocol, "done", numbers(planned, column), 0.01, fingerprint=EVALUATOR
        )
        if column in CENTRES
        else MetricValue(column, request.metric, request.protocol, "n/a", note="not fabricated", fingerprint=EVALUATOR)
        for request in requests(suite, planned)
        for column in load_catalog().metrics[request.metric].columns
    ]
    content = {
        "cell": planned.cell.id,
        "status": "done",
        "fingerprints": SOURCES,
        "metrics": metrics,
        "environment": {"torch": "2.15", "device": "cpu"},
    }
    return Record(**{**content, **changes})


def failed(planned: Planned, kind="diverged", message="the loss is not finite", step=120) -> Record:
    return Record(planned.cell.id, "failed", SOURCES, failure=Failure(kind, message, step))


def fabricate(
    suite: Suite,
    results: ResultsFolder,
    numbers: Numbers = plausible,
    instead: dict[str, Callable[[Planned], Record | None]] | None = None,
) -> None:
    """Write a record for every planned cell; `instead` says for some variants which record, or None for none."""
    for planned in expand(suite).planned:
        make = (instead or {}).get(planned.variant)
        record = make(planned) if make else done(suite, planned, numbers)
        if record is not None:
            results.cell(planned.cell.id).write_record(record)

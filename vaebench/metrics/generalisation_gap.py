"""How much better a model does on images that it was trained on than on others: train minus test."""

import math
from collections.abc import Callable
from typing import Any

from vaebench.metrics.answer import Answer, NotApplicable
from vaebench.metrics.calibrated import Decoder, own
from vaebench.metrics.elbo import lower_bounds
from vaebench.metrics.log_likelihood import log_likelihoods
from vaebench.metrics.subject import Subject
from vaebench.models.point import NoDensity

Of = Callable[[Subject, dict[str, Any], dict[str, Decoder]], list[Answer]]


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer | NotApplicable]:
    """Each number on as many training images as test images, a fixed random subset of either; an exact likelihood on
    all of either split."""
    populations = [subject.population({"split": split}) for split in ("train", protocol["split"])]
    common = {
        "split": protocol["split"],
        "seed": protocol["seed"],
        "images": min(protocol["images"], *populations),
    }
    elbo = {**common, "samples": protocol["elbo_samples"], "kl": "analytic"}
    log_likelihood = {**common, "samples": protocol["samples"]}
    return [
        _gap(subject, "elbo", lower_bounds, elbo),
        _gap(subject, "log_likelihood", log_likelihoods, log_likelihood),
    ]


def _gap(subject: Subject, part: str, of: Of, protocol: dict[str, Any]) -> Answer | NotApplicable:
    """The two sides are independent, so se² = se²_train + se²_test."""
    try:
        (train,) = of(subject, {**protocol, "split": "train"}, {"": own})
        (test,) = of(subject, protocol, {"": own})
    except NoDensity as reason:
        return NotApplicable(str(reason), part=part)
    stderr = None
    if train.stderr is not None and test.stderr is not None:
        stderr = math.hypot(train.stderr, test.stderr)
    details = {"train": train.value, "test": test.value}
    return Answer(train.value - test.value, stderr, part=part, note=test.note, details=details)

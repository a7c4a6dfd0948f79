"""−log₂ of the mass that the decoder gives to each pixel's bin of grey level, per pixel, importance-weighted."""

import math
from typing import Any

from vaebench.data.views import bins
from vaebench.metrics.answer import Answer, NotApplicable
from vaebench.metrics.importance import importance_weights, summary
from vaebench.metrics.subject import Subject
from vaebench.models.likelihoods.bins import log_bin_mass


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """−1/(N D ln 2) Σ_i ln 1/K Σ_k P(bin of x_i|z_k) p(z_k)/q(z_k|x_i)"""
    levels, view = subject.source.dataset.levels, subject.source.view_name
    if levels is None or view not in ("grey", "dequantised"):
        raise NotApplicable("bits per dimension need grey levels: views grey and dequantised")
    x = subject.images(protocol)
    weights = importance_weights(
        subject, x, protocol["samples"], protocol["seed"], lambda p, x: log_bin_mass(p, *bins(x, levels, view))
    )
    value, stderr, note, details = summary(weights, subject.population(protocol))
    unit = -1.0 / (subject.source.pixels * math.log(2.0))
    return [Answer(value * unit, None if stderr is None else stderr * -unit, note=note, details=details)]

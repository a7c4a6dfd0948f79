"""How much of what a model draws is no pixel."""

import math
from typing import Any

from vaebench.metrics.answer import Answer
from vaebench.metrics.generation import generated_for
from vaebench.metrics.subject import Subject


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """1/(N D) Σ_i #{d : x_id < 0 or x_id > 1} over draws x_i"""
    drawn = generated_for(subject, protocol).draw
    shares = ((drawn < 0.0) | (drawn > 1.0)).double().mean(1)
    return [Answer(float(shares.mean()), float(shares.std(unbiased=True)) / math.sqrt(len(shares)))]

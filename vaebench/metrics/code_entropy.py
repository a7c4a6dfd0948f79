"""H(q(c)), q(c) = 1/N Σ_i q(c|x_i): how evenly a categorical code is used."""

from typing import Any

from vaebench.metrics.answer import Answer
from vaebench.metrics.categories import category_probabilities, entropy
from vaebench.metrics.subject import Subject


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """At most ln K; 0 where every image has the same code."""
    marginal = category_probabilities(subject, subject.images(protocol)).mean(0)
    return [Answer(float(entropy(marginal)), 0.0, details={"marginal": marginal.tolist()})]

"""I_q(x; c), the information that a categorical code has of the image, exactly."""

from typing import Any

from vaebench.metrics.answer import Answer
from vaebench.metrics.categories import category_probabilities, information
from vaebench.metrics.subject import Subject


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """1/N Σ_i KL(q(c|x_i) ‖ q(c)), q(c) the mean over the same N images."""
    probabilities = category_probabilities(subject, subject.images(protocol))
    return [Answer(information(probabilities), 0.0, part="code")]

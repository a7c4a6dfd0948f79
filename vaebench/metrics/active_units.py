"""#{u : Var_x(E_q(z|x)[z_u]) > 0.01} (Burda et al. 2016)"""

from typing import Any

from vaebench.metrics.answer import Answer
from vaebench.metrics.subject import Subject


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """The variance over the images of the split, with divisor N − 1."""
    spread = subject.codes(subject.images(protocol)).double().var(0, unbiased=True)
    active = spread > protocol["threshold"]
    return [Answer(float(active.sum()), 0.0, details={"variance_of_means": spread.tolist()})]

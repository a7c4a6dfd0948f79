"""#{u : Var_x(E_q(z|x)[z_u]) > 0.01} (Burda et al. 2016)

A category counts as one latent, however many numbers it is written in, and is active where I_q(x; c) > 0.01 nats,
the exact mutual information over the images of the split.
"""

from typing import Any

from vaebench.metrics.answer import Answer, NotApplicable, told_numbers
from vaebench.metrics.categories import information
from vaebench.metrics.subject import Subject
from vaebench.models.mixed import category_of
from vaebench.models.point import Point


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer]:
    """The variance over the images of the split, with divisor N − 1.

    Where E_q takes draws, their noise is no activity: the covariance of two independent estimates is the variance.
    """
    images = subject.images(protocol)
    first = next(subject.blocks(images[:1], 1))
    q = first.model.posterior(first.x)
    if isinstance(q, Point):
        raise NotApplicable("q is a point")
    means, again = (told_numbers(subject.codes(images, *words), "E_q[z]").double() for words in ((), ("again",)))
    details = {}
    category = category_of(q)
    if category is not None:
        details["information_of_category"] = information(means[:, -category.noise_size :])
        means, again = (codes[:, : -category.noise_size] for codes in (means, again))
    covariance = ((means - means.mean(0)) * (again - again.mean(0))).sum(0) / (len(means) - 1)
    spread = covariance.tolist()
    active = sum(amount > protocol["threshold"] for amount in (*spread, *details.values()))
    return [Answer(float(active), 0.0, details={"variance_of_means": spread, **details})]

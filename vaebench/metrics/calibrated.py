"""The decoders that a model is scored with: its own, and the same at the σ that fits, where σ is a constant somebody
chose. Squared error alone means σ = 1, which few who use it meant."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaebench.metrics.answer import Answer, NotApplicable
from vaebench.metrics.importance import Given, Weights, importance_weights
from vaebench.metrics.subject import Subject
from vaebench.models.calibration import mean_squared_error
from vaebench.models.likelihoods.gaussian import ChosenSigma

Decoder = Callable[[Distribution], Distribution]
"""What is scored in place of the model's p(x|z), given that."""
LogDensity = Callable[[Distribution, Tensor], Tensor]
"""(p(x|z), x) → a log density of x; (…, draw, image)"""

CALIBRATED = "calibrated"


def own(p: Distribution) -> Distribution:
    """p(x|z) as the model has it."""
    return p


def decoders(subject: Subject) -> dict[str, Decoder]:
    """Part of the metric → decoder. The calibrated one has σ² = the mean squared error of a training pixel."""
    head = getattr(subject.model, "likelihood_head", None)
    if not isinstance(head, ChosenSigma):
        return {"": own}
    return {"": own, CALIBRATED: lambda p: head.with_sigma(p, subject.once(training_error).sqrt())}  # type: ignore[arg-type]


def training_error(subject: Subject) -> Tensor:
    """Squared error of a training pixel, 1/(N D) Σ_i ‖x_i − E[x|z_i]‖² with z_i ~ q(z|x_i); ()"""
    images = subject.split("train")
    return mean_squared_error(subject.model, images.x, images.y, "calibration")


def scored(decoders: dict[str, Decoder], log_density: LogDensity) -> LogDensity:
    """(p(x|z), x) → `log_density` of x under every decoder; (decoder, draw, image)"""
    return lambda p, x: torch.stack([log_density(decoder(p), x) for decoder in decoders.values()])


def weighted(
    subject: Subject,
    protocol: dict[str, Any],
    decoders: dict[str, Decoder],
    log_density: LogDensity,
    given: Given | None = None,
) -> dict[str, Weights]:
    """Importance weights under every decoder: on the same draws or, where q is refined, each on draws of its own q*,
    since another decoder has another posterior."""
    together = [decoders] if not protocol.get("refine", 0) else [{name: one} for name, one in decoders.items()]
    found: dict[str, Weights] = {}
    for part in together:
        weights = importance_weights(
            subject,
            subject.images(protocol),
            protocol["samples"],
            protocol["seed"],
            scored(part, log_density),
            given,
            protocol.get("defensive", 0.0),
            protocol.get("refine", 0),
        )
        found |= dict(zip(part, weights.unbind(), strict=True))
    return found


def with_reason(answers: Sequence[Answer]) -> list[Answer | NotApplicable]:
    """The answers, and why there is no calibrated one where there is none."""
    if any(answer.part == CALIBRATED for answer in answers):
        return list(answers)
    return [*answers, NotApplicable("its σ is not a constant that was chosen", part=CALIBRATED)]

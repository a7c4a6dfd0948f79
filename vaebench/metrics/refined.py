"""A q of its own for each image, of the family of the model's q(z|x), found by ascending the image's ELBO.

Every family here is drawn as z = T(ε), ε ~ N(0, I), where T, an affine map or a flow, is what the encoder made of the
image. The refined q draws z = T(m + A ε). With A diagonal or triangular these are all diagonal or all full Gaussians,
of a flow all diagonal Gaussians before its steps, which are held, and with A = I the mean alone is free. At m = 0 and
A = I it is q(z|x), so m and A are in units of q's own spread.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import log_softmax

from vaebench.metrics.answer import NotApplicable
from vaebench.metrics.code_parts import code_parts, log_joint_by_category
from vaebench.metrics.draws import from_noise_form
from vaebench.models.contract import LatentVariableModel
from vaebench.models.distributions import DiagonalNormal, FromNoise, FullNormal
from vaebench.models.flows import InverseAutoregressive
from vaebench.models.mixed import OneHot
from vaebench.models.point import Point
from vaebench.models.posteriors.full_gaussian import strictly_lower

Parameters = dict[str, Tensor]
"""Those that are free, of: `shift`, m, (image, latent); `log_scale`, ln diag A, (image, latent); `below`, A below its
diagonal, row by row, (image, D (D − 1)/2); `logits` of the category, (image, category)."""


FLAT = 0.1
"""Nats a unit of a parameter. Adam's steps shorten where a gradient is less, so that the ascent comes to rest, and a q
that is the posterior stays where it is."""
MEMORY = (0.9, 0.99)
"""Of Adam for gradients and their squares, which are large only at the beginning."""


class Terms(NamedTuple):
    """What a draw of z says of each image, a category being summed over; (draw, image)."""

    bound: Tensor
    """Σ_c q(c) (ln p(x, z, c) − ln q(z, c)), whose mean is the ELBO"""
    log_weight: Tensor
    """ln Σ_c p(x, z, c) − ln q(z); the mean of its exponential is p(x)"""


@dataclass(frozen=True)
class Family:
    """q(z|x) of some images, and which of its parameters are free."""

    continuous: FromNoise
    category: OneHot | None
    free: tuple[str, ...]

    def start(self, x: Tensor) -> Parameters:
        """q(z|x) itself; x: (image, pixel)"""
        latents = self.continuous.noise_size
        sizes = {"shift": latents, "log_scale": latents, "below": latents * (latents - 1) // 2}
        zeros = {name: x.new_zeros(len(x), sizes[name]) for name in self.free}
        return zeros if self.category is None else {**zeros, "logits": self.category.log_probs}

    def draw(self, parameters: Parameters, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z = T(ε'), ε' = m + A ε, and ln q(z) = ln q(z|x) + ½ ‖ε'‖² − ½ ‖ε‖² − Σ_d ln A_dd; noise ε: (draw, image, ·).

        In the density ε = A⁻¹ (ε' − m) with m and A held: their gradient through it vanishes in expectation, and
        without it what is left vanishes altogether where q is the posterior (Roeder, Wu & Duvenaud 2017).
        """
        moved = _moved(parameters, noise)
        z = self.continuous.from_noise(moved)
        held = {name: value.detach() for name, value in parameters.items()}
        noise = _moved_back(held, moved)
        log_density: Tensor = self.continuous.log_prob(z)  # type: ignore[attr-defined]
        log_density = log_density + 0.5 * (moved.square() - noise.square()).sum(-1)
        return z, log_density - held["log_scale"].sum(-1) if "log_scale" in held else log_density


def family(q: Distribution, spread_is_free: bool) -> Family:
    """That of q(z|x); `spread_is_free` is false where one number is the σ of every image and latent."""
    if isinstance(q, Point):
        raise NotApplicable("q is a point")
    continuous, category = code_parts(q)
    known = from_noise_form(continuous)
    if isinstance(known, FullNormal):
        return Family(known, category, ("shift", "log_scale", "below"))
    if isinstance(known, DiagonalNormal | InverseAutoregressive):
        return Family(known, category, ("shift", "log_scale") if spread_is_free else ("shift",))
    raise NotApplicable(f"how to refine a {type(continuous).__name__} image by image is not known here")


def terms(
    model: LatentVariableModel, prior: Distribution, x: Tensor, of: Family, parameters: Parameters, noise: Tensor
) -> Terms:
    """At draws of the refined q; noise: (draw, image, latent)"""
    continuous, category = code_parts(prior)
    z, log_density = of.draw(parameters, noise)
    log_joint = log_joint_by_category(model, category, z, x)
    log_ratio = continuous.log_prob(z) - log_density
    log_weight = log_joint.logsumexp(0) + log_ratio
    if "logits" not in parameters:
        return Terms(log_weight, log_weight)
    log_category = log_softmax(parameters["logits"], dim=-1).mT.unsqueeze(1)
    return Terms((log_category.exp() * (log_joint - log_category)).sum(0) + log_ratio, log_weight)


def best_logits(
    model: LatentVariableModel, prior: Distribution, x: Tensor, of: Family, parameters: Parameters, noise: Tensor
) -> Tensor:
    """E_q(z)[ln p(x, z, c)] less what does not depend on c, at each draw: beside this q(z) no q(c) exceeds the one of
    their mean. Where a category is all but certain, its gradient vanishes long before that is reached.

    (draw, image, category)
    """
    z, _ = of.draw(parameters, noise)
    return log_joint_by_category(model, code_parts(prior)[1], z, x).movedim(0, -1)


def ascended(
    bound: Callable[[Parameters, int], Tensor], start: Parameters, steps: int, rate: float
) -> tuple[Parameters, Tensor]:
    """The parameters after `steps` steps of Adam, its rate falling linearly to 0, and the bound at each step.

    bound: (parameters, step) → (image,), an estimate of each image's ELBO. No image feels another's gradient, and
    nothing but the parameters gets any. Bounds: (step, image).
    """
    parameters = {name: value.clone().requires_grad_() for name, value in start.items()}
    optimiser = torch.optim.Adam(parameters.values(), lr=rate, betas=MEMORY, eps=FLAT)
    seen = []
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * (1.0 - step / steps)
        with torch.enable_grad():
            reached = bound(parameters, step)
            gradients = torch.autograd.grad(-reached.sum(), list(parameters.values()))
        for value, gradient in zip(parameters.values(), gradients, strict=True):
            value.grad = gradient
        optimiser.step()
        seen.append(reached.detach())
    return {name: value.detach() for name, value in parameters.items()}, torch.stack(seen)


def factor(parameters: Parameters) -> Tensor:
    """A, lower triangular; (image, latent, latent)"""
    return torch.diag_embed(parameters["log_scale"].exp()) + strictly_lower(parameters["below"])


def _moved(parameters: Parameters, noise: Tensor) -> Tensor:
    """m + A ε"""
    if "below" in parameters:
        return parameters["shift"] + (factor(parameters) @ noise.unsqueeze(-1)).squeeze(-1)
    if "log_scale" in parameters:
        return parameters["shift"] + parameters["log_scale"].exp() * noise
    return parameters["shift"] + noise


def _moved_back(parameters: Parameters, moved: Tensor) -> Tensor:
    """A⁻¹ (ε' − m)"""
    centred = moved - parameters["shift"]
    if "below" in parameters:
        columns = torch.linalg.solve_triangular(factor(parameters), centred.movedim(0, -1), upper=False)
        return columns.movedim(-1, 0)
    return centred / parameters["log_scale"].exp() if "log_scale" in parameters else centred

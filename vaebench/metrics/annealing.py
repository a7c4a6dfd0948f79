"""Annealed importance sampling (Neal 2001) of many images at once, with Hamiltonian transitions.

The targets f_β(z) = p(z) p(x|z)^β lead from the prior, β = 0, to the posterior, β = 1. Chains run in parallel: z is
(chain, image, latent), a density (chain, image). Nothing here knows a model, only two log densities as functions of z.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vaebench.data import streams
from vaebench.metrics.draws import stream_of

LogDensity = Callable[[Tensor], Tensor]
"""(chain, image, latent) → (chain, image)"""

STEEPNESS = 4.0
"""δ of the sigmoidal schedule (Wu et al. 2017)."""
FIRST_GAIN = 0.01
"""Nats by which chains may part in the first bridge."""
WIDEST = 1e12
"""Nats; what is farther apart, or infinitely far, counts as this."""
ACCEPTANCE = 0.65
"""The share of accepted proposals at which Hamiltonian transitions get farthest for their cost (Neal 2011)."""
FIRST_STEP_SIZE = 0.3
"""Where tuning starts."""
GAIN, DRIFT = 0.3, 0.03
"""How fast the logarithm of a step size follows the acceptance, and its rate of change does."""
JITTER = 0.3
"""Step sizes vary by up to this share, so that no trajectory is as long as an orbit and returns to where it began."""


class Place(NamedTuple):
    """Where chains are. Both densities and gradients are kept, so that moving β costs no evaluation."""

    z: Tensor
    """(chain, image, latent)"""
    log_prior: Tensor
    """(chain, image), float64 as are all densities"""
    log_likelihood: Tensor
    prior_gradient: Tensor
    """(chain, image, latent)"""
    likelihood_gradient: Tensor

    def log_target(self, beta: Tensor) -> Tensor:
        """ln f_β(z) = ln p(z) + β ln p(x|z); beta: (image,)"""
        return self.log_prior + beta * self.log_likelihood

    def force(self, beta: Tensor) -> Tensor:
        """∇_z ln f_β(z)"""
        return self.prior_gradient + beta.to(self.z.dtype).unsqueeze(-1) * self.likelihood_gradient

    def where(self, chosen: Tensor, other: "Place") -> "Place":
        """This place for the chains that are `chosen`, the other for the rest; chosen: (chain, image)"""
        pairs = zip(self, other, strict=True)
        return Place(*(torch.where(chosen.reshape(*chosen.shape, *(1,) * (a.dim() - 2)), a, b) for a, b in pairs))


@dataclass(frozen=True)
class Densities:
    """ln p(z) and ln p(x|z), the images held fixed."""

    log_prior: LogDensity
    log_likelihood: LogDensity

    def at(self, z: Tensor) -> Place:
        """One pass through the decoder and one back, with respect to z alone."""
        prior, likelihood = _with_gradient(self.log_prior, z), _with_gradient(self.log_likelihood, z)
        return Place(z, prior[0], likelihood[0], prior[1], likelihood[1])


class Shock(NamedTuple):
    """The random numbers of one transition."""

    momentum: Tensor
    """Standard normal; (chain, image, latent)"""
    jitter: Tensor
    """Uniform on [−1, 1]; (chain, image)"""
    threshold: Tensor
    """Uniform on [0, 1); (chain, image)"""


@dataclass(frozen=True)
class Shocks:
    """Those of a run: a function of each image's stream and the number of the transition."""

    keys: Tensor
    """(image,)"""

    def of(self, number: int, z: Tensor) -> Shock:
        """Those of the `number`-th transition of chains at z."""
        chains, _, latents = z.shape
        first = number * chains
        momentum = streams.normal(stream_of(self.keys, "momentum"), first, chains, latents, z.dtype)
        uniforms = streams.uniform(stream_of(self.keys, "uniforms"), first, chains, 2, torch.float64)
        return Shock(momentum, 2.0 * uniforms[..., 0] - 1.0, uniforms[..., 1])


class Run(NamedTuple):
    """What chains bring home."""

    log_weights: Tensor
    """(chain, image), float64"""
    acceptance: Tensor
    """Mean acceptance probability of an image's transitions; (image,), NaN where there were none"""


def schedule(bridges: int, log_likelihoods: Tensor) -> Tensor:
    """0 = β_0 < … < β_T = 1 of each image, given ln p(x|z) at some z ~ p(z), (draw, image); (T + 1, image), float64.

    s_t runs from 0 to 1 like sigmoid(δ (2t/T − 1)) and β_t = s_t^p. Where s_1 times the range of ln p(x|z) is more
    than 0.01 nats, p > 1 brings it down to that: under a decoder with small σ, draws from the prior are millions of
    nats apart. The draws must be none of those that are annealed, like those that tune the step sizes.
    """
    s = torch.sigmoid(STEEPNESS * torch.linspace(-1.0, 1.0, bridges + 1, dtype=torch.float64))
    s = ((s - s[0]) / (s[-1] - s[0])).to(log_likelihoods.device).unsqueeze(-1)
    if bridges == 1:
        return s.expand(2, log_likelihoods.shape[1])
    spread = log_likelihoods.double().amax(0) - log_likelihoods.double().amin(0)
    power = torch.log(FIRST_GAIN / spread.nan_to_num(WIDEST).clamp(FIRST_GAIN, WIDEST)) / s[1].log()
    return s ** power.clamp_min(1.0)


def leapfrog(
    densities: Densities, start: Place, momentum: Tensor, step_size: Tensor, beta: Tensor, count: int
) -> tuple[Place, Tensor]:
    """Half a step of p, then z and p in turn, half a step of p: p += ε ∇ ln f_β(z), z += ε p; step_size: (…, 1).

    Run again from where it ended with −p, it returns to where it began, and it preserves volume in (z, p).
    """
    place = start
    momentum = momentum + 0.5 * step_size * place.force(beta)
    for number in range(count):
        place = densities.at(place.z + step_size * momentum)
        momentum = momentum + (0.5 if number == count - 1 else 1.0) * step_size * place.force(beta)
    return place, momentum


def transition(
    densities: Densities, start: Place, beta: Tensor, step_size: Tensor, count: int, shock: Shock
) -> tuple[Place, Tensor]:
    """A Hamiltonian transition, under which f_β is invariant and which is its own reversal; beta, step_size: (image,).

    The end of the trajectory is accepted with probability min(1, e^{H − H'}), H = −ln f_β(z) + ½ ‖p‖². Where the
    trajectory ran off and H' is not a number, it is not accepted. Returns that probability too; (chain, image).
    """
    sizes = (step_size * (1.0 + JITTER * shock.jitter)).to(start.z.dtype).unsqueeze(-1)
    proposed, momentum = leapfrog(densities, start, shock.momentum, sizes, beta, count)
    before = start.log_target(beta) - 0.5 * shock.momentum.double().square().sum(-1)
    after = proposed.log_target(beta) - 0.5 * momentum.double().square().sum(-1)
    acceptance = torch.exp((after - before).clamp_max(0.0)).nan_to_num(0.0)
    return proposed.where(shock.threshold < acceptance, start), acceptance


def tuned_step_sizes(densities: Densities, start: Place, betas: Tensor, count: int, shocks: Shocks) -> Tensor:
    """A step size for each inner β and image, found by a preliminary run of chains of its own; (bridge − 1, image).

    After each transition the surplus s = a/0.65 − 1 of the acceptance a, averaged over an image's chains, moves ln ε
    and its rate of change r: r += DRIFT · s, ln ε += r + GAIN · s. So ε keeps up while f_β narrows. The runs that count
    take the step sizes as they are: had they tuned their own, a transition would depend on the past of its chain, f_β
    would not be invariant under it, and the weights would no longer be unbiased.
    """
    place = start
    log_size = torch.full(start.z.shape[1:2], math.log(FIRST_STEP_SIZE), dtype=torch.float64, device=start.z.device)
    rate = torch.zeros_like(log_size)
    sizes = log_size.new_empty(len(betas) - 2, len(log_size))
    for number, beta in enumerate(betas[1:-1]):
        place, acceptance = transition(densities, place, beta, log_size.exp(), count, shocks.of(number, place.z))
        surplus = acceptance.mean(0) / ACCEPTANCE - 1.0
        rate = rate + DRIFT * surplus
        log_size = log_size + rate + GAIN * surplus
        sizes[number] = log_size.exp()
    return sizes


def anneal(densities: Densities, start: Place, betas: Tensor, step_sizes: Tensor, count: int, shocks: Shocks) -> Run:
    """ln w = Σ_t (β_{t+1} − β_t) ln p(x|z_t), where z_0 is `start` and z_t comes from z_{t−1} by a transition at β_t.

    From draws of f_{β_0}, E[w] = ∫ f_{β_T} / ∫ f_{β_0}. So with 0 = β_0 < … < β_T = 1 and z_0 ~ p(z) it is p(x), and
    E[ln w] ≤ ln p(x). With the same β and step sizes in reverse and z_0 ~ p(z|x) it is 1/p(x), and
    −E[ln w] ≥ ln p(x) (Grosse, Ghahramani & Adams 2015). step_sizes: (bridge − 1, image), of the inner β in turn.
    """
    place = start
    log_weights = (betas[1] - betas[0]) * place.log_likelihood
    total = torch.zeros_like(log_weights)
    for number, beta in enumerate(betas[1:-1]):
        place, acceptance = transition(densities, place, beta, step_sizes[number], count, shocks.of(number, place.z))
        log_weights = log_weights + (betas[number + 2] - beta) * place.log_likelihood
        total = total + acceptance
    return Run(log_weights, total.mean(0) / (len(betas) - 2))


def log_mean(log_weights: Tensor) -> Tensor:
    """ln 1/C Σ_c w_c; (chain, image) → (image,)"""
    return log_weights.logsumexp(0) - math.log(len(log_weights))


def _with_gradient(log_density: LogDensity, z: Tensor) -> tuple[Tensor, Tensor]:
    """Value, in float64, and gradient; zero where the density does not depend on z."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        value = log_density(z)
        if not value.requires_grad:
            return value.double(), torch.zeros_like(z)
        (gradient,) = torch.autograd.grad(value.sum(), z, allow_unused=True)
    return value.detach().double(), torch.zeros_like(z) if gradient is None else gradient.detach()

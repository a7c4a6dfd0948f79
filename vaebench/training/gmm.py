"""Gaussian mixtures by expectation and maximisation (Beaulac 2019 §2; Serdega 2019 §2.4)."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vaebench.data import streams
from vaebench.data.dataset import Shape
from vaebench.models.classical.gmm import DiagonalMixture, FullMixture, GaussianMixture
from vaebench.training.fitted import Fitted, Stop, ascend, never

MIXTURES: dict[str, type[GaussianMixture]] = {"gaussian": DiagonalMixture, "gaussian-full": FullMixture}
"""Likelihood → mixture."""

BLOCK_IMAGES = 4096
"""Images whose products with a weight are held at once."""


class MixtureByEm:
    """E and M steps in turn from k-means++ centres, with as many components as latents; no σ is below its floor."""

    def model(self, choices: dict[str, Any], shape: Shape) -> GaussianMixture:
        return MIXTURES[choices["likelihood"]["name"]](shape.pixels, choices["latent"])

    @torch.no_grad()
    def fit(self, choices: dict[str, Any], x: Tensor, seed: int, should_stop: Stop = never) -> Fitted:
        x, chosen, floor = x.double(), choices["objective"], choices["likelihood"]["sigma_floor"]
        model = self.model(choices, Shape(x.shape[1])).to(x)
        start(model, x, seed, floor)

        def step(expected: Responsibilities) -> tuple[Responsibilities, float]:
            maximise(model, x, expected.log_gamma, floor)
            expected = expectation(model, x)
            return expected, float(expected.log_prob.mean())

        curve = ascend(step, expectation(model, x), chosen["iterations"], chosen["tolerance"], should_stop)
        return Fitted(model, [-value for value in curve])


class Responsibilities(NamedTuple):
    """What the E step finds."""

    log_gamma: Tensor
    """ln p(z = k|x_n); (image, component)"""
    log_prob: Tensor
    """ln p(x_n); (image,)"""


def expectation(model: GaussianMixture, x: Tensor) -> Responsibilities:
    """ln γ_nk = ln π_k + ln N(x_n; μ_k, Σ_k) − ln p(x_n) with p(x_n) = Σ_j π_j N(x_n; μ_j, Σ_j).

    The sum runs over the components' own parameters; Beaulac's eq. 6 has N_{θ_k} in every term.
    """
    joint = model.joint_log_prob(x)
    return Responsibilities(joint.log_softmax(-1), joint.logsumexp(-1))


def maximise(model: GaussianMixture, x: Tensor, log_gamma: Tensor, floor: float) -> None:
    """N_k = Σ_n γ_nk; π_k = N_k/N; μ_k = 1/N_k Σ_n γ_nk x_n; Σ_k = 1/N_k Σ_n γ_nk (x_n − μ_k)(x_n − μ_k)ᵀ.

    γ_nk/N_k is taken in log space, so a component that nearly died keeps a mean. Variances (eigenvalues of a full
    covariance) below floor² are raised to it, which is the maximum among the Σ ⪰ floor² I: ln p(x) never falls.
    """
    log_count = log_gamma.logsumexp(0)
    shares = (log_gamma - log_count).exp()
    model.log_weights.copy_(log_count - math.log(len(x)))
    model.means.copy_(shares.mT @ x)
    set_spreads(model, x, shares, model.means, floor)


def set_spreads(model: GaussianMixture, x: Tensor, shares: Tensor, means: Tensor, floor: float) -> None:
    """Σ_k = Σ_n s_nk x_n x_nᵀ − m_k m_kᵀ in the form that the mixture has; shares s: (image, component), each column
    sums to one; means m: (component, pixel)"""
    if isinstance(model, FullMixture):
        for k, mean in enumerate(means):
            moment = sum(
                ((block * weight).mT @ block for block, weight in images(x, shares[:, k : k + 1])), -mean.outer(mean)
            )
            model.set_factor(k, floored_factor(moment, floor))
    elif isinstance(model, DiagonalMixture):
        model.sigma.copy_((shares.mT @ x.square() - means.square()).clamp_min(floor**2).sqrt())


def images(x: Tensor, weights: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Some images at a time, with their weights."""
    return zip(x.split(BLOCK_IMAGES), weights.split(BLOCK_IMAGES), strict=True)


def floored_factor(covariance: Tensor, floor: float) -> Tensor:
    """L with L Lᵀ = V max(Λ, floor²) Vᵀ, by the QR of max(Λ, floor²)^½ Vᵀ; (pixel, pixel), lower triangular"""
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    root = eigenvalues.clamp_min(floor**2).sqrt().unsqueeze(-1) * vectors.mT
    upper = torch.linalg.qr(root).R
    return (upper * upper.diagonal().sign().unsqueeze(-1)).mT


def start(model: GaussianMixture, x: Tensor, seed: int, floor: float) -> None:
    """Equal weights, k-means++ centres, and for all components the spread of the images about their nearest centre."""
    centres = spread_out_centres(x, len(model.means), seed)
    model.log_weights.fill_(-math.log(len(centres)))
    model.means.copy_(centres)
    centred = x - centres[torch.cdist(x, centres).argmin(-1)]
    shares = torch.full((len(x), len(centres)), 1.0 / len(x)).to(x)
    set_spreads(model, centred, shares, torch.zeros_like(centres), floor)


def spread_out_centres(x: Tensor, count: int, seed: int) -> Tensor:
    """k-means++ (Arthur & Vassilvitskii 2007): each next centre is an image, drawn with probability ∝ its squared
    distance from the nearest centre so far; (count, pixel)"""
    stream = torch.tensor(streams.key(seed, "initialisation", "k-means++"), device=x.device)
    u = streams.uniform(stream, 0, count, 1, x.dtype).squeeze(-1)
    centres = [x[int(u[0] * len(x))]]
    distance = torch.full_like(x[:, 0], torch.inf)
    for number in range(1, count):
        distance = torch.minimum(distance, (x - centres[-1]).square().sum(-1))
        cumulative = distance.cumsum(0)
        index = torch.searchsorted(cumulative, u[number : number + 1] * cumulative[-1], right=True)
        centres.append(x[int(index.clamp_max(len(x) - 1))])
    return torch.stack(centres)

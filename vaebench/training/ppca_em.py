"""Probabilistic PCA by expectation and maximisation (Tipping & Bishop 1999; Beaulac 2019 §4.1)."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vaebench.data import streams
from vaebench.data.dataset import Shape
from vaebench.models.classical.ppca import ProbabilisticPca
from vaebench.training.fitted import Fitted, Stop, ascend, never


class Moments(NamedTuple):
    """What the E step knows of z, averaged over the images; the posterior of image n has mean E[z_n]."""

    cross: Tensor
    """1/N Σ_n (x_n − x̄) E[z_n]ᵀ; (pixel, latent)"""
    second: Tensor
    """1/N Σ_n E[z_n z_nᵀ]; (latent, latent)"""


class PpcaByEm:
    """μ is the mean of the images; W starts at random, σ² at the mean variance of a pixel."""

    def model(self, choices: dict[str, Any], shape: Shape) -> ProbabilisticPca:
        return ProbabilisticPca(shape.pixels, choices["latent"])

    @torch.no_grad()
    def fit(self, choices: dict[str, Any], x: Tensor, seed: int, should_stop: Stop = never) -> Fitted:
        images, pixels = x.shape
        x, chosen, floor = x.double(), choices["objective"], choices["likelihood"]["sigma_floor"]
        mean = x.mean(0)
        covariance = (x - mean).mT @ (x - mean) / images
        model = self.model(choices, Shape(pixels)).to(x)
        model.mean.copy_(mean)
        start(model, covariance, seed, floor)

        def step(moments: Moments) -> tuple[Moments, float]:
            maximise(model, covariance, moments, floor)
            return expectation(model, covariance), mean_log_prob(model, covariance)

        curve = ascend(step, expectation(model, covariance), chosen["iterations"], chosen["tolerance"], should_stop)
        return Fitted(model, [-value for value in curve])


def start(model: ProbabilisticPca, covariance: Tensor, seed: int, floor: float) -> None:
    """W ~ N(0, s²), σ² = s², s² the mean variance of a pixel."""
    pixels, latent = model.weights.shape
    deviation = (covariance.trace() / pixels).sqrt().clamp_min(floor)
    stream = torch.tensor(streams.key(seed, "initialisation", "ppca"), device=covariance.device)
    model.weights.copy_(deviation * streams.normal(stream, 0, pixels, latent, covariance.dtype))
    model.sigma.copy_(deviation)


def expectation(model: ProbabilisticPca, covariance: Tensor) -> Moments:
    """E[z_n] = M⁻¹Wᵀ(x_n − x̄) and E[z_n z_nᵀ] = σ² M⁻¹ + E[z_n] E[z_n]ᵀ with M = WᵀW + σ²I.

    Their averages need the images only through their covariance S, divisor N: S W M⁻¹ and σ² M⁻¹ + M⁻¹ Wᵀ S W M⁻¹.
    """
    weights, variance = model.weights, model.sigma.square()
    identity = torch.eye(weights.shape[1], dtype=weights.dtype, device=weights.device)
    inverse = torch.linalg.inv(weights.mT @ weights + variance * identity)
    cross = covariance @ weights @ inverse
    return Moments(cross, variance * inverse + inverse @ weights.mT @ cross)


def maximise(model: ProbabilisticPca, covariance: Tensor, moments: Moments, floor: float) -> None:
    """W = [Σ_n (x_n − x̄) E[z_n]ᵀ] [Σ_n E[z_n z_nᵀ]]⁻¹  (Beaulac's text lacks the inverse), and with this W
    σ² = 1/(ND) Σ_n ‖x_n − x̄‖² − 2 E[z_n]ᵀ Wᵀ(x_n − x̄) + tr(E[z_n z_nᵀ] WᵀW). σ is kept at its floor at least."""
    weights = torch.linalg.solve(moments.second, moments.cross, left=False)
    explained = 2.0 * (weights * moments.cross).sum() - (moments.second * (weights.mT @ weights)).sum()
    model.weights.copy_(weights)
    model.sigma.copy_(((covariance.trace() - explained) / len(weights)).clamp_min(floor**2).sqrt())


def mean_log_prob(model: ProbabilisticPca, covariance: Tensor) -> float:
    """1/N Σ_n ln p(x_n) = −½ (D ln 2π + ln |C| + tr(C⁻¹S)) with C = WWᵀ + σ²I"""
    pixels = len(covariance)
    identity = torch.eye(pixels, dtype=covariance.dtype, device=covariance.device)
    factor = torch.linalg.cholesky(model.weights @ model.weights.mT + model.sigma.square() * identity)
    log_determinant = 2.0 * factor.diagonal().log().sum()
    distance = torch.cholesky_solve(covariance, factor).trace()
    return -0.5 * float(pixels * math.log(2.0 * math.pi) + log_determinant + distance)

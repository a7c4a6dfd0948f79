"""Probabilistic PCA (Tipping & Bishop 1999): x = W z + μ + σ ε with z ~ N(0, I), ε ~ N(0, I)."""

import math

import torch
from torch import Tensor, nn

from vaebench.models.distributions import DiagonalNormal, FullNormal


class ProbabilisticPca(nn.Module):
    """A linear-Gaussian model; its posterior and its ln p(x) are exact."""

    loc: Tensor
    scale: Tensor

    def __init__(self, pixels: int, latent: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(pixels, latent))
        self.mean = nn.Parameter(torch.zeros(pixels))
        self.sigma = nn.Parameter(torch.ones(()))
        self.register_buffer("loc", torch.zeros(latent), persistent=False)
        self.register_buffer("scale", torch.ones(latent), persistent=False)

    def prior(self) -> DiagonalNormal:
        return DiagonalNormal(self.loc, self.scale)

    def posterior(self, x: Tensor) -> FullNormal:
        """p(z|x) = N(M⁻¹Wᵀ(x − μ), σ² M⁻¹) with M = WᵀW + σ²I"""
        inner = torch.linalg.cholesky(self._inner())
        mean = torch.cholesky_solve(((x - self.mean) @ self.weights).mT, inner).mT
        identity = torch.eye(len(self.loc), dtype=x.dtype, device=x.device)
        covariance = self.sigma.square() * torch.cholesky_solve(identity, inner)
        factor = torch.linalg.cholesky(0.5 * (covariance + covariance.mT))
        return FullNormal(mean, factor.expand(*mean.shape, mean.shape[-1]))

    def likelihood(self, z: Tensor) -> DiagonalNormal:
        """p(x|z) = N(W z + μ, σ² I)"""
        mean = z @ self.weights.mT + self.mean
        return DiagonalNormal(mean, self.sigma.expand_as(mean))

    def log_prob(self, x: Tensor) -> Tensor:
        """ln N(x; μ, C), C = W Wᵀ + σ² I, by C⁻¹ = (I − W M⁻¹ Wᵀ)/σ² and |C| = σ^{2(D−Q)} |M|; (image,), exact."""
        pixels, latent = self.weights.shape
        inner = torch.linalg.cholesky(self._inner())
        centred = x - self.mean
        projected = torch.linalg.solve_triangular(inner, (centred @ self.weights).mT, upper=False).mT
        distance = (centred.square().sum(-1) - projected.square().sum(-1)) / self.sigma.square()
        log_determinant = 2.0 * ((pixels - latent) * self.sigma.log() + inner.diagonal().log().sum())
        return -0.5 * (distance + log_determinant + pixels * math.log(2.0 * math.pi))

    def _inner(self) -> Tensor:
        """M = WᵀW + σ² I; (latent, latent)"""
        identity = torch.eye(len(self.loc), dtype=self.weights.dtype, device=self.weights.device)
        return self.weights.mT @ self.weights + self.sigma.square() * identity
